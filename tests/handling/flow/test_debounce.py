"""Of each key only the last event, after a quiet time; whatever dies meanwhile, the last one is handled."""

import asyncio
from typing import Any

from tests.handling.conftest import NewApp
from tests.handling.stage import Heard, OrderCreated, caught_up, parked, pass_time, until
from tidings import App, Debounce, Retry
from tidings.handling.report import Metrics


def listening(app: App, **settings: Any) -> Heard[str]:
    heard = Heard[str]()

    @app.on(group="g", **{"debounce": 2.0, **settings})
    async def show(order: OrderCreated) -> None:
        heard.note(f"{order.order_id}{order.total}")

    return heard


async def publish(app: App, *orders: str) -> None:
    """`1a` is order 1 with total a."""
    for order in orders:
        await app.publish(OrderCreated(int(order[0]), order[1:]))


async def waiting(app: App, *events: str) -> None:
    """Return when exactly these events wait for quiet."""

    async def is_so() -> bool:
        found = await app.log.ledger.parked("g", "retry")
        data = [one.record.data.decode() for one in found if one.record is not None]
        return [f"{each.split(':')[1].split(',')[0]}{each.split(chr(34))[5]}" for each in data] == list(events)

    await until(is_so, app.log)


async def test_only_the_last_event_of_a_key_is_handled_once_it_is_quiet(app: App) -> None:
    heard = listening(app)

    async with app.running():
        await publish(app, "1a", "2a", "1b", "1c")
        await waiting(app, "2a", "1c")
        assert heard == []
        pass_time(app, 2.0)
        await heard.reach(2)
        await caught_up(app)

    assert sorted(heard) == ["1c", "2a"]


async def test_each_event_begins_the_quiet_time_anew(app: App) -> None:
    heard = listening(app)

    async with app.running():
        for total in "abc":
            await publish(app, f"1{total}")
            await waiting(app, f"1{total}")
            pass_time(app, 1.5)
        await publish(app, "2z")  # one more look, which would find what is due
        await waiting(app, "1c", "2z")
        assert heard == []
        pass_time(app, 0.5)
        await heard.reach(1)

    assert heard == ["1c"]


async def test_a_key_that_is_never_quiet_is_handled_after_the_longest_wait(app: App) -> None:
    heard = listening(app, debounce=Debounce(2.0, longest=5.0))

    async with app.running():
        for total in "abcd":
            await publish(app, f"1{total}")
            await waiting(app, f"1{total}")
            pass_time(app, 1.25)
        await heard.reach(1)

    assert heard == ["1d"]


async def test_what_waits_outlives_its_process_and_is_replaced_by_the_next(new_app: NewApp) -> None:
    first, second = new_app(), new_app()
    listening(first, debounce=Debounce(2.0, longest=3.0))
    heard = listening(second, debounce=Debounce(2.0, longest=3.0))
    async with second:  # so that a log in memory lives on
        async with first.running():
            await publish(first, "1a", "2a")
            await waiting(first, "1a", "2a")
        pass_time(second, 1.5)

        async with second.running():
            await publish(second, "1b")
            await waiting(second, "2a", "1b")
            pass_time(second, 0.5)
            await heard.reach(1)
            pass_time(second, 1.0)  # 3 s after 1a, though only 1.5 s after 1b
            await heard.reach(2)
            await caught_up(second)

    assert heard == ["2a", "1b"]


async def test_a_later_event_of_a_key_is_not_blocked_by_the_one_that_waits(app: App) -> None:
    listening(app)

    async with app.running():
        await publish(app, "1a")
        await waiting(app, "1a")
        await publish(app, "1b")
        (one,) = await parked(app, "retry")
        await waiting(app, "1b")

    assert one.reason == "debounce"


async def test_behind_a_failed_event_only_the_last_of_its_key_is_handled(app: App) -> None:
    heard, works = Heard[str](), asyncio.Event()

    @app.on(group="g", debounce=2.0, retry=Retry(inline=0, wait=10.0, jitter=0.0))
    async def show(order: OrderCreated) -> None:
        heard.note(order.total)
        if not works.is_set():
            raise OSError

    async with app.running():
        await publish(app, "1a")
        await waiting(app, "1a")
        pass_time(app, 2.0)
        await heard.reach(1)
        await publish(app, "1b", "1c")
        await parked(app, "retry", "blocked", "blocked")
        works.set()
        pass_time(app, 10.0)
        await heard.reach(2)
        await caught_up(app)
        assert await app.log.ledger.parked() == []

    assert heard == ["a", "c"]


async def test_events_without_a_key_are_each_handled(app: App) -> None:
    heard = Heard[int]()

    @app.on("ping", group="g", debounce=2.0)
    async def show(data: Any) -> None:
        heard.note(data)

    async with app.running():
        for number in range(3):
            await app.publish("ping", number)
        await parked(app, "retry", "retry", "retry")
        pass_time(app, 2.0)
        await heard.reach(3)

    assert sorted(heard) == [0, 1, 2]


async def test_what_was_replaced_is_counted(new_app: NewApp) -> None:
    told: list[Metrics] = []
    app = new_app(metrics=told.append)
    heard = listening(app)

    async with app.running():
        await app.publish_many([OrderCreated(number % 2, str(number)) for number in range(10)])
        await waiting(app, "08", "19")
        pass_time(app, 2.0)
        await heard.reach(2)
        await caught_up(app)

    assert sum(each.passed_over for each in told) == 8


async def test_a_plain_function_with_tx_hears_the_last_too(sqlite_url: str, clock: Any) -> None:
    app, heard = App("shop", sqlite_url, clock=clock), Heard[str]()

    @app.on(group="g", debounce=2.0)
    def show(order: OrderCreated, tx: Any) -> None:
        heard.note(order.total)

    async with app.running():
        await publish(app, "1a", "1b")
        await waiting(app, "1b")
        pass_time(app, 2.0)
        await heard.reach(1)
        await caught_up(app)

    assert heard == ["b"]
