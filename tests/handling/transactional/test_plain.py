"""A plain handler with `tx`: its SQL, its events and its cursor commit together, or not at all."""

from typing import Any

import pytest

from tests.handling.stage import Heard, OrderCreated, StockReserved, caught_up, parked, pass_time, recorded
from tests.handling.transactional.stage import LATER, count_settlements, rows
from tidings import App, Delivery, Retry
from tidings.clock import ManualClock
from tidings.handling.report import Metrics
from tidings.log import Log


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
