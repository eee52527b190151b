"""What a reader says it holds back: worked out when asked for, and nothing while there is something to be done."""

import asyncio
from typing import Any

from tests.handling.stage import OrderCreated, pass_time
from tidings import App, Batch, Breaker, Rate, Retry
from tidings.handling.reader import Reader


def reader_of(app: App, **settings: Any) -> None:
    @app.on(OrderCreated, group="g", **settings)
    async def take(order: OrderCreated) -> None:
        if order.order_id == 13:
            raise OSError("down")


def listing(app: App, **settings: Any) -> None:
    @app.on(OrderCreated, group="g", **settings)
    async def take(orders: list[OrderCreated]) -> None: ...


async def rests(reader: Reader, *, holding: bool) -> None:
    """Return when the reader rests so; it says itself when to look."""
    told = asyncio.Event()
    reader.on_rest = told.set
    async with asyncio.timeout(5.0):
        while (reader.hold is None) if holding else not reader.is_idle:
            await told.wait()
            told.clear()
            await asyncio.sleep(0)  # it is told as the rest begins


async def test_nobody_holds_anything_who_is_idle_or_not_at_work(app: App) -> None:
    reader_of(app, rate=Rate(1, per=60.0))

    async with app:
        assert list(app.readers) == []
    async with app.running():
        (reader,) = app.readers
        assert not reader.is_idle  # it has not begun
        await rests(reader, holding=False)

        assert reader.hold is None
        await app.publish(OrderCreated(1))
        assert not reader.is_idle  # though it has not been woken yet


async def test_a_rate_holds_what_was_read_until_the_next_call(app: App) -> None:
    reader_of(app, rate=Rate(1, per=60.0))

    async with app.running():
        (reader,) = app.readers
        await app.publish_many([OrderCreated(number) for number in range(3)])
        await rests(reader, holding=True)

        hold = reader.hold
        assert hold is not None
        assert (hold.by, hold.until, len(hold.items)) == ("rate", app.clock.monotonic() + 60.0, 2)
        assert not reader.is_idle
        pass_time(app, 60.0)
        assert reader.hold is None  # though it has not been woken yet


async def test_a_batch_is_held_unless_there_is_more_to_read(app: App) -> None:
    listing(app, batch=Batch(size=3, wait=5.0))

    async with app.running():
        (reader,) = app.readers
        await app.publish_many([OrderCreated(1), OrderCreated(2)])
        await rests(reader, holding=True)

        hold = reader.hold
        assert hold is not None
        assert (hold.by, hold.until, len(hold.items)) == ("batch", app.clock.monotonic() + 5.0, 2)
        assert not reader.is_idle
        await app.publish(OrderCreated(3))
        assert reader.hold is None  # though it has not been woken yet
        await rests(reader, holding=False)


async def test_an_open_breaker_holds_until_the_trial(app: App) -> None:
    reader_of(app, breaker=Breaker(failures=1, open_for=30.0), retry=Retry(attempts=1, inline=0), on_dead="pass")

    async with app.running():
        (reader,) = app.readers
        await app.publish_many([OrderCreated(13), OrderCreated(2)])
        await rests(reader, holding=True)

        hold = reader.hold
        assert hold is not None
        assert (hold.by, hold.until, len(hold.items)) == ("breaker", app.clock.monotonic() + 30.0, 1)
        reader.stop()
        assert reader.hold is None
