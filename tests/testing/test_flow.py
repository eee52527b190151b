"""Flow control in a test: time passes as far as it asks for, what it holds back is shown, and lists are calls too."""

import re
from typing import Any, Literal

import pytest

from tests.testing.shop import Gateway, OrderCreated, PaymentCaptured, StockReserved
from tidings import App, Batch, Breaker, CircuitBreaker, Debounce, Event, Rate, Reject, Retry, Transaction
from tidings.testing import Faults, NotSettled, Nth, TestApp

NEVER = Retry(attempts=1, inline=0)
LATER = Retry(on=ConnectionError, attempts=20, inline=0, wait=10.0, factor=1.0, jitter=0.0)


def shop(calls: list[Any], **settings: Any) -> App:
    """One handler, which notes what it is called with and when."""
    app = App("shop", "memory:")

    @app.on(OrderCreated, **settings)
    async def take(order: OrderCreated) -> None:
        calls.append((order.order_id, round(app.clock.monotonic(), 3)))

    return app


def listing(calls: list[list[int]], **settings: Any) -> App:
    app = App("shop", "memory:")

    @app.on(OrderCreated, **settings)
    async def take(orders: list[OrderCreated]) -> None:
        calls.append([order.order_id for order in orders])

    return app


async def publish(test: TestApp, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        await test.publish(OrderCreated(number))


def ids(outcomes: Any) -> list[int]:
    return [each.event.data.order_id for each in outcomes]


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
