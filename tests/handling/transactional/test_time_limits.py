"""A plain handler with `tx` that takes too long, for which everybody who writes has to wait."""

import asyncio
import contextlib
import os
import threading
import time
from typing import Any

import pytest

from tests.handling.stage import BOUND, OrderCreated, caught_up, parked, recorded, until
from tests.handling.transactional.stage import rows
from tidings import App, Delivery, Retry
from tidings.clock import ManualClock
from tidings.errors import LogLocked
from tidings.log import Log

RUNAWAY = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


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
