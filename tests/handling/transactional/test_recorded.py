"""An `async def` handler with `tx`: what it recorded commits with its events and its cursor, or it is run again."""

import asyncio
from typing import Any

import pytest

from tests.handling.stage import Heard, OrderCreated, StockReserved, caught_up, facts, parked, pass_time, recorded
from tests.handling.transactional.stage import LATER, asleep, rows
from tidings import App, Delivery, Retry, Transaction
from tidings.log import Log


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
