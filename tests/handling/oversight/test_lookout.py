"""Groups in need are told of by events: once when it begins, once when it is over, and never in a ring."""

import asyncio
import itertools
from typing import Any

import pytest

from tests.handling.conftest import NewApp
from tests.handling.stage import OrderCreated, caught_up, parked, pass_time, recorded, until
from tidings import App, Event, Reject, Retry
from tidings.clock import ManualClock
from tidings.errors import ConfigurationError
from tidings.events import Catalog
from tidings.handling.outgoing import Outgoing
from tidings.handling.oversight.alerts import (
    Alerts,
    EventsDead,
    GroupCaughtUp,
    GroupLagging,
    GroupOrphaned,
    GroupPaused,
)
from tidings.handling.oversight.lookout import Lookout
from tidings.log import Log, Where, open_log
from tidings.log.group import Group

LAGGING, CAUGHT_UP, DEAD = "tidings:group:lagging", "tidings:group:caught-up", "tidings:event:dead"
QUIET = Alerts(every=10.0, lag=60.0, patience=30.0)
Handled = tuple[int, ...]


def lookout(log: Log, clock: ManualClock, alerts: Alerts = QUIET, *groups: str) -> Lookout:
    return Lookout("shop", groups, log, Outgoing("shop", Catalog.collect(), clock), clock, alerts)


async def told(log: Log, *, only: str = "tidings:") -> list[str]:
    return [event.type for event in await recorded(log) if event.type.startswith(only)]


@pytest.fixture
async def log(url: str, clock: ManualClock) -> Any:
    opened = await open_log(url, clock=clock)
    yield opened
    await opened.close()


async def behind(log: Log, name: str = "shop.show", *patterns: str) -> None:
    """A group with an event before it."""
    await log.ledger.join(Group(name, patterns or ("order:created",)))
    await log.append([Event(source="test", type="order:created")])


async def look(chore: Lookout, clock: ManualClock, *after: float) -> None:
    """Ask it to look after so many seconds, and so many; the very first time it only sets out to."""
    if chore._due is None:
        await chore.run(clock.now() - 10.0)
    for seconds in after:
        clock.advance(seconds)
        assert await chore.run(clock.now()) > clock.now()


async def test_a_group_that_stays_behind_is_told_of_once(log: Log, clock: ManualClock) -> None:
    chore = lookout(log, clock)
    await behind(log)

    await look(chore, clock, 0.0, 59.0, 10.0, 20.0)
    before = await told(log)
    await look(chore, clock, 10.0, 10.0, 500.0)

    assert before == []
    assert await told(log) == [LAGGING]
    (alert,) = await recorded(log, LAGGING)
    assert (alert.key, alert.source) == ("shop.show", "shop")
    assert alert.data["events"] == 1
    assert alert.data["seconds"] == 99.0
    assert alert.data["reason"].startswith("nobody runs it")
    assert (await log.scan("", Where(public=True), 100)).records[-1].type == "order:created"


async def test_one_that_has_caught_up_is_told_of_and_may_lag_again(log: Log, clock: ManualClock) -> None:
    chore = lookout(log, clock)
    await behind(log)
    await look(chore, clock, 61.0, 31.0)

    await log.ledger.reset("shop.show", await log.head())
    await look(chore, clock, 10.0)
    first = await recorded(log, CAUGHT_UP)
    await log.append([Event(source="test", type="order:created")])
    await look(chore, clock, 61.0, 31.0)

    assert [event.data["lasted"] for event in first] == [10.0]
    assert await told(log) == [LAGGING, CAUGHT_UP, LAGGING]


async def test_a_short_lag_is_not_told_of(log: Log, clock: ManualClock) -> None:
    chore = lookout(log, clock)
    await behind(log)
    await look(chore, clock, 61.0, 20.0)
    await log.ledger.reset("shop.show", await log.head())
    await look(chore, clock, 10.0)
    await log.append([Event(source="test", type="order:created")])

    await look(chore, clock, 61.0, 20.0)

    assert await told(log) == []


async def test_between_the_two_limits_nothing_changes(log: Log, clock: ManualClock) -> None:
    chore = lookout(log, clock, Alerts(lag=None, lag_events=4, patience=0.0, every=1.0))
    await log.ledger.join(Group("shop.show", ("order:created",)))

    def orders(count: int) -> list[Event]:
        return [Event(source="test", type="order:created") for _ in range(count)]

    seen = []
    await log.append(orders(4))
    for change in ("grow", "shrink to 3", "shrink to 2"):
        if change == "grow":
            await look(chore, clock, 1.0)
            await log.append(orders(1))
        else:
            order = 2 if change == "shrink to 3" else 3
            await log.ledger.reset("shop.show", (await log.scan("", limit=order)).upto)
        await look(chore, clock, 1.0)
        seen.append(await told(log))

    assert seen == [[LAGGING], [LAGGING], [LAGGING, CAUGHT_UP]]


async def test_two_processes_tell_a_thing_once(log: Log, clock: ManualClock) -> None:
    one, other = lookout(log, clock), lookout(log, clock)
    await behind(log)
    clock.advance(61.0)
    await asyncio.gather(look(one, clock, 0.0), look(other, clock, 0.0))
    clock.advance(31.0)

    await asyncio.gather(one.run(clock.now()), other.run(clock.now()))
    successor = lookout(log, clock)
    await look(successor, clock, 31.0, 31.0)

    assert await told(log) == [LAGGING]


async def test_it_looks_when_it_is_time_and_not_before(log: Log, clock: ManualClock) -> None:
    chore = lookout(log, clock, Alerts(lag=1.0, patience=0.0, every=10.0))
    await look(chore, clock, 0.0)
    await behind(log)

    await look(chore, clock, 9.9)
    early = await told(log)
    await look(chore, clock, 0.1)

    assert (early, await told(log)) == ([], [LAGGING])
    clock.set(clock.now() - 86_400.0)
    assert await chore.run(clock.now()) == clock.now() + 10.0  # a clock set back does not silence it for a day


async def test_groups_of_other_applications_and_hearers_of_alerts_are_let_be(log: Log, clock: ManualClock) -> None:
    chore = lookout(log, clock, QUIET, "named")
    for name in ("bank.show", "named", "shop.gone"):
        await behind(log, name)
    await behind(log, "shop.alarm", "tidings:**")

    await look(chore, clock, 61.0, 31.0)

    assert sorted(event.key or "" for event in await recorded(log, LAGGING)) == ["named", "shop.gone"]


async def test_an_orphan_is_told_of_once_and_lags_no_more(log: Log, clock: ManualClock) -> None:
    chore = lookout(log, clock)
    await behind(log)
    await log.ledger.join(Group("shop.show", ("order:created",), orphan_after=20.0))
    last_seen = clock.now()

    await look(chore, clock, 10.0, 11.0, 100.0, 100.0)

    (alert,) = await recorded(log, "tidings:group:orphaned")
    assert alert.data == {"group": "shop.show", "last_seen": last_seen, "lag": 1}
    assert len(await told(log)) == 1


async def test_dead_letters_are_told_of_in_one_event_a_round(app: App, clock: ManualClock) -> None:
    @app.on(retry=Retry.never())
    async def show(order: OrderCreated) -> None:
        raise Reject("no")

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in range(30)])
        await parked(app, *["dead"] * 30)
        await heartbeat(app, 1)
        await app.publish(OrderCreated(99))
        await parked(app, *["dead"] * 31)
        await heartbeat(app, 2)
        clock.advance(100.0)
        app.log.bell.ring()
        await caught_up(app)
        events = await recorded(app.log, DEAD)

    assert [(event.data["count"], len(event.data["letters"])) for event in events] == [(30, 20), (1, 1)]
    letter = events[1].data["letters"][0]
    assert (letter["type"], letter["reason"]) == ("order:created", "Reject: no")


async def test_while_the_clock_stands_behind_the_log_nothing_is_missed(app: App, clock: ManualClock) -> None:
    @app.on(retry=Retry.never())
    async def show(order: OrderCreated) -> None:
        raise Reject("no")

    async with app.running():
        await app.publish(OrderCreated(0))
        await parked(app, "dead")
        clock.set(clock.now() - 3600.0)
        for number in range(1, 4):
            await heartbeat(app, number)
            await app.publish(OrderCreated(number))
            await parked(app, *["dead"] * (number + 1))
        await heartbeat(app, 4)
        events = await recorded(app.log, DEAD)

    assert [event.data["count"] for event in events] == [1, 1, 1, 1]


async def test_a_group_that_stays_behind_is_told_of_while_the_clock_stands_behind_the_log(
    log: Log, clock: ManualClock
) -> None:
    chore = lookout(log, clock)
    await look(chore, clock, 0.0)
    clock.set(clock.now() - 3600.0)
    await behind(log)

    await look(chore, clock, 10.0, 55.0)
    before = await told(log)
    await look(chore, clock, 10.0, 31.0)

    assert (before, await told(log)) == ([], [LAGGING])


async def test_what_happens_again_is_told_again(log: Log, clock: ManualClock) -> None:
    chore = lookout(log, clock)
    await log.ledger.join(Group("shop.show"))
    for _ in range(2):
        await log.ledger.set_state("shop.show", "paused", "blocked_limit: 10 events wait")
        await look(chore, clock, 10.0)
        await log.ledger.set_state("shop.show", "live")
        await look(chore, clock, 10.0)

    assert await told(log) == ["tidings:group:paused"] * 2


async def test_dead_letters_of_alerts_raise_no_alert(app: App, clock: ManualClock) -> None:
    calls = itertools.count()

    @app.on(OrderCreated, EventsDead, retry=Retry.never())
    async def show(event: Event) -> None:
        next(calls)
        raise Reject("no")

    async with app.running():
        await app.publish(OrderCreated(1))
        await parked(app, "dead")
        await heartbeat(app, 1)
        await parked(app, "dead", "dead")
        for _ in range(3):
            clock.advance(11.0)
            app.log.bell.ring()
            await app.groups.list()
        assert await told(app.log) == [DEAD]
        assert next(calls) == 2


async def test_a_group_that_paused_itself_is_told_of_and_one_that_an_operator_paused_is_not(
    log: Log, clock: ManualClock
) -> None:
    chore = lookout(log, clock)
    for name in ("shop.show", "shop.other"):
        await log.ledger.join(Group(name))
    await log.ledger.set_state("shop.show", "paused", "blocked_limit: 10 events wait")
    await log.ledger.set_state("shop.other", "paused", "by an operator")

    await look(chore, clock, 0.0, 10.0, 10.0)

    (alert,) = await recorded(log, "tidings:group:paused")
    assert alert.data == {"group": "shop.show", "blocked": 0, "why": "blocked_limit: 10 events wait"}


async def test_the_limit_of_blocked_events_pauses_a_group_and_says_so(app: App) -> None:
    @app.on(retry=Retry.never(), blocked_limit=2)
    async def show(order: OrderCreated) -> None:
        raise ValueError("no")

    async def is_paused() -> bool:
        return [group.state for group in await app.log.ledger.groups()] == ["paused"]

    async with app.running():
        await app.publish_many([OrderCreated(1)] * 4)
        await until(is_paused, app.log)  # which is a step after the one that parks them
        await heartbeat(app, 1)
        (alert,) = await recorded(app.log, "tidings:group:paused")
        (sight,) = await app.groups.list()
        await app.groups.resume("shop.show")

    why = "blocked_limit: 3 events wait behind others: see 'tidings dead list'"
    assert alert.data == {"group": "shop.show", "blocked": 3, "why": why}
    assert sight.reason == f"paused: {why}"


async def test_a_handler_hears_alerts_it_names_and_no_wildcard_does(app: App, clock: ManualClock) -> None:
    heard: list[Any] = []
    wild: list[str] = []

    @app.on(GroupLagging, GroupCaughtUp, GroupPaused, GroupOrphaned, EventsDead)
    async def alarm(event: Event) -> None:
        heard.append(event.data)

    @app.on("**", "*:event:*", retry=Retry.never())
    async def everything(event: Event) -> None:
        wild.append(event.type)
        raise Reject("no")

    async with app.running():
        await app.publish(OrderCreated(1))
        await parked(app, "dead")
        await heartbeat(app, 1)
        await caught_up(app)

        assert wild == ["order:created"]
        assert [type(each) for each in heard] == [EventsDead]
        assert heard[0].group == "shop.everything"


async def test_without_alerts_nobody_looks(new_app: NewApp, clock: ManualClock) -> None:
    app = new_app(alerts=None)

    @app.on(retry=Retry.never())
    async def show(order: OrderCreated) -> None:
        raise Reject("no")

    async with app.running():
        await app.publish(OrderCreated(1))
        await parked(app, "dead")

        assert not any(isinstance(chore, Lookout) for chore in app._chores())


def test_settings_that_cannot_be_kept_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="every is above 0"):
        Alerts(every=0.0)


async def heartbeat(app: App, count: int) -> None:
    """Move the clock until there are so many alerts of dead letters."""
    looks = itertools.count()

    async def are_told() -> bool:
        if next(looks) % 100 == 0:  # again, as the chore counts from its first run, which may have been after it
            pass_time(app, 11.0)
        return len(await told(app.log, only=DEAD)) == count

    await until(are_told, app.log)
