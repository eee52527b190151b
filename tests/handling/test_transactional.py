"""Handlers with `tx`: their own SQL, their events and their cursor commit together, or not at all."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.handling.stage import (
    BOUND,
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
from tidings import App, Delivery, Retry, Transaction
from tidings.clock import ManualClock
from tidings.errors import LogLocked
from tidings.handling.report import Metrics
from tidings.log import Log, open_log

LATER = Retry(inline=0, attempts=3, wait=10.0, jitter=0.0)
RUNAWAY = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
def kind() -> str:
    return "sqlite"


@pytest.fixture
async def log(url: str, clock: ManualClock) -> AsyncIterator[Log]:
    """The log as another process has it open, with a table of the application's own."""
    log = await open_log(url, clock=clock)
    async with log.transaction() as tx:
        tx.execute("CREATE TABLE stock (order_id INTEGER PRIMARY KEY, count INTEGER NOT NULL)")
    yield log
    await log.close()


async def rows(log: Log) -> list[tuple[Any, ...]]:
    async with log.transaction() as tx:
        found: list[tuple[Any, ...]] = await tx.fetch("SELECT order_id, count FROM stock ORDER BY order_id")
    return found


async def test_a_plain_handler_reads_its_own_writes_in_one_transaction_for_the_batch(app: App, log: Log) -> None:
    totals = Heard[int]()

    @app.on()
    def count(order: OrderCreated, tx: Any) -> None:
        tx.execute("INSERT INTO stock VALUES (?, 1)", (order.order_id,))
        totals.note(tx.fetch("SELECT sum(count) FROM stock")[0][0])

    async with app:
        await app.publish_many([OrderCreated(number) for number in range(100)])
        settlements = count_settlements(app)
        async with app.running():
            await totals.reach(100)
            await caught_up(app)

    assert totals == list(range(1, 101))
    assert len(await rows(log)) == 100
    assert settlements.with_work == 1


async def test_one_failure_rolls_back_only_its_own_event(app: App, log: Log) -> None:
    @app.on(retry=Retry.never())
    def count(order: OrderCreated, tx: Any) -> StockReserved:
        tx.execute("INSERT INTO stock VALUES (?, 1)", (order.order_id,))
        if order.order_id == 5:
            raise OSError("after the write")
        return StockReserved(order.order_id)

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in range(10)])
        [one] = await parked(app, "dead")
        await caught_up(app)
        reserved = [each.data["order_id"] for each in await recorded(app.log, "stock:reserved")]

    assert one.reason == "OSError: after the write"
    assert [order_id for order_id, _ in await rows(log)] == reserved == [0, 1, 2, 3, 4, 6, 7, 8, 9]


async def test_a_broken_constraint_is_the_handlers_failure(app: App, log: Log) -> None:
    @app.on(retry=Retry.never())
    def count(order: OrderCreated, tx: Any) -> None:
        tx.execute("INSERT INTO stock VALUES (1, ?)", (order.order_id,))

    async with app.running():
        await app.publish_many([OrderCreated(7), OrderCreated(8), OrderCreated(9)])
        reasons = [one.reason for one in await parked(app, "dead", "dead")]

    assert all(reason.startswith("IntegrityError: UNIQUE") for reason in reasons)
    assert await rows(log) == [(1, 7)]


async def test_a_failed_event_of_a_plain_handler_is_retried_and_holds_its_key(app: App, log: Log) -> None:
    calls = Heard[tuple[str, int]]()

    @app.on(retry=LATER)
    def count(order: OrderCreated, tx: Any, delivery: Delivery) -> None:
        calls.note((order.total, delivery.attempt))
        if order.total == "a" and delivery.attempt == 1:
            raise OSError
        tx.execute("INSERT INTO stock VALUES (?, 1)", (len(calls),))

    async with app.running():
        await app.publish_many([OrderCreated(1, "a"), OrderCreated(1, "b")])
        await parked(app, "retry", "blocked")
        pass_time(app, 10)
        await parked(app)

    assert calls[-2:] == [("a", 2), ("b", 1)]
    assert len(await rows(log)) == 2


async def test_what_a_plain_handler_returns_that_is_no_event_undoes_its_writes(app: App, log: Log) -> None:
    @app.on()
    def count(order: OrderCreated, tx: Any) -> object:
        tx.execute("INSERT INTO stock VALUES (?, 1)", (order.order_id,))
        return {"order_id": 1} if order.order_id == 1 else None

    async with app.running():
        await app.publish_many([OrderCreated(1), OrderCreated(2)])
        [one] = await parked(app, "dead")
        await caught_up(app)

    assert "dict is no event" in one.reason
    assert await rows(log) == [(2, 1)]


@pytest.mark.parametrize(
    "statement", ["COMMIT", "ROLLBACK", "  -- now\n end", "PRAGMA user_version = 1", "ATTACH 'x' AS y", "SAVEPOINT s"]
)
@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
async def test_statements_that_would_bend_the_transaction_are_refused(
    app: App, log: Log, statement: str, awaited: bool
) -> None:
    def count(order: OrderCreated, tx: Any) -> None:
        tx.execute("INSERT INTO stock VALUES (?, 1)", (order.order_id,))
        if order.order_id == 1:
            tx.execute(statement)

    async def count_later(order: OrderCreated, tx: Any) -> None:
        count(order, tx)

    app.on(group="g")(count_later if awaited else count)

    async with app.running():
        await app.publish_many([OrderCreated(1), OrderCreated(2)])
        [one] = await parked(app, "dead")
        await caught_up(app)

    assert one.reason.startswith("TransactionMisuse: ")
    assert await rows(log) == [(2, 1)]


@pytest.mark.parametrize("method", ["commit", "rollback", "executescript"])
@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
async def test_methods_that_would_end_the_transaction_are_refused(
    app: App, log: Log, method: str, awaited: bool
) -> None:
    def count(order: OrderCreated, tx: Any) -> None:
        getattr(tx, method)(*["SELECT 1"] * (method == "executescript"))

    async def count_later(order: OrderCreated, tx: Any) -> None:
        count(order, tx)

    app.on(group="g")(count_later if awaited else count)

    async with app.running():
        await app.publish(OrderCreated(1))
        [one] = await parked(app, "dead")

    assert one.reason.startswith("TransactionMisuse: ")


@pytest.mark.parametrize("statement", [RUNAWAY, f"INSERT INTO stock {RUNAWAY.replace('count(*)', 'i, 1')}"])
async def test_a_statement_that_runs_away_is_interrupted_and_the_others_go_on(
    app: App, log: Log, statement: str
) -> None:
    @app.on(retry=Retry.never())
    def count(order: OrderCreated, tx: Any) -> None:
        tx.execute("INSERT INTO stock VALUES (?, 1)", (-order.order_id,))
        if order.order_id == 2:
            tx.execute(statement).fetchall()

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in (1, 2, 3)])
        [one] = await parked(app, "dead")
        await caught_up(app)

    assert one.reason.startswith("HandlerTimeout: shop.count took longer than 0.25 s")
    assert one.key == "2"
    assert await rows(log) == [(-3, 1), (-1, 1)]


async def test_python_code_that_never_returns_is_ended_and_the_others_go_on(app: App, log: Log) -> None:
    @app.on(retry=Retry.never())
    def count(order: OrderCreated, tx: Any) -> None:
        tx.execute("INSERT INTO stock VALUES (?, 1)", (order.order_id,))
        while order.order_id == 2:
            pass

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in (1, 2, 3)])
        [one] = await parked(app, "dead")
        await caught_up(app)

    assert one.reason.startswith("HandlerTimeout: shop.count took longer than 0.25 s")
    assert one.key == "2"
    assert await rows(log) == [(1, 1), (3, 1)]


async def test_the_timeout_of_a_plain_handler_is_the_one_that_was_said(app: App, log: Log) -> None:
    def spend(seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass

    @app.on(timeout=0.05, retry=Retry.never(), group="hasty")
    def hasty(order: OrderCreated, tx: Any) -> None:
        spend(0.5 if order.order_id == 1 else 0.0)

    @app.on(timeout=5.0, retry=Retry.never(), group="patient")
    def patient(order: OrderCreated, tx: Any) -> None:
        spend(0.5 if order.order_id == 1 else 0.0)

    async with app.running():
        await app.publish_many([OrderCreated(1), OrderCreated(2)])
        [one] = await parked(app, "dead")
        await caught_up(app)

    assert one.group == "hasty"
    assert "took longer than 0.05 s" in one.reason


@pytest.mark.parametrize("caught", [Exception, BaseException], ids=["suppressed", "suppressed altogether"])
async def test_an_interruption_hits_the_call_that_overran_and_no_other(
    app: App, log: Log, caught: type[BaseException]
) -> None:
    @app.on(timeout=0.02, retry=Retry(inline=0, attempts=2, wait=0.0, jitter=0.0))
    def count(order: OrderCreated, tx: Any, delivery: Delivery) -> None:
        with contextlib.suppress(caught):
            while order.order_id % 10 == 0 and delivery.attempt == 1:
                pass
        tx.execute("INSERT INTO stock VALUES (?, 1)", (order.order_id,))

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in range(100)])
        await until(lambda: _holds(log, 100), app.log)
        await caught_up(app)
        assert await app.log.ledger.parked() == []


async def _holds(log: Log, count: int) -> bool:
    return len(await rows(log)) == count


async def test_a_handler_that_blocks_in_the_transaction_is_in_trouble_and_who_waits_behind_it_is_told(
    clock: ManualClock, url: str, log: Log
) -> None:
    app = App("shop", f"{url}?lock_timeout=0.2", clock=clock)
    begun, released = threading.Event(), threading.Event()

    @app.on(timeout=0.1)
    def count(order: OrderCreated, tx: Any) -> None:
        if not released.is_set():
            begun.set()
            released.wait(BOUND)

    async with app.running():
        await app.publish(OrderCreated(1))
        await asyncio.to_thread(begun.wait, BOUND)
        with pytest.raises(LogLocked, match=f"is locked by process {os.getpid()}"):
            await app.publish(OrderCreated(2))
        await until(lambda: _in_trouble(app, "shop.count blocks in the log's transaction"), app.log)
        released.set()
        await until(lambda: _publishes(app, OrderCreated(3)), app.log)
        await caught_up(app)
        await until(lambda: _in_trouble(app, None), app.log)
        assert [each.data["order_id"] for each in await recorded(app.log)] == [1, 3]


async def _publishes(app: App, order: OrderCreated) -> bool:
    with contextlib.suppress(LogLocked):
        await app.publish(order, id=f"order-{order.order_id}")
        return True
    return False


async def _in_trouble(app: App, what: str | None) -> bool:
    health = await app.health()
    said = health.groups[0].trouble
    return said is None if what is None else said is not None and said.startswith(what)


async def test_an_async_handler_reads_what_is_committed_and_records_what_to_write(app: App, log: Log) -> None:
    seen = Heard[list[tuple[Any, ...]]]()

    @app.on()
    async def count(order: OrderCreated, tx: Any) -> None:
        tx.execute("INSERT INTO stock VALUES (?, 1)", (order.order_id,), rows=1)
        seen.note(await tx.fetch("SELECT order_id FROM stock ORDER BY order_id"))

    async with app.running():
        await app.publish_many([OrderCreated(1), OrderCreated(2), OrderCreated(3)])
        await seen.reach(3)
        await caught_up(app)

    # Not its own write, which is recorded, but those of all events before it.
    assert seen == [[], [(1,)], [(1,), (2,)]]
    assert await rows(log) == [(1, 1), (2, 1), (3, 1)]


async def test_recorded_writes_returned_events_and_the_cursor_commit_together(app: App, log: Log) -> None:
    calls = Heard[int]()

    @app.on(retry=Retry.never())
    async def count(order: OrderCreated, tx: Any) -> StockReserved:
        calls.note(order.order_id)
        tx.execute("INSERT INTO stock VALUES (?, 1)", (order.order_id % 2,))
        return StockReserved(order.order_id)

    async with app.running():
        await app.publish_many([OrderCreated(1), OrderCreated(3), OrderCreated(2)])
        [one] = await parked(app, "dead")
        await caught_up(app)
        reserved = [each.data["order_id"] for each in await recorded(app.log, "stock:reserved")]

    assert one.key == "3"
    assert "UNIQUE constraint failed" in one.reason
    assert await rows(log) == [(0, 1), (1, 1)]
    assert reserved == [1, 2]


async def test_a_failed_commit_takes_no_other_events_answer_with_it(app: App, log: Log) -> None:
    @app.on(retry=Retry.never())
    async def count(order: OrderCreated, tx: Any) -> StockReserved | None:
        if order.order_id == 1:
            return StockReserved(1)
        tx.execute("INSERT INTO stock VALUES (1, NULL)")
        return None

    async with app.running():
        await app.publish_many([OrderCreated(1), OrderCreated(2)])
        await parked(app, "dead")
        await caught_up(app)
        assert len(await recorded(app.log, "stock:reserved")) == 1


async def test_a_row_count_that_differs_runs_the_handler_again_on_what_is_there_now(app: App, log: Log) -> None:
    read, go_on = Heard[int](), asyncio.Event()

    @app.on(retry=Retry(on=OSError))
    async def take(order: OrderCreated, tx: Any) -> None:
        [[count]] = await tx.fetch("SELECT count FROM stock WHERE order_id = 0")
        read.note(count)
        await go_on.wait()
        tx.execute("UPDATE stock SET count = ? WHERE order_id = 0 AND count = ?", (count - 1, count), rows=1)

    async with log.transaction() as tx:
        tx.execute("INSERT INTO stock VALUES (0, 10)")
    async with app.running():
        await app.publish(OrderCreated(1))
        await read.reach(1)
        async with log.transaction() as tx:
            tx.execute("UPDATE stock SET count = 5 WHERE order_id = 0")
        go_on.set()
        await asleep(app)
        pass_time(app, 1)
        await caught_up(app)
        assert await app.log.ledger.parked() == []

    assert read == [10, 5]
    assert await rows(log) == [(0, 4)]


async def test_a_time_limit_never_cancels_a_commit_under_way(app: App, log: Log) -> None:
    calls = Heard[int]()

    @app.on(timeout=0.1)
    async def count(order: OrderCreated, tx: Any) -> None:
        calls.note(order.order_id)
        tx.execute("INSERT INTO stock VALUES (?, 1)", (order.order_id,))

    async with app.running():
        await caught_up(app)
        settle = app.log.ledger.settle

        async def slow(settlement: Any) -> Any:
            settled = await settle(settlement)
            if settlement.writes:
                await asyncio.sleep(0.3)  # it is committed, and the news takes longer than the limit
            return settled

        app.log.ledger.settle = slow  # type: ignore[method-assign]
        await app.publish(OrderCreated(1))
        await app.publish(OrderCreated(2))
        await calls.reach(2)
        await caught_up(app)
        assert await app.log.ledger.parked() == []

    assert calls == [1, 2]
    assert await rows(log) == [(1, 1), (2, 1)]


async def test_an_async_handler_that_takes_too_long_writes_nothing(app: App, log: Log) -> None:
    @app.on(timeout=0.05, retry=Retry.never())
    async def count(order: OrderCreated, tx: Any) -> None:
        tx.execute("INSERT INTO stock VALUES (?, 1)", (order.order_id,))
        await asyncio.Event().wait()

    async with app.running():
        await app.publish(OrderCreated(1))
        [one] = await parked(app, "dead")

    assert one.reason.startswith("HandlerTimeout")
    assert await rows(log) == []


async def test_a_parked_event_of_an_async_handler_is_done_with_when_its_writes_commit(app: App, log: Log) -> None:
    @app.on(retry=LATER)
    async def count(order: OrderCreated, tx: Transaction, delivery: Delivery) -> None:
        tx.execute("INSERT INTO stock VALUES (?, ?)", (order.order_id, delivery.attempt))
        if delivery.attempt == 1:
            raise OSError

    async with app.running():
        await app.publish(OrderCreated(1))
        await parked(app, "retry")
        pass_time(app, 10)
        await parked(app)

    assert await rows(log) == [(1, 2)]


async def test_a_lost_lease_commits_none_of_a_handlers_writes(
    app: App, log: Log, reports: pytest.LogCaptureFixture
) -> None:
    calls, go_on = Heard[int](), asyncio.Event()

    @app.on(group="g")
    async def count(order: OrderCreated, tx: Any) -> StockReserved:
        calls.note(order.order_id)
        await go_on.wait()
        tx.execute("INSERT INTO stock VALUES (?, ?)", (order.order_id, len(calls)))
        return StockReserved(order.order_id)

    async with app.running():
        await app.publish(OrderCreated(1))
        await calls.reach(1)
        await log.ledger.reset("g", "")
        go_on.set()
        await calls.reach(2)
        await caught_up(app)
        assert len(await recorded(app.log, "stock:reserved")) == 1

    assert await rows(log) == [(1, 2)]
    assert facts(reports, "fence")


async def test_a_plain_handlers_work_is_measured(url: str, clock: ManualClock, log: Log) -> None:
    measured = Heard[Metrics]()
    app = App("shop", url, clock=clock, metrics=measured.note)

    @app.on(group="g", retry=Retry.never())
    def count(order: OrderCreated, tx: Any) -> StockReserved:
        if order.order_id == 2:
            raise OSError
        return StockReserved(order.order_id)

    async with app:
        await app.publish_many([OrderCreated(number) for number in (1, 2, 3)])
        async with app.running():
            await measured.reach(1)

    [metrics] = measured
    assert (metrics.handled, metrics.dead, metrics.published) == (3, 1, 2)


def count_settlements(app: App) -> Any:
    class Counted:
        with_work = 0

    settle = app.log.ledger.settle

    async def counted(settlement: Any) -> Any:
        Counted.with_work += settlement.work is not None
        return await settle(settlement)

    app.log.ledger.settle = counted  # type: ignore[method-assign]
    return Counted


async def asleep(app: App) -> None:
    """Return when somebody waits for the manual clock."""
    clock = app.clock
    assert isinstance(clock, ManualClock)

    async def is_so() -> bool:
        return clock.sleepers > 0

    await until(is_so, app.log)
