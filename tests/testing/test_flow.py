"""Flow control in a test: time passes as far as it asks for, and what it holds back is shown."""

import re
from typing import Any, Literal

import pytest

from tests.testing.shop import Gateway, OrderCreated, PaymentCaptured, StockReserved
from tests.testing.stage import LATER, ids, publish, shop
from tidings import App, Batch, Debounce, Rate
from tidings.testing import Faults, NotSettled, Nth, TestApp


async def test_settling_lets_the_time_of_a_rate_pass(log: Literal["memory", "sqlite"]) -> None:
    calls: list[Any] = []

    async with TestApp(shop(calls, rate=Rate(10, per=1.0, burst=2)), log=log) as test:
        await publish(test, 6)
        await test.settle()

        assert calls == [(0, 0.0), (1, 0.0), (2, 0.1), (3, 0.2), (4, 0.3), (5, 0.4)]
        assert ids(test.handled) == list(range(6))
        assert test.held == []
        assert test.clock.monotonic() == pytest.approx(0.4, abs=1e-3)


async def test_advancing_lets_no_more_time_pass_than_it_says(log: Literal["memory", "sqlite"]) -> None:
    calls: list[Any] = []

    async with TestApp(shop(calls, rate=Rate(1, per=60.0)), log=log) as test:
        await publish(test, 4)
        await test.advance(90.0)

        assert calls == [(0, 0.0), (1, 60.0)]
        assert ids(test.handled) == [0, 1]
        assert ids(test.held) == [2, 3]
        assert [(each.group, each.by, each.seconds) for each in test.held] == [("shop.take", "rate", 30.0)] * 2
        await test.advance(0)
        assert test.clock.monotonic() == 90.0


async def test_what_is_done_before_a_short_wait_is_committed_when_advancing_ends() -> None:
    calls: list[Any] = []

    async with TestApp(shop(calls, rate=Rate(100, per=1.0, burst=1))) as test:
        await test.app.publish_many([OrderCreated(number) for number in range(5)])
        await test.advance(0.025)

        assert ids(test.handled) == [0, 1, 2]
        assert ids(test.held) == [3, 4]


async def test_many_events_at_a_rate_settle() -> None:
    calls: list[Any] = []

    async with TestApp(shop(calls, rate="100/s")) as test:
        await publish(test, 200)
        await test.settle()

    assert len(calls) == 200
    assert calls[-1][1] == pytest.approx(1.9, abs=0.01)


async def test_a_rate_shared_by_several_readers_settles() -> None:
    calls: list[Any] = []

    async with TestApp(shop(calls, rate="10/s", concurrency=4)) as test:
        await publish(test, 20)
        await test.settle()

        assert sorted(ids(test.handled)) == list(range(20))


async def test_a_group_is_held_when_none_of_its_readers_is_at_work() -> None:
    calls: list[Any] = []
    app = shop(calls, rate="1/m", concurrency=4)

    async with TestApp(app, faults=Faults(fail_before=Nth(1))) as test:  # its reader waits, in real time
        await publish(test, 8)
        await test.advance(30.0)

        assert len(calls) == 1
        assert sorted(ids(test.held)) == list(range(8))
        await test.settle()
        assert sorted(ids(test.handled)) == list(range(8))


async def test_events_that_are_caused_by_held_ones_are_settled_too() -> None:
    app = App("shop", "memory:")

    @app.on(OrderCreated, rate="1/m")
    async def reserve(order: OrderCreated) -> StockReserved:
        return StockReserved(order.order_id)

    @app.on(StockReserved, batch=Batch(size=10, wait=30.0))
    async def capture(stocks: list[StockReserved]) -> list[PaymentCaptured]:
        return [PaymentCaptured(stock.order_id) for stock in stocks]

    async with TestApp(app) as test:
        await publish(test, 3)
        await test.settle()

        assert [each.order_id for each in test.published.of(PaymentCaptured)] == [0, 1, 2]
        assert test.clock.monotonic() == pytest.approx(150.0)


async def test_what_falls_due_while_a_rate_lets_time_pass_is_done_in_its_turn() -> None:
    calls: list[Any] = []
    app, gateway = shop(calls, rate="1/m"), Gateway()
    gateway.failures = 1

    @app.on(PaymentCaptured, retry=LATER)
    async def thank(payment: PaymentCaptured) -> None:
        gateway.charge(payment.order_id)

    async with TestApp(app) as test:
        await test.publish(PaymentCaptured(7))
        await test.settle()
        assert ids(test.parked) == [7]
        await publish(test, 1)
        await test.settle()
        assert ids(test.parked) == [7]  # nothing is held back: no time passes

        await publish(test, 1, first=1)
        await test.settle()

        test.assert_handled(PaymentCaptured, group=thank, attempts=2)
        assert calls == [(0, 0.0), (1, 60.0)]


async def test_a_retry_that_waits_behind_a_rate_is_held_with_it() -> None:
    app, gateway = App("shop", "memory:"), Gateway()
    gateway.failures = 1

    @app.on(OrderCreated, rate="1/m", retry=LATER)
    async def take(order: OrderCreated) -> None:
        gateway.charge(order.order_id)

    async with TestApp(app) as test:
        await publish(test, 2)
        await test.advance(20.0)
        assert ids(test.parked) == [0]

        await test.settle()

        assert sorted(ids(test.handled)) == [0, 1]


async def test_time_that_never_gets_there_ends_with_who_holds_what() -> None:
    calls: list[Any] = []
    app = shop(calls, rate="1/h")

    @app.every("30m")
    async def feed() -> list[OrderCreated]:
        return [OrderCreated(1), OrderCreated(2)]

    async with TestApp(app) as test:
        await publish(test, 2)
        told = []
        for _ in range(10):  # the limit may pass while something is handled, which is told then
            with pytest.raises(NotSettled) as refused:
                await test.settle(timeout=0.3)
            told.append(str(refused.value))

    wanted = re.compile(r"shop.take holds \d+ events back by its rate for [\d.]+ s, the first is order:created")
    assert any(map(wanted.search, told)), told[0]


async def test_a_throttle_passes_over_and_holds_nothing() -> None:
    calls: list[Any] = []

    async with TestApp(shop(calls, throttle="1/10s")) as test:
        for _ in range(3):
            await test.publish(OrderCreated(7))
        await test.settle()
        assert (len(calls), test.held, test.clock.monotonic()) == (1, [], 0.0)

        await test.advance(10.0)
        await test.publish(OrderCreated(7))
        await test.settle()

        assert calls == [(7, 0.0), (7, 10.0)]


async def test_what_is_debounced_is_parked_until_it_is_time() -> None:
    calls: list[Any] = []

    async with TestApp(shop(calls, debounce=Debounce(2.0))) as test:
        for cds in (1, 2, 3):
            await test.publish(OrderCreated(7, cds))
        await test.settle()
        assert [each.event.data.cds for each in test.parked] == [3]
        assert (calls, test.held, test.clock.monotonic()) == ([], [], 0.0)

        await test.advance(2.0)

        assert calls == [(7, 2.0)]
        test.assert_handled(OrderCreated, cds=3)


async def test_priorities_settle_in_their_order() -> None:
    calls: list[Any] = []
    app = shop(calls, priority=lambda order: order.cds, rate=Rate(1, per=1.0))

    async with TestApp(app) as test:
        await app.publish_many([OrderCreated(number, cds=number) for number in range(4)])
        await test.advance(1.5)
        assert [each for each, _ in calls] == [3, 2]
        assert ids(test.held) == [0, 1]

        await test.settle()

        assert [each for each, _ in calls] == [3, 2, 1, 0]
        assert ids(test.handled) == [0, 1, 2, 3]


@pytest.mark.parametrize("moves", [False, True])
async def test_a_singleton_settles(moves: bool) -> None:
    calls: list[Any] = []

    async with TestApp(shop(calls, singleton=True)) as test:
        await publish(test, 3)
        await (test.advance(1.0) if moves else test.settle())

        assert calls == [(0, 0.0), (1, 0.0), (2, 0.0)]
