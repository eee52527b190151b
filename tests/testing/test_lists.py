"""Handlers that take a list, in a test: what waits for company, and an entry for each event of a call."""

from typing import Any, Literal

import pytest

from tests.testing.shop import Gateway, OrderCreated
from tests.testing.stage import ids, publish
from tidings import App, Batch, Event, Reject, Transaction
from tidings.testing import TestApp


def listing(calls: list[list[int]], **settings: Any) -> App:
    app = App("shop", "memory:")

    @app.on(OrderCreated, **settings)
    async def take(orders: list[OrderCreated]) -> None:
        calls.append([order.order_id for order in orders])

    return app


@pytest.mark.parametrize("count", [7, 3, 2])
async def test_settling_lets_the_wait_of_a_batch_pass(log: Literal["memory", "sqlite"], count: int) -> None:
    calls: list[list[int]] = []

    async with TestApp(listing(calls, batch=Batch(size=3, wait=5.0)), log=log) as test:
        await publish(test, count)
        await test.settle()

        expected = list(range(count))
        assert calls == [expected[start : start + 3] for start in range(0, count, 3)]
        assert ids(test.handled) == expected
        assert test.clock.monotonic() == (5.0 if count % 3 else 0.0)


async def test_a_batch_without_a_word_of_it_settles_too() -> None:
    calls: list[list[int]] = []

    async with TestApp(listing(calls)) as test:
        await publish(test, 2)
        await test.settle()

    assert calls == [[0, 1]]


async def test_advancing_less_than_the_wait_of_a_batch_leaves_it_held() -> None:
    calls: list[list[int]] = []

    async with TestApp(listing(calls, batch=Batch(size=3, wait=5.0))) as test:
        await publish(test, 2)
        await test.advance(3.0)
        assert calls == []
        assert [(each.by, each.seconds) for each in test.held] == [("batch", 2.0)] * 2
        with pytest.raises(AssertionError, match=r"held back \(2\):\n  order:created .* by its batch for 2 s"):
            test.assert_handled(OrderCreated)

        await publish(test, 1, first=2)
        await test.advance(0)

        assert calls == [[0, 1, 2]]
        assert test.held == []


@pytest.mark.parametrize("form", ["async", "plain", "events", "tx", "async tx"])
async def test_calls_with_a_list_are_handled_one_entry_an_event(form: str) -> None:
    app = App("shop", "memory:")

    @app.on_start
    async def table() -> None:
        if "tx" in form:
            async with app.transaction() as tx:
                tx.execute("CREATE TABLE taken(order_id INTEGER)")

    async def awaited(orders: list[OrderCreated]) -> None: ...
    def plain(orders: list[OrderCreated]) -> None: ...
    async def events(orders: list[Event]) -> None: ...
    def inside(orders: list[OrderCreated], tx: Transaction) -> None:
        tx.execute("INSERT INTO taken VALUES (?)", (len(orders),))

    async def recording(orders: list[OrderCreated], tx: Transaction) -> None:
        tx.execute("INSERT INTO taken VALUES (?)", (len(orders),))

    handler: Any = {"async": awaited, "plain": plain, "events": events, "tx": inside, "async tx": recording}[form]
    app.on(OrderCreated, batch=Batch(size=2))(handler)

    async with TestApp(app) as test:
        await publish(test, 5)
        await test.settle()

        assert [(each.event.data.order_id, each.attempts, each.calls) for each in test.handled] == [
            (number, 1, 1) for number in range(5)
        ]
        test.assert_handled(OrderCreated(4), group=handler)


@pytest.mark.parametrize("form", ["async", "plain", "tx"])
async def test_a_failing_event_of_a_list_is_dead_and_its_siblings_are_handled(form: str) -> None:
    app = App("shop", "memory:")

    def check(orders: list[OrderCreated]) -> None:
        if any(order.order_id == 1 for order in orders):
            raise Reject("poison")

    async def awaited(orders: list[OrderCreated]) -> None:
        check(orders)

    def plain(orders: list[OrderCreated]) -> None:
        check(orders)

    def inside(orders: list[OrderCreated], tx: Transaction) -> None:
        check(orders)

    handler: Any = {"async": awaited, "plain": plain, "tx": inside}[form]
    app.on(OrderCreated, batch=Batch(size=3))(handler)

    async with TestApp(app) as test:
        await publish(test, 3)
        await test.settle()

        assert [(each.event.data.order_id, each.calls > 1) for each in test.handled] == [(0, True), (2, True)]
        test.assert_dead(OrderCreated(1), group=handler, reason="poison")


async def test_a_list_that_is_handled_at_its_second_call_says_so() -> None:
    app, gateway = App("shop", "memory:"), Gateway()
    gateway.failures = 1

    @app.on(OrderCreated, batch=Batch(size=2))
    async def take(orders: list[OrderCreated]) -> None:
        gateway.charge(orders[0].order_id)

    async with TestApp(app) as test:
        await publish(test, 2)
        await test.settle()

        assert [(each.attempts, each.calls) for each in test.handled] == [(2, 2), (2, 2)]
