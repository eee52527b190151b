"""A `CircuitBreaker` around a dependency: who may call, in tasks, threads and handlers, and what is set aside."""

import asyncio
import threading
from typing import Any

import pytest

from tests.handling.stage import Heard, OrderCreated, caught_up, parked, pass_time
from tidings import App, Batch, CircuitBreaker, CircuitOpen, Reject, Retry
from tidings.clock import ManualClock


@pytest.fixture
def payments(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker("payments", failures=2, within=60.0, open_for=30.0).under(clock)


def fail(breaker: CircuitBreaker, error: BaseException | None = None, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(type(error or OSError())), breaker:
            raise error or OSError


def test_it_opens_refuses_and_closes_after_a_trial(payments: CircuitBreaker, clock: ManualClock) -> None:
    fail(payments, times=2)

    with pytest.raises(CircuitOpen) as refused, payments:
        pytest.fail("it let a call through")
    assert (refused.value.name, refused.value.until) == ("payments", clock.now() + 30.0)
    clock.advance(30.0)
    fail(payments)
    assert payments.is_open
    clock.advance(30.0)
    with payments:
        pass

    assert not payments.is_open
    fail(payments)
    assert not payments.is_open


def test_a_wall_clock_that_jumps_changes_no_waiting_time(payments: CircuitBreaker, clock: ManualClock) -> None:
    fail(payments, times=2)
    clock.set(clock.now() + 3600.0)

    with pytest.raises(CircuitOpen) as refused, payments:
        pytest.fail("it let a call through")

    assert refused.value.until == clock.now() + 30.0


def test_failures_count_within_their_time(payments: CircuitBreaker, clock: ManualClock) -> None:
    fail(payments)
    clock.advance(61.0)
    fail(payments)
    assert not payments.is_open

    fail(payments)

    assert payments.is_open


def test_a_rejection_and_errors_of_other_kinds_are_no_failures(clock: ManualClock) -> None:
    breaker = CircuitBreaker("payments", failures=1, on=OSError).under(clock)

    fail(breaker, Reject())
    fail(breaker, ValueError())
    assert not breaker.is_open
    fail(breaker)

    assert breaker.is_open


async def test_one_task_makes_the_trial_and_others_are_refused_meanwhile(
    payments: CircuitBreaker, clock: ManualClock
) -> None:
    began, gate = asyncio.Event(), asyncio.Event()

    async def call() -> None:
        async with payments, payments:  # nested, as a function that calls another
            began.set()
            await gate.wait()

    fail(payments, times=2)
    clock.advance(30.0)
    trial = asyncio.create_task(call())
    await began.wait()

    with pytest.raises(CircuitOpen) as refused:
        async with payments:
            pytest.fail("two trials at a time")
    assert clock.now() < refused.value.until <= clock.now() + 1.0
    gate.set()
    await trial
    assert not payments.is_open


async def test_a_trial_that_is_cancelled_leaves_the_next_to_another(
    payments: CircuitBreaker, clock: ManualClock
) -> None:
    began = asyncio.Event()

    async def call() -> None:
        async with payments:
            began.set()
            await asyncio.Event().wait()

    fail(payments, times=2)
    clock.advance(30.0)
    trial = asyncio.create_task(call())
    await began.wait()
    trial.cancel()
    await asyncio.wait([trial])

    async with payments:
        pass

    assert not payments.is_open


async def test_it_decorates_functions_of_both_kinds(payments: CircuitBreaker) -> None:
    @payments
    def plain(number: int) -> int:
        """Plain."""
        return number + 1

    @payments
    async def awaited(number: int) -> int:
        return number + 2

    assert (plain(1), await awaited(1), plain.__name__, plain.__doc__) == (2, 3, "plain", "Plain.")
    fail(payments, times=2)
    with pytest.raises(CircuitOpen):
        plain(1)
    with pytest.raises(CircuitOpen):
        await awaited(1)


def test_many_threads_count_every_failure(clock: ManualClock) -> None:
    breaker = CircuitBreaker("payments", failures=800, within=60.0).under(clock)
    threads = [threading.Thread(target=fail, args=(breaker, None, 100)) for _ in range(8)]
    fail(breaker, times=0)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10.0)

    assert breaker.is_open


@pytest.fixture(params=["async", "plain", "list"])
def shape(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def charging(app: App, payments: CircuitBreaker, shape: str, works: threading.Event) -> Heard[int]:
    """A handler of this shape, which notes each call that reached the dependency."""
    heard = Heard[int]()

    def reach(order: OrderCreated) -> None:
        heard.note(order.order_id)
        if not works.is_set():
            raise OSError("away")

    async def call(order: OrderCreated) -> None:
        async with payments:
            reach(order)

    def call_plainly(order: OrderCreated) -> None:
        with payments:
            reach(order)

    async def call_many(orders: list[OrderCreated]) -> None:
        for order in orders:
            async with payments:
                reach(order)

    handler: Any = {"async": call, "plain": call_plainly, "list": call_many}[shape]
    settings: Any = {"batch": Batch(size=1)} if shape == "list" else {}
    app.on(group="g", retry=Retry(attempts=2, inline=0, wait=500.0, longest=500.0, jitter=0.0), **settings)(handler)
    return heard


async def test_a_handler_that_is_refused_burns_no_attempt_and_comes_back_at_the_trial(
    app: App, payments: CircuitBreaker, shape: str
) -> None:
    works = threading.Event()
    heard = charging(app, payments, shape, works)
    app.include(payments)

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in range(5)])
        found = await parked(app, *["retry"] * 5)
        assert [(one.attempts, one.due - app.clock.now()) for one in found] == [(1, 500.0)] * 2 + [(0, 30.0)] * 3
        assert found[2].reason.startswith("CircuitOpen")
        works.set()
        pass_time(app, 30.0)
        await heard.reach(5)
        pass_time(app, 470.0)
        await heard.reach(7)
        await caught_up(app)

    assert heard == [0, 1, 2, 3, 4, 0, 1]


async def test_refusals_alone_never_make_a_dead_letter(app: App, payments: CircuitBreaker) -> None:
    @app.on(group="g", retry=Retry.never(Exception))
    async def charge(order: OrderCreated) -> None:
        async with payments:
            pytest.fail("it is open")

    app.include(payments)
    fail(payments, times=2)

    async with app.running():
        await app.publish(OrderCreated(1))
        (one,) = await parked(app, "retry", group="g")

    assert one.attempts == 0


async def test_a_time_limit_is_a_failure_of_what_was_waited_for(sqlite_url: str) -> None:
    app, payments = App("shop", sqlite_url), CircuitBreaker("payments", failures=1)

    @app.on(group="g", timeout=0.05)
    async def charge(order: OrderCreated) -> None:
        async with payments:
            await asyncio.Event().wait()

    app.include(payments)
    async with app.running():
        await app.publish(OrderCreated(1))
        (one,) = await parked(app, "retry", group="g")

    assert one.reason.startswith("HandlerTimeout")
    assert payments.is_open


async def test_its_state_is_in_health_and_its_changes_are_events(app: App, payments: CircuitBreaker) -> None:
    opened, closed, works = Heard[Any](), Heard[Any](), threading.Event()
    charging(app, payments, "plain", works)
    app.include(payments)
    app.on("tidings:breaker:opened", group="opened")(_noting(opened))
    app.on("tidings:breaker:closed", group="closed")(_noting(closed))

    async with app.running():
        before = await app.health()
        await app.publish_many([OrderCreated(number) for number in range(5)])
        await opened.reach(1)
        meanwhile = await app.health()
        works.set()
        pass_time(app, 30.0)
        await closed.reach(1)
        after = await app.health()

    assert [(each.name, each.state) for each in before.breakers] == [("payments", "closed")]
    assert [(each.name, each.state) for each in meanwhile.breakers] == [("payments", "open")]
    assert not meanwhile.healthy
    assert "the breaker payments is open" in meanwhile.troubles[0]
    assert after.healthy
    assert (opened[0]["name"], opened[0]["group"], opened[0]["failures"]) == ("payments", "g", 2)
    assert closed[0]["name"] == "payments"


def _noting(heard: Heard[Any]) -> Any:
    async def note(data: Any) -> None:
        heard.note(data)

    return note
