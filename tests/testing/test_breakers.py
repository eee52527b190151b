"""Circuit breakers in a test: what an open one keeps is shown, and the test's clock closes it."""

from typing import Any, Literal

import pytest

from tests.testing.shop import Gateway, OrderCreated
from tests.testing.stage import LATER, NEVER, ids, publish, shop
from tidings import App, Breaker, CircuitBreaker, Event
from tidings.testing import TestApp


async def test_what_an_open_breaker_keeps_is_left_and_shown_until_time_closes_it() -> None:
    app, gateway = App("shop", "memory:"), Gateway()
    gateway.failures = 2

    @app.on(OrderCreated, retry=LATER, breaker=Breaker(failures=2, open_for=30.0))
    async def charge(order: OrderCreated) -> None:
        gateway.charge(order.order_id)

    async with TestApp(app) as test:
        await publish(test, 5)
        await test.settle()
        assert test.clock.monotonic() == 0.0
        assert ids(test.parked) == [0, 1]
        assert [(each.event.data.order_id, each.by, each.seconds) for each in test.held] == [
            (number, "breaker", 30.0) for number in (2, 3, 4)
        ]
        with pytest.raises(AssertionError, match=r"in shop\.charge, by its breaker for 30 s"):
            test.assert_handled(OrderCreated, order_id=2)

        await test.advance(29.9)
        assert len(test.held) == 3
        await test.advance(0.1)

        assert sorted(ids(test.handled)) == [0, 1, 2, 3, 4]
        assert (test.held, test.parked) == ([], [])


async def test_a_breaker_that_stays_open_is_tried_again_as_time_goes_by() -> None:
    app, gateway = App("shop", "memory:"), Gateway()
    gateway.failures = 4

    @app.on(OrderCreated, retry=NEVER, on_dead="pass", breaker=Breaker(failures=2, open_for=30.0))
    async def charge(order: OrderCreated) -> None:
        gateway.charge(order.order_id)

    async with TestApp(app, raise_dead=False) as test:
        await publish(test, 6)
        await test.advance(59.0)
        assert (len(test.dead), len(test.held)) == (3, 3)

        await test.advance(31.0)

        assert ids(test.dead) == [0, 1, 2, 3]
        assert ids(test.handled) == [4, 5]


async def test_a_breaker_of_one_group_does_not_keep_another_from_its_rate() -> None:
    calls: list[Any] = []
    app, gateway = shop(calls, rate="1/s"), Gateway()
    gateway.failures = 1

    @app.on(OrderCreated, retry=NEVER, on_dead="pass", breaker=Breaker(failures=1, open_for=30.0))
    async def charge(order: OrderCreated) -> None:
        gateway.charge(order.order_id)

    async with TestApp(app, raise_dead=False) as test:
        await publish(test, 3)
        await test.settle()

        assert calls == [(0, 0.0), (1, 1.0), (2, 2.0)]
        assert [(each.group, each.seconds) for each in test.held] == [("shop.charge", 28.0)] * 2


def paying(gateway: Gateway, payments: CircuitBreaker) -> App:
    app = App("shop", "memory:")
    app.include(payments)

    @app.on(OrderCreated, retry=LATER)
    async def charge(order: OrderCreated) -> None:
        async with payments:
            gateway.charge(order.order_id)

    return app


async def test_what_an_included_breaker_refuses_is_parked_until_its_time_by_the_tests_clock() -> None:
    gateway = Gateway()
    gateway.failures = 2
    payments = CircuitBreaker("payments", failures=2, open_for=30.0)

    async with TestApp(paying(gateway, payments)) as test:
        await publish(test, 4)
        await test.settle()
        assert payments.is_open
        assert [each.due - test.clock.now() for each in test.parked] == [10.0, 10.0, 30.0, 30.0]

        await test.advance(30.0)

        assert sorted(ids(test.handled)) == [0, 1, 2, 3]
        assert not payments.is_open


async def test_that_a_breaker_opened_is_heard_before_all_is_settled(log: Literal["memory", "sqlite"]) -> None:
    gateway, heard = Gateway(), []
    gateway.failures = 1
    app = paying(gateway, CircuitBreaker("payments", failures=1))

    @app.on("tidings:breaker:*")
    async def hear(told: Event) -> None:
        heard.append(told.type)

    async with TestApp(app, log=log) as test:
        await publish(test, 1)
        await test.settle()
        assert heard == ["tidings:breaker:opened"]

        await test.advance(30.0)

        assert heard == ["tidings:breaker:opened", "tidings:breaker:closed"]


async def test_an_included_breaker_begins_each_test_closed_and_is_left_as_it_was() -> None:
    gateway = Gateway()
    payments = CircuitBreaker("payments", failures=1)
    app, circuit = paying(gateway, payments), payments.circuit

    for _ in range(2):
        gateway.failures = 1
        async with TestApp(app) as test:
            assert not payments.is_open
            await publish(test, 1)
            await test.settle()
            assert payments.is_open

    assert payments.circuit is circuit
    assert not payments.is_open
