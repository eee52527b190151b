"""An application without a log in a test: its handlers hear a broker in memory, with the abilities of their own."""

import asyncio
from typing import Any

import pytest

from tests.testing.shop import Gateway, OrderCreated, PaymentCaptured, StockReserved, new_shop
from tidings import App, Event, Reject, Retry, Transaction
from tidings.errors import CircuitOpen, ConfigurationError
from tidings.handling.flow.settings import Batch
from tidings.testing import Faults, TestApp, UnexpectedDeadLetters

KEEPS = "sqlite:////nowhere/bus.db"  # a carrier that hands over later and keeps dead letters
CANNOT_DELAY = "kafka://nowhere:9092"


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def shop(gateway: Gateway) -> App:
    return new_shop(gateway, broker=KEEPS)


async def test_settling_returns_when_all_that_was_caused_is_handled(shop: App, gateway: Gateway) -> None:
    async with TestApp(shop) as test:
        for number in range(50):
            await test.publish(OrderCreated(number))
        await test.settle()

        assert len(test.published.of(PaymentCaptured)) == 50
        assert sorted(each.group for each in test.handled) == ["shop.capture"] * 50 + ["shop.reserve"] * 50
        test.assert_handled(StockReserved, order_id=7, attempts=1)
        test.assert_published(PaymentCaptured(7), times=1)
    assert gateway.charged == dict.fromkeys(range(50), 1)


async def test_it_has_no_log_in_the_test_either() -> None:
    app = App("shop", broker=KEEPS)

    @app.on(OrderCreated)
    def write(order: OrderCreated, tx: Transaction) -> None: ...

    with pytest.raises(
        ConfigurationError, match=r"shop\.write hears sqlite:////nowhere/bus\.db directly, and tx needs"
    ):
        async with TestApp(app):
            pytest.fail("it ran")
    with pytest.raises(ConfigurationError, match="gets none in a test"):
        async with TestApp(app, log="sqlite"):
            pytest.fail("it ran")


async def test_a_failed_event_comes_again_when_the_clock_is_moved(shop: App, gateway: Gateway) -> None:
    gateway.failures = 5

    async with TestApp(shop) as test:
        await test.publish(OrderCreated(1))
        await test.settle()
        assert [(each.group, each.state, each.event.data) for each in test.parked] == [
            ("shop.capture", "retry", StockReserved(1))
        ]

        await test.advance(9)
        test.assert_published(PaymentCaptured, times=0)
        await test.advance(31)
        test.assert_handled(StockReserved(1), attempts=6)


async def test_a_dead_letter_is_seen_and_expected(shop: App) -> None:
    async with TestApp(shop) as test:
        await test.publish(OrderCreated(1, cds=0))
        await test.settle()

        test.assert_dead(OrderCreated, reason="is empty")
        assert "raise Reject" in test.dead[0].traceback
        assert test.handled == []


async def test_a_dead_letter_nobody_expected_fails_the_test(shop: App) -> None:
    async def run() -> None:
        async with TestApp(shop) as test:
            await test.publish(OrderCreated(1, cds=0))
            await test.settle()

    with pytest.raises(UnexpectedDeadLetters, match="order 1 is empty"):
        await run()


async def test_it_can_do_no_more_than_its_own_carrier() -> None:
    app, calls = App("shop", broker=CANNOT_DELAY), []

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        calls.append(order.order_id)
        raise OSError("busy")

    async with TestApp(app) as test:
        await test.publish(OrderCreated(1))
        await test.settle()

        test.assert_dead(OrderCreated(1))
        assert calls == [1, 1, 1, 1], "at once only"


async def test_what_its_own_carrier_cannot_is_refused(gateway: Gateway) -> None:
    with pytest.raises(ConfigurationError, match="kafka://nowhere:9092 directly, which hands no event over later"):
        async with TestApp(new_shop(gateway, broker=CANNOT_DELAY)):
            pytest.fail("it ran")


async def test_the_event_at_which_a_group_stops_is_given_up() -> None:
    app = App("shop", broker="mqtt://nowhere")

    @app.on(OrderCreated, on_exhausted="stop")
    async def note(order: OrderCreated) -> None:
        if order.order_id == 1:
            raise Reject("no such thing")

    async with TestApp(app) as test:
        for number in range(3):
            await test.publish(OrderCreated(number))
        await test.settle()

        test.assert_dead(OrderCreated(1), group=note, reason="no such thing")
        assert [each.event.data for each in test.handled] == [OrderCreated(0)]


async def test_what_arrives_from_others_is_handled(shop: App) -> None:
    async with TestApp(shop) as test:
        await test.arrive(OrderCreated(1), source="web")
        await test.settle()

        test.assert_published(PaymentCaptured(1))
        assert test.relayed.of(OrderCreated) == []
        assert test.relayed.of(PaymentCaptured) == [PaymentCaptured(1)]


@pytest.mark.parametrize("concurrency", [1, 8])
async def test_whatever_the_carrier_does_each_order_is_paid(gateway: Gateway, concurrency: int) -> None:
    app = App("shop", broker=KEEPS)

    @app.on(OrderCreated, concurrency=concurrency)
    async def reserve(order: OrderCreated) -> StockReserved:
        return StockReserved(order.order_id)

    @app.on(StockReserved)
    def capture(stock: StockReserved) -> None:
        gateway.charge(stock.order_id, str(stock.order_id))

    faults = Faults(drop=0.3, duplicate=0.5, reorder=True, delay=0.2, fail_before=0.1, fail_after=0.1, seed=3)
    async with TestApp(app, faults=faults) as test:
        for number in range(40):
            await test.publish(OrderCreated(number))
        await test.settle(timeout=30)
        await test.advance(60, timeout=30)

        assert gateway.charged == dict.fromkeys(range(40), 1)
        assert max(each.calls for each in test.handled) > 1
    assert {met.kind for met in faults.met} >= {"drop", "duplicate", "delay", "reorder"}


@pytest.mark.parametrize("moves", ["settle", "advance"])
async def test_a_list_waits_by_the_tests_clock(moves: str) -> None:
    app, lists = App("shop", broker=KEEPS), list[int]()

    @app.on(OrderCreated, batch=Batch(size=10, wait=60.0))
    async def note(orders: list[OrderCreated]) -> None:
        lists.append(len(orders))

    async with TestApp(app) as test:
        for number in range(13):
            await test.publish(OrderCreated(number))
        await test.advance(1)
        assert (lists, len(test.held), {each.by for each in test.held}) == ([10], 3, {"batch"})
        if moves == "settle":
            await test.settle()
        else:
            await test.advance(60)
        assert (lists, test.held, len(test.handled)) == ([10, 3], [], 13)


async def test_an_open_breaker_is_waited_for_in_the_tests_time() -> None:
    app, is_open = App("shop", broker=CANNOT_DELAY), [True]

    @app.on(OrderCreated)
    async def pay(order: OrderCreated) -> None:
        if is_open.pop():
            is_open.append(False)
            raise CircuitOpen("payments", app.clock.now() + 30.0)
        is_open.append(False)

    async with TestApp(app) as test:
        await test.publish(OrderCreated(1))
        await test.settle()
        assert [(each.by, each.event.data) for each in test.held] == [("breaker", OrderCreated(1))]

        await test.advance(31)
        test.assert_handled(OrderCreated(1))


async def test_broadcasts_are_heard_from_the_first_event_on() -> None:
    app, heard = App("shop", broker=KEEPS), list[Any]()

    @app.on(OrderCreated, broadcast=True)
    async def note(order: OrderCreated) -> None:
        heard.append(order)

    async with TestApp(app) as test:
        await test.publish(OrderCreated(1))
        await test.settle()

        assert heard == [OrderCreated(1)]
        test.assert_handled(OrderCreated(1), group=note)


async def test_a_direct_handler_beside_those_of_a_log_is_waited_for() -> None:
    app = App("shop", log="sqlite:////nowhere/shop.db", broker=KEEPS)

    @app.on(OrderCreated, direct=True, retry=Retry(attempts=5, wait=10.0))
    async def quick(order: OrderCreated, event: Event) -> StockReserved:
        await asyncio.sleep(0.01)
        if order.cds == 0:
            raise OSError("busy")
        return StockReserved(order.order_id)

    @app.on(StockReserved)
    async def kept(stock: StockReserved) -> PaymentCaptured:
        return PaymentCaptured(stock.order_id)

    async with TestApp(app) as test:
        await test.arrive_many([OrderCreated(1), OrderCreated(2, cds=0)])
        await test.settle()

        test.assert_handled(OrderCreated(1), group=quick)
        test.assert_handled(StockReserved(1), group=kept)
        assert [(each.group, each.event.data.order_id) for each in test.parked] == [("shop.quick", 2)]
        await test.advance(3600)
        test.assert_dead(OrderCreated(2, cds=0), group=quick)
