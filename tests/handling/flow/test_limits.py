"""Rate, throttle, priority and singleton: how fast, which, in what order, and where."""

import asyncio
import contextlib
import random
from typing import Any

import pytest

from tests.handling.conftest import NewApp
from tests.handling.stage import Heard, OrderCreated, caught_up, parked, pass_time, until
from tidings import App, Batch, Rate, Retry, Throttle
from tidings.clock import ManualClock
from tidings.handling.flow.meter import Meter
from tidings.handling.report import Metrics
from tidings.log.group import LANES, Group


def listening(app: App, **settings: Any) -> Heard[int]:
    heard = Heard[int]()

    @app.on(group="g", **settings)
    async def show(order: OrderCreated) -> None:
        heard.note(int(order.total))

    return heard


def numbered(first: int, end: int, *, keys: int = 1000) -> list[OrderCreated]:
    return [OrderCreated(number % keys, str(number)) for number in range(first, end)]


async def test_no_more_calls_than_the_rate_and_nothing_lost(app: App) -> None:
    heard = listening(app, rate=Rate(10, per=1.0, burst=5))

    async with app.running():
        await app.publish_many(numbered(0, 25))
        await heard.reach(5)
        for seconds, so_many in ((0.1, 6), (0.2, 8), (0.2, 10), (0.5, 15), (0.5, 20), (0.5, 25)):
            pass_time(app, seconds)
            await heard.reach(so_many)
            assert len(heard) == so_many
        await caught_up(app)

    assert heard == list(range(25))


async def test_what_is_done_is_settled_while_the_rest_waits_and_a_stop_ends_the_wait(new_app: NewApp) -> None:
    app = new_app(drain=30.0)
    heard = listening(app, rate="2/h")

    async with asyncio.timeout(5.0), app:
        async with app.running():
            await app.publish_many(numbered(0, 10))
            await heard.reach(1)

            async def is_settled() -> bool:
                (status,) = await app.log.ledger.groups()
                return status.lag == 9

            await until(is_settled, app.log)
        assert heard == [0]


async def test_what_was_read_before_a_long_wait_is_settled_before_it(app: App) -> None:
    heard = listening(app, rate=Rate(1000, per=3600.0, burst=1000))

    async with app.running():
        await app.publish_many(numbered(0, 1001))
        await heard.reach(1000)

        async def is_settled() -> bool:
            (status,) = await app.log.ledger.groups()
            return status.lag == 1

        async with asyncio.timeout(3.0):  # and not only when it looks again
            await until(is_settled, app.log)


async def test_a_group_at_its_rate_gives_lanes_to_a_member_that_joins(new_app: NewApp) -> None:
    first, second = new_app(), new_app()
    listening(first, rate="1/h")
    other = listening(second)

    async with first.running():
        await first.publish_many(numbered(0, 100))
        async with second.running():
            await other.reach(40)


@pytest.mark.parametrize("form", ["async", "plain", "tx"])
async def test_repeats_on_the_spot_are_calls_too(sqlite_url: str, clock: ManualClock, form: str) -> None:
    app, calls = App("shop", sqlite_url, clock=clock), Heard[int]()

    def fail(order: OrderCreated) -> None:
        calls.note(order.order_id)
        raise OSError

    async def fail_async(order: OrderCreated) -> None:
        fail(order)

    def fail_tx(order: OrderCreated, tx: Any) -> None:
        fail(order)

    handler: Any = {"async": fail_async, "plain": fail, "tx": fail_tx}[form]
    app.on(group="g", rate=Rate(1, per=60.0), retry=Retry(wait=1000.0))(handler)

    async with app.running():
        await app.publish_many(numbered(0, 5))
        (one,) = await parked(app, "retry")
        pass_time(app, 59.0)

    assert one.attempts == 1
    assert set(calls) == {0}


async def test_readers_of_one_group_share_its_rate(app: App) -> None:
    heard = listening(app, rate=Rate(8, per=60.0, burst=8), concurrency=8)

    async with app.running():
        await app.publish_many(numbered(0, 100))
        await heard.reach(8)
        pass_time(app, 7.0)  # not yet time for another
        await app.publish_many(numbered(100, 101))
        assert len(heard) == 8
        pass_time(app, 53.0)
        await heard.reach(16)

    assert len(heard) == 16


async def test_a_batch_is_one_call(app: App) -> None:
    heard = Heard[int]()

    @app.on(group="g", rate=Rate(1, per=60.0), batch=Batch(size=10))
    async def take(orders: list[OrderCreated]) -> None:
        heard.note(len(orders))

    async with app.running():
        await app.publish_many(numbered(0, 30))
        for calls in range(1, 4):
            await heard.reach(calls)
            assert len(heard) == calls
            pass_time(app, 60.0)

    assert heard == [10, 10, 10]


async def test_what_a_failed_batch_leaves_to_be_tried_again_comes_at_the_rate_too(app: App) -> None:
    heard = Heard[int]()

    @app.on(group="g", rate=Rate(1, per=60.0), batch=Batch(size=3), retry=Retry(inline=0, wait=0.0, jitter=0.0))
    async def take(orders: list[OrderCreated]) -> None:
        heard.note(len(orders))
        if len(heard) <= 4:
            raise OSError

    async with app.running():
        await app.publish_many(numbered(0, 3))
        await parked(app, "retry", "retry", "retry")
        pass_time(app, 180.0)  # for the three calls that were made one by one, and had not been waited for
        for calls in (5, 6, 7):
            assert len(heard) == calls - 1
            pass_time(app, 60.0)
            await heard.reach(calls)
            assert len(heard) == calls
        await caught_up(app)

    assert heard == [3, 1, 1, 1, 1, 1, 1]


def test_no_window_holds_more_calls_than_the_rate_says(seed: int) -> None:
    chance, clock = random.Random(seed), ManualClock()
    meter, made = Meter(Rate(50, per=2.0, burst=20), clock), []
    for _ in range(3000):
        wait = meter.wait()
        clock.advance(wait if chance.random() < 0.5 else chance.random() * 0.3)
        taken = meter.take(chance.randrange(1, 30))
        given_back = chance.randrange(taken + 1) if chance.random() < 0.2 else 0
        meter.give_back(given_back)
        made += [clock.monotonic()] * (taken - given_back)

    for index, at in enumerate(made[50:], 50):
        assert at - made[index - 50] >= 2.0 - 1e-6
    assert len(made) > clock.monotonic() / 2.0 * 50 * 0.5  # and it is not far below


async def test_the_first_events_of_a_key_count_and_the_rest_are_passed_over(new_app: NewApp) -> None:
    told: list[Metrics] = []
    app = new_app(metrics=told.append)
    heard = listening(app, throttle="1/10s")

    async with app.running():
        await app.publish_many(numbered(0, 10, keys=2))
        await heard.reach(2)
        await caught_up(app)
        pass_time(app, 10.0)
        await app.publish_many(numbered(10, 14, keys=2))
        await heard.reach(4)
        await caught_up(app)

    assert heard == [0, 1, 10, 11]
    assert sum(each.passed_over for each in told) == 10
    assert sum(each.handled for each in told) == 4


async def test_a_throttled_event_that_was_not_handled_comes_again(new_app: NewApp) -> None:
    first, second = new_app(drain=0.05), new_app()
    began = Heard[int]()

    @first.on(group="g", throttle="1/h")
    async def hang(order: OrderCreated) -> None:
        began.note(int(order.total))
        await asyncio.Event().wait()

    after = listening(second, throttle=Throttle(1, per=3600.0))
    async with second:
        async with first.running():
            await first.publish_many(numbered(0, 3, keys=1))
            await began.reach(1)
        async with second.running():
            await after.reach(1)
            await caught_up(second)

    assert after == [0]


async def test_the_leading_event_is_not_forgotten_when_lanes_change_hands(new_app: NewApp) -> None:
    first, second = new_app(), new_app()
    heard = listening(first, throttle="1/h", rate=Rate(1, per=60.0))  # so that all but one wait behind the throttle
    other = listening(second, throttle="1/h")

    async with first.running():
        await first.publish_many(numbered(0, 50, keys=25))
        await heard.reach(1)
        async with second.running():
            await other.reach(5)
        for so_many in range(2, 100):  # each of the others in its turn, in whoever's hands it was meanwhile
            if len({*heard, *other}) == 25:
                break
            pass_time(first, 60.0)
            await until(_reached(heard, min(so_many, 25 - len(other))), first.log)

    assert {*heard, *other} == set(range(25))


def _reached(heard: Heard[int], count: int) -> Any:
    async def is_so() -> bool:
        return len(heard) >= count

    return is_so


async def test_a_throttled_event_that_fails_is_tried_again(app: App) -> None:
    heard = Heard[int]()

    @app.on(group="g", throttle="1/h", retry=Retry(inline=0, wait=1.0, jitter=0.0))
    async def show(order: OrderCreated) -> None:
        heard.note(int(order.total))
        if len(heard) == 1:
            raise OSError

    async with app.running():
        await app.publish_many(numbered(0, 3, keys=1))
        await parked(app, "retry")
        pass_time(app, 1.0)
        await heard.reach(2)
        await caught_up(app)

    assert heard == [0, 0]


@pytest.mark.parametrize("settings", [{}, {"rate": Rate(100, burst=1)}, {"concurrency": 12}], ids=str)
async def test_keys_of_a_higher_priority_come_first_and_each_keeps_its_order(sqlite_url: str, settings: Any) -> None:
    app = App("shop", sqlite_url)
    heard = Heard[tuple[int, int]]()

    @app.on(group="g", priority=lambda order: order.order_id, **settings)
    async def show(order: OrderCreated) -> None:
        heard.note((order.order_id, int(order.total)))

    async with app:
        await app.publish_many(numbered(0, 50, keys=5))
        async with app.running():
            await heard.reach(50)
            await caught_up(app)

    for key in range(5):
        assert [total for order_id, total in heard if order_id == key] == list(range(key, 50, 5))
    if "concurrency" not in settings:
        assert heard == sorted(heard, key=lambda each: (-each[0], each[1]))


async def test_a_change_elsewhere_has_nothing_called_twice_while_a_rate_holds_back(url: str) -> None:
    app = App("shop", url)
    heard = listening(app, priority=lambda order: order.order_id, rate=Rate(50, burst=1))

    async with app:
        await app.publish_many(numbered(0, 10))
        async with app.running():
            for number in range(1, 11):
                await heard.reach(number)
                await app.log.ledger.join(Group(f"other-{number}", ("order:*",)))
            await caught_up(app, "g")

    assert heard == list(range(9, -1, -1))


async def test_a_pause_while_a_rate_holds_back_stops_the_calls_and_has_none_repeated(app: App) -> None:
    heard = listening(app, priority=lambda order: order.order_id, rate=Rate(1, per=60.0))

    async with app:
        await app.publish_many(numbered(0, 5))
        async with app.running():
            running: Any = app._running

            async def is_paused() -> bool:
                return bool(running.readers[0].settling.held.state == "paused")

            await heard.reach(1)
            await app.log.ledger.set_state("g", "paused")
            await until(is_paused, app.log)
            pass_time(app, 300.0)
            await app.log.ledger.join(Group("other", ("order:*",)))
            assert heard == [4]
            await app.log.ledger.set_state("g", "live")
            for number in range(2, 6):
                await heard.reach(number)
                pass_time(app, 60.0)
            await caught_up(app, "g")

    assert heard == [4, 3, 2, 1, 0]


async def test_priorities_by_key_in_a_plain_function(app: App) -> None:
    heard = Heard[int]()

    @app.on(group="g", priority={"3": 1})
    def show(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with app:
        await app.publish_many(numbered(0, 5))
        async with app.running():
            await heard.reach(5)

    assert heard == [3, 0, 1, 2, 4]


@pytest.mark.parametrize("settings", [{}, {"rate": Rate(20, burst=5)}], ids=str)
async def test_a_stop_among_priorities_loses_nothing(new_app: NewApp, settings: Any) -> None:
    first, second = new_app(drain=0.05), new_app()
    before = Heard[int]()

    @first.on(group="g", priority=lambda order: order.order_id, **settings)
    async def hang(order: OrderCreated) -> None:
        before.note(order.order_id)
        if len(before) == 5:
            await asyncio.Event().wait()

    after = listening(second)
    async with second:
        await second.publish_many(numbered(0, 20))
        async with first.running():
            await before.reach(5)
        (status,) = await second.log.ledger.groups()
        async with second.running():
            await until(_covers(after, set(range(20)) - set(before[:4])), second.log)
            await caught_up(second)

    assert before == [19, 18, 17, 16, 15]
    assert status.lag == 20  # the first of the log has no answer yet


def _covers(heard: Heard[int], wanted: set[int]) -> Any:
    async def is_so() -> bool:
        return wanted <= set(heard)

    return is_so


async def test_a_priority_that_cannot_be_told_is_none(app: App) -> None:
    def rank(order: OrderCreated) -> int:
        raise LookupError

    heard = listening(app, priority=rank)

    async with app.running():
        await app.publish_many(numbered(0, 5))
        await heard.reach(5)

    assert heard == list(range(5))


async def test_a_singleton_has_all_lanes_and_its_heir_gets_them(new_app: NewApp) -> None:
    first, second = new_app(), new_app()
    one, other = listening(first, singleton=True), listening(second, singleton=True)

    async def lanes(app: App) -> int:
        return sum([each.lanes for each in (await app.health()).groups])

    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(second)
        async with first.running():
            await first.publish_many(numbered(0, 10))
            await one.reach(10)
            await stack.enter_async_context(second.running())
            await first.publish_many(numbered(10, 20))
            await one.reach(20)
            assert (await lanes(first), await lanes(second)) == (LANES, 0)
        await second.publish_many(numbered(20, 30))
        await other.reach(10)
        assert await lanes(second) == LANES

    assert (one, other) == (list(range(20)), list(range(20, 30)))
