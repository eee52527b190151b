"""Handlers that take a list: how much they get and when, and that a failing event is found among its siblings."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.handling.conftest import NewApp
from tests.handling.stage import (
    Heard,
    OrderCreated,
    StockReserved,
    caught_up,
    facts,
    parked,
    pass_time,
    recorded,
    until,
)
from tidings import App, Batch, Breaker, Delivery, Event, Reject, Retry
from tidings.clock import ManualClock
from tidings.errors import ConfigurationError
from tidings.log.group import Group

QUICK = Retry(attempts=2, inline=1)


def orders(first: int, end: int) -> list[OrderCreated]:
    return [OrderCreated(number) for number in range(first, end)]


def listening(app: App, **settings: Any) -> Heard[list[int]]:
    heard = Heard[list[int]]()

    @app.on(group="g", **settings)
    async def take(batch: list[OrderCreated]) -> None:
        heard.note([order.order_id for order in batch])

    return heard


def _holds(holds: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        return holds()

    return is_so


async def sleeping(app: App) -> None:
    """Return when a handler waits to be tried again on the spot."""
    clock = app.clock
    assert isinstance(clock, ManualClock)
    await until(_holds(lambda: clock.sleepers > 0), app.log)


async def test_full_batches_are_called_at_once_and_the_rest_after_a_wait(app: App) -> None:
    heard = listening(app, batch=Batch(size=10, wait=5.0))

    async with app.running():
        await app.publish_many(orders(0, 25))
        await heard.reach(2)
        assert heard == [list(range(10)), list(range(10, 20))]
        pass_time(app, 5.0)
        await heard.reach(3)
        await caught_up(app)

    assert heard[2] == list(range(20, 25))


async def test_a_change_elsewhere_has_no_batch_wait_anew(app: App) -> None:
    heard = listening(app, batch=Batch(size=10, wait=5.0))

    async with app.running():
        running: Any = app._running
        (reader,) = running.readers

        async def has_read() -> bool:
            return bool(reader._gathering.wait()) and not reader._claim.is_told

        await app.publish_many(orders(0, 3))
        await until(has_read, app.log)
        pass_time(app, 3.0)
        await app.log.ledger.join(Group("other", ("order:*",)))
        await until(has_read, app.log)
        pass_time(app, 2.0)
        await heard.reach(1)

    assert heard == [[0, 1, 2]]


async def test_events_that_come_singly_are_gathered(app: App) -> None:
    heard = listening(app, batch=Batch(size=3, wait=5.0))

    async with app.running():
        for number in range(6):
            await app.publish(OrderCreated(number))
        await heard.reach(2)

    assert heard == [[0, 1, 2], [3, 4, 5]]


async def test_a_batch_may_be_larger_than_what_is_read_at_a_time(app: App) -> None:
    heard = listening(app, batch=Batch(size=2500, wait=60.0))

    async with app.running():
        await app.publish_many(orders(0, 2000))
        await app.publish_many(orders(2000, 2500))
        await heard.reach(1)
        await caught_up(app)

    assert heard == [list(range(2500))]


async def test_what_was_gathered_and_not_handled_comes_again(new_app: NewApp) -> None:
    first, second = new_app(), new_app()
    before, after = listening(first, batch=Batch(size=10, wait=60.0)), listening(second, batch=Batch(size=3))

    async with second:
        async with first.running():
            await first.publish_many(orders(0, 3))
            running: Any = first._running

            async def is_gathered() -> bool:
                return bool(running.readers[0]._gathering.wait())

            await until(is_gathered, first.log)
        async with second.running():
            await after.reach(1)

    assert before == []
    assert after == [[0, 1, 2]]


async def test_whole_events_and_plain_data_come_in_lists_too(app: App) -> None:
    ids, data = Heard[list[str]](), Heard[list[Any]]()

    @app.on(OrderCreated, batch=Batch(size=2))
    async def whole(batch: list[Event]) -> None:
        ids.note([event.id for event in batch])

    @app.on("ping", batch=Batch(size=2))
    def plain(batch: list[dict[str, Any]]) -> None:
        data.note(batch)

    async with app.running():
        published = await app.publish_many(orders(0, 2))
        for number in range(2):
            await app.publish("ping", {"number": number})
        await ids.reach(1)
        await data.reach(1)

    assert ids == [[event.id for event in published]]
    assert data == [[{"number": 0}, {"number": 1}]]


async def test_a_list_without_batch_has_settings_of_its_own(app: App) -> None:
    heard = listening(app)

    async with app.running():
        await app.publish_many(orders(0, 100))
        await heard.reach(1)

    assert len(heard[0]) == 100


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_poison_event_is_found_among_its_siblings(app: App, is_async: bool) -> None:
    heard = Heard[list[int]]()

    def take(batch: list[OrderCreated]) -> None:
        heard.note([order.order_id for order in batch])
        if any(order.order_id == 2 for order in batch):
            raise ValueError("poison")

    async def take_async(batch: list[OrderCreated]) -> None:
        take(batch)

    app.on(group="g", batch=Batch(size=5), retry=QUICK)(take_async if is_async else take)

    async with app.running():
        await app.publish_many(orders(0, 5))
        await heard.reach(1)
        await sleeping(app)
        pass_time(app, 1.0)
        (dead,) = await parked(app, "dead")
        await caught_up(app)

    assert heard == [[0, 1, 2, 3, 4]] * 2 + [[0], [1], [2], [3], [4]]
    assert (dead.key, dead.attempts, dead.reason) == ("2", 3, "ValueError: poison")


async def test_events_of_a_poison_events_key_wait_behind_it(app: App) -> None:
    heard = Heard[list[str]]()

    @app.on(group="g", batch=Batch(size=4), retry=Retry(inline=0, wait=60.0))
    async def take(batch: list[OrderCreated]) -> None:
        heard.note([order.total for order in batch])
        if any(order.total == "bad" for order in batch):
            raise ValueError

    async with app.running():
        await app.publish_many([OrderCreated(1, "a"), OrderCreated(1, "bad"), OrderCreated(1, "b"), OrderCreated(2)])
        first, second = await parked(app, "retry", "blocked")
        await heard.reach(4)

    assert heard == [["a", "bad", "b", "1.00"], ["a"], ["bad"], ["1.00"]]
    assert first.key == second.key == "1"


async def test_a_rejected_event_dies_alone(app: App) -> None:
    @app.on(group="g", batch=Batch(size=3))
    async def take(batch: list[OrderCreated]) -> None:
        if any(order.order_id == 1 for order in batch):
            raise Reject("no")

    async with app.running():
        await app.publish_many(orders(0, 3))
        (dead,) = await parked(app, "dead")
        await caught_up(app)

    assert dead.key == "1"


async def test_a_batch_that_hangs_is_tried_one_by_one(sqlite_url: str) -> None:
    app, heard = App("shop", sqlite_url), Heard[list[int]]()

    @app.on(group="g", batch=Batch(size=3), timeout=0.05, retry=Retry(wait=60.0))
    async def take(batch: list[OrderCreated]) -> None:
        heard.note([order.order_id for order in batch])
        if any(order.order_id == 1 for order in batch):
            await asyncio.Event().wait()

    async with app.running():
        await app.publish_many(orders(0, 3))
        (late,) = await parked(app, "retry")
        await heard.reach(4)

    assert heard == [[0, 1, 2], [0], [1], [2]]
    assert late.reason.startswith("HandlerTimeout")


async def test_a_plain_function_that_hangs_keeps_its_keys_until_it_returns(sqlite_url: str) -> None:
    app, heard, gate = App("shop", sqlite_url), Heard[list[int]](), threading.Event()

    @app.on(group="g", batch=Batch(size=2, wait=0.05), timeout=0.1, retry=Retry(wait=0.0, jitter=0.0))
    def take(batch: list[OrderCreated]) -> None:
        heard.note([order.order_id for order in batch])
        if len(heard) == 1:
            gate.wait(10.0)

    async with app.running():
        await app.publish_many(orders(0, 2))
        await parked(app, "blocked", "blocked")
        await app.publish_many(orders(5, 7))
        await heard.reach(2)
        assert heard == [[0, 1], [5, 6]]
        gate.set()
        await heard.reach(4)
        await caught_up(app)

    assert sorted(heard[2:]) == [[0], [1]]


async def test_returned_events_have_ids_of_the_whole_batch(new_app: NewApp) -> None:
    app = new_app()
    tries = 0

    @app.on(group="g", batch=Batch(size=3))
    async def take(batch: list[OrderCreated]) -> list[StockReserved]:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError
        return [StockReserved(order.order_id) for order in batch]

    async with app.running():
        published = await app.publish_many(orders(0, 3))
        await sleeping(app)
        pass_time(app, 1.0)
        await caught_up(app)
        made = await recorded(app.log, "stock:reserved")
        await app.log.ledger.reset("g", "")
        await until(_holds(lambda: tries == 3), app.log)
        await caught_up(app)
        again = await recorded(app.log, "stock:reserved")

    assert [event.id for event in again] == [event.id for event in made]
    assert len({event.id for event in made}) == 3
    assert {event.causation_id for event in made} == {published[-1].id}
    assert {event.key for event in made} == {None}


async def test_what_a_batch_publishes_and_its_end_are_settled_together(app: App) -> None:
    heard, gate = Heard[int](), asyncio.Event()

    @app.on(group="g", batch=Batch(size=2))
    async def take(batch: list[OrderCreated]) -> StockReserved:
        heard.note(len(batch))
        await gate.wait()
        return StockReserved(1)

    async with app.running():
        await app.publish_many(orders(0, 2))
        await heard.reach(1)
        (status,) = await app.log.ledger.groups()
        assert status.lag == 2
        gate.set()
        await caught_up(app)
        assert len(await recorded(app.log, "stock:reserved")) == 1


async def test_an_open_breaker_leaves_a_batch_unanswered_until_it_closes(
    app: App, reports: pytest.LogCaptureFixture
) -> None:
    heard, works = Heard[list[int]](), asyncio.Event()

    @app.on(group="g", batch=Batch(size=3), breaker=Breaker(failures=1, open_for=30.0), retry=Retry(attempts=1))
    async def take(batch: list[OrderCreated]) -> None:
        heard.note([order.order_id for order in batch])
        if not works.is_set():
            raise OSError

    async with app.running():
        await app.publish_many(orders(0, 3))
        await until(_holds(lambda: bool(facts(reports, "breaker opened"))), app.log)
        works.set()
        pass_time(app, 30.0)
        await heard.reach(3)
        await caught_up(app)
        assert await app.log.ledger.parked() == []

    assert heard == [[0, 1, 2], [0], [1, 2]]


async def test_a_breaker_that_opens_among_single_tries_leaves_the_others_for_later(
    app: App, reports: pytest.LogCaptureFixture
) -> None:
    heard = Heard[list[int]]()

    @app.on(group="g", batch=Batch(size=4), breaker=Breaker(failures=2, open_for=30.0), retry=Retry(attempts=1))
    async def take(batch: list[OrderCreated]) -> None:
        heard.note([order.order_id for order in batch])
        if any(order.order_id == 1 for order in batch):
            raise OSError

    async with app.running():
        await app.publish_many(orders(0, 4))
        await until(_holds(lambda: bool(facts(reports, "breaker opened"))), app.log)
        assert heard == [[0, 1, 2, 3], [0], [1]]
        pass_time(app, 30.0)
        await heard.reach(5)
        (dead,) = await parked(app, "dead")

    assert heard[3:] == [[2], [3]]
    assert dead.key == "1"


def test_what_does_not_go_together_is_refused(app: App) -> None:
    async def one(order: OrderCreated) -> None: ...
    async def many(batch: list[OrderCreated]) -> None: ...
    async def with_delivery(batch: list[OrderCreated], delivery: Delivery) -> None: ...

    with pytest.raises(ConfigurationError, match="takes one event"):
        app.on(batch=Batch())(one)
    with pytest.raises(ConfigurationError, match="beside it there may be the transaction"):
        app.on()(with_delivery)
    with pytest.raises(ConfigurationError, match="concurrency"):
        app.on(concurrency=4)(many)
    with pytest.raises(ConfigurationError, match="debounce"):
        app.on(debounce=1.0)(many)


class Ledgered:
    """An application with a table, whose handler writes a row for each event of each call, and fails at some."""

    def __init__(self, url: str, clock: ManualClock, kind: str, poison: int = -1, **settings: Any) -> None:
        self.app, self.url, self.heard, self.poison = App("shop", url, clock=clock), url, Heard[list[int]](), poison
        self.app.on_start(self._create)
        settings = {"batch": Batch(size=4), "retry": Retry(attempts=1)} | settings
        self.app.on(group="g", **settings)(self._take if kind == "plain" else self._take_async)

    async def _create(self) -> None:
        async with self.app.transaction() as tx:
            tx.execute("CREATE TABLE IF NOT EXISTS taken(number INTEGER)")

    def _take(self, batch: list[OrderCreated], tx: Any) -> list[StockReserved]:
        return self._write(batch, tx)

    async def _take_async(self, batch: list[OrderCreated], tx: Any) -> list[StockReserved]:
        return self._write(batch, tx)

    def _write(self, batch: list[OrderCreated], tx: Any) -> list[StockReserved]:
        numbers = [order.order_id for order in batch]
        self.heard.note(numbers)
        for number in numbers:
            tx.execute("INSERT INTO taken VALUES (?)", (number,))
        if self.poison in numbers:
            raise ValueError("poison")
        return [StockReserved(number) for number in numbers]

    async def taken(self) -> list[int]:
        def read() -> list[int]:
            with contextlib.closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection:
                return [number for (number,) in connection.execute("SELECT number FROM taken ORDER BY rowid")]

        return await asyncio.to_thread(read)


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_what_a_batch_writes_through_tx_commits_with_it(sqlite_url: str, clock: ManualClock, kind: str) -> None:
    shop = Ledgered(sqlite_url, clock, kind)

    async with shop.app.running():
        await shop.app.publish_many(orders(0, 12))
        await caught_up(shop.app)
        made = await recorded(shop.app.log, "stock:reserved")

    assert shop.heard == [list(range(0, 4)), list(range(4, 8)), list(range(8, 12))]
    assert await shop.taken() == list(range(12))
    assert [event.data["order_id"] for event in made] == list(range(12))


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_what_a_failed_batch_wrote_is_undone_and_its_siblings_are_done(
    sqlite_url: str, clock: ManualClock, kind: str
) -> None:
    shop = Ledgered(sqlite_url, clock, kind, poison=5)

    async with shop.app.running():
        await shop.app.publish_many(orders(0, 12))
        (dead,) = await parked(shop.app, "dead")
        await caught_up(shop.app)
        await shop.app.publish_many([OrderCreated(5, "behind"), OrderCreated(20), OrderCreated(21), OrderCreated(22)])
        await parked(shop.app, "dead", "blocked")
        await caught_up(shop.app)
        assert await shop.taken() == [0, 1, 2, 3, 4, *range(6, 12), 20, 21, 22]
        shop.poison = -1
        await shop.app.log.ledger.retry("g")
        await parked(shop.app)

    assert dead.key == "5"
    assert await shop.taken() == [0, 1, 2, 3, 4, *range(6, 12), 20, 21, 22, 5, 5]
    assert shop.heard[-2:] == [[5], [5]]


async def test_a_batch_of_an_async_function_that_loses_a_race_is_run_again(sqlite_url: str, clock: ManualClock) -> None:
    app, heard = App("shop", sqlite_url, clock=clock), Heard[int]()

    @app.on(group="g", batch=Batch(size=2))
    async def take(batch: list[OrderCreated], tx: Any) -> None:
        heard.note(len(batch))
        if len(heard) == 1:
            await sneak(app)
        tx.execute("UPDATE stock SET left = left - 2 WHERE left = ?", (10 if len(heard) == 1 else 5,), rows=1)

    async def sneak(app: App) -> None:
        async with app.transaction() as tx:
            tx.execute("UPDATE stock SET left = 5")

    @app.on_start
    async def create() -> None:
        async with app.transaction() as tx:
            tx.execute("CREATE TABLE stock(left INTEGER)")
            tx.execute("INSERT INTO stock VALUES (10)")

    async with app.running():
        await app.publish_many(orders(0, 2))
        await heard.reach(1)
        await sleeping(app)
        pass_time(app, 1.0)
        await heard.reach(2)
        await caught_up(app)

    assert heard == [2, 2]
