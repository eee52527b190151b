"""A group's breaker: it stops calling what keeps failing, burns no attempts meanwhile, and tries with one event."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.handling.conftest import NewApp
from tests.handling.stage import Heard, OrderCreated, caught_up, facts, parked, pass_time, until
from tidings import App, Breaker, BreakerClosed, Reject, Retry
from tidings.log import Where

ONCE = Retry(inline=0, wait=1000.0, jitter=0.0)


class Dependency:
    """What a handler calls: works, or not."""

    def __init__(self, app: App, *, is_async: bool = True, **settings: Any) -> None:
        self.heard = Heard[int]()
        self.works = False
        arguments = {"breaker": Breaker(failures=2, within=60.0, open_for=30.0), "retry": ONCE} | settings
        app.on(group="g", **arguments)(self._handle_async if is_async else self._handle)

    async def _handle_async(self, order: OrderCreated) -> None:
        self._handle(order)

    def _handle(self, order: OrderCreated) -> None:
        self.heard.note(order.order_id)
        if not self.works:
            raise OSError("away")


async def trouble(app: App, *, is_there: bool = True) -> str:
    """The group's trouble, once there is one (or none)."""
    found: list[str] = []

    async def is_so() -> bool:
        found[:] = [each.trouble or "" for each in (await app.health()).groups if each.name == "g"]
        return bool(found[0]) is is_there

    await until(is_so, app.log)
    return found[0]


def told(reports: pytest.LogCaptureFixture, what: str, count: int = 1) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        return len(facts(reports, what)) == count

    return is_so


@pytest.mark.parametrize("is_async", [True, False])
async def test_after_some_failures_nothing_is_called_until_a_trial_succeeds(app: App, is_async: bool) -> None:
    dependency = Dependency(app, is_async=is_async)

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in range(10)])
        assert "breaker g is open" in await trouble(app)
        assert dependency.heard == [0, 1]
        assert [one.attempts for one in await parked(app, "retry", "retry")] == [1, 1]
        dependency.works = True
        pass_time(app, 29.0)
        assert "is open" in await trouble(app)
        assert dependency.heard == [0, 1]
        pass_time(app, 1.0)
        await dependency.heard.reach(10)
        await trouble(app, is_there=False)
        pass_time(app, 1000.0)
        await caught_up(app)

    assert sorted(dependency.heard) == [0, 0, 1, 1, *range(2, 10)]


async def test_a_trial_that_fails_opens_it_again_and_another_event_makes_the_next(
    app: App, reports: pytest.LogCaptureFixture
) -> None:
    dependency = Dependency(app)

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in range(10)])
        await until(told(reports, "breaker opened"), app.log)
        pass_time(app, 30.0)
        await until(told(reports, "breaker stays open"), app.log)
        dependency.works = True
        pass_time(app, 30.0)
        await dependency.heard.reach(10)
        await until(told(reports, "breaker closed"), app.log)

    assert dependency.heard == list(range(10))
    assert len(facts(reports, "breaker opened")) == 1


async def test_what_is_done_is_settled_while_it_is_open(app: App) -> None:
    dependency = Dependency(app)
    dependency.works = True

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in range(3)])
        await caught_up(app, "g")
        dependency.works = False
        await app.publish_many([OrderCreated(number) for number in range(3, 10)])
        await trouble(app)

        async def is_settled() -> bool:
            (status,) = [each for each in await app.log.ledger.groups() if each.name == "g"]
            return status.retry == 2 and status.lag <= 6  # five events, and the one that tells of the breaker

        await until(is_settled, app.log)


async def test_attempts_are_burnt_by_calls_alone_and_nothing_dies_of_an_outage(
    app: App, reports: pytest.LogCaptureFixture
) -> None:
    dependency = Dependency(app, retry=Retry(attempts=20, inline=3, wait=1.0, longest=1.0, jitter=0.0))

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in range(3)])

        async def is_tried() -> bool:
            pass_time(app, 10.0)
            return len(facts(reports, "breaker stays open")) >= 6

        await until(is_tried, app.log)
        calls = len(dependency.heard)
        assert sum(one.attempts for one in await app.log.ledger.parked("g")) <= calls
        assert not [one for one in await app.log.ledger.parked("g") if one.state == "dead"]
        dependency.works = True

        async def is_done() -> bool:
            pass_time(app, 10.0)
            (group,) = await app.log.ledger.groups()
            return not group.lag and not await app.log.ledger.parked("g")

        await until(is_done, app.log)

    assert calls <= 9  # two to open it, and one a trial
    assert set(dependency.heard) == {0, 1, 2}


async def test_failures_far_apart_and_rejections_do_not_open_it(app: App) -> None:
    heard = Heard[int]()

    @app.on(group="g", retry=ONCE, breaker=Breaker(failures=2, within=60.0))
    async def show(order: OrderCreated) -> None:
        heard.note(order.order_id)
        if order.total == "reject":
            raise Reject
        raise OSError

    async with app.running():
        await app.publish_many([OrderCreated(number, "reject") for number in range(5)])
        await parked(app, *["dead"] * 5)
        await app.publish(OrderCreated(6))
        await parked(app, *["dead"] * 5, "retry")
        pass_time(app, 61.0)
        await app.publish(OrderCreated(7))
        await parked(app, *["dead"] * 5, "retry", "retry")
        (health,) = (await app.health()).groups

    assert health.breaker is not None
    assert (health.breaker.state, health.breaker.until) == ("closed", None)


async def test_opening_and_closing_are_private_events_that_handlers_hear(app: App) -> None:
    dependency, opened, closed = Dependency(app), Heard[Any](), Heard[BreakerClosed]()

    @app.on("tidings:breaker:opened", group="alarm")
    async def alarm(data: Any) -> None:
        opened.note(data)

    @app.on(group="relief")
    async def relief(told: BreakerClosed) -> None:
        closed.note(told)

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in range(3)])
        await opened.reach(1)
        dependency.works = True
        pass_time(app, 30.0)
        await closed.reach(1)
        records = (await app.log.scan("")).records
        public = (await app.log.scan("", Where(public=True))).records

    assert opened == [{"name": "g", "group": "g", "failures": 2, "until": 1_000_000_030.0}]
    assert (closed[0].name, closed[0].group) == ("g", "g")
    assert {record.type for record in records} - {record.type for record in public} == {
        "tidings:breaker:opened",
        "tidings:breaker:closed",
    }


async def test_readers_of_one_group_share_its_breaker(app: App) -> None:
    dependency = Dependency(app, concurrency=4, breaker=Breaker(failures=4, open_for=30.0))

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in range(100)])
        await trouble(app)
        assert 4 <= len(dependency.heard) <= 8  # those under way are not called back
        dependency.works = True
        pass_time(app, 30.0)
        await dependency.heard.reach(100)

    assert len(set(dependency.heard)) == 100


async def test_a_stop_ends_the_wait(new_app: NewApp) -> None:
    app = new_app(drain=30.0)
    dependency = Dependency(app)

    async with asyncio.timeout(5.0):
        async with app.running():
            await app.publish_many([OrderCreated(number) for number in range(10)])
            await trouble(app)

    assert dependency.heard == [0, 1]


async def test_a_plain_function_with_tx_has_a_breaker_too(sqlite_url: str, clock: Any) -> None:
    app, heard, works = App("shop", sqlite_url, clock=clock), Heard[int](), asyncio.Event()

    @app.on(group="g", retry=ONCE, breaker=Breaker(failures=2, open_for=30.0))
    def show(order: OrderCreated, tx: Any) -> None:
        heard.note(order.order_id)
        if not works.is_set():
            raise OSError

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in range(10)])
        await trouble(app)
        assert set(heard) == {0, 1}
        works.set()
        pass_time(app, 30.0)
        await trouble(app, is_there=False)
        pass_time(app, 1000.0)
        await caught_up(app)

    assert set(heard) == set(range(10))
