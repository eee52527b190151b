"""An application that trims its log while handlers work: whatever chance does, what somebody needs is never gone."""

import asyncio
import itertools
import operator
import random
from typing import Any

from tests.handling.conftest import NewApp
from tests.handling.stage import BOUND, Heard, OrderCreated, caught_up, facts, parked, pass_time, recorded, until
from tidings import App, Event, Retain, Retry
from tidings.clock import ManualClock
from tidings.handling.chores.trimmer import Trimmer
from tidings.log import open_log
from tidings.log.census import Census
from tidings.log.position import START
from tidings.log.retention import Cut, Retention, with_own
from tidings.log.sqlite import SqliteLog
from tidings.log.trimming import sweep

EVERYTHING = {"**": Retain(consumed=True)}


async def shrunk(app: App, count: int) -> None:
    """Return when so many events are left, letting time go by for the chore's rounds.

    More and more of it: the chore rests for many times as long as a step of its took.
    """
    seconds = itertools.accumulate(itertools.repeat(1.1), operator.mul, initial=5.0)

    async def is_so() -> bool:
        pass_time(app, min(next(seconds), 1e5))
        return len(await recorded(app.log)) == count

    await until(is_so, app.log)


async def test_an_application_trims_what_its_handlers_are_done_with(new_app: NewApp) -> None:
    app = new_app(retain={"order:*": Retain(consumed=True)})
    heard = Heard[OrderCreated]()

    @app.on()
    async def show(order: OrderCreated) -> None:
        heard.note(order)

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in range(50)])
        await app.publish("stock:moved", {})
        await heard.reach(50)
        await shrunk(app, 1)

        assert [event.type for event in await recorded(app.log)] == ["stock:moved"]
        await app.publish(OrderCreated(50))
        assert (await heard.reach(51))[-1].order_id == 50


async def test_without_rules_only_what_the_toolkit_records_goes_and_after_a_month(app: App) -> None:
    heard = Heard[str]()

    @app.on("tidings:**")
    async def hear(event: Event) -> None:
        heard.note(event.id)

    async with app.running():
        own = Event(id="own", source="shop", type="tidings:group:lagging")
        await app.log.append([own, Event(source="shop", type="order:moved")])
        await heard.reach(1)
        await caught_up(app)
        pass_time(app, 29 * 86_400.0)
        kept = await recorded(app.log)
        pass_time(app, 2 * 86_400.0)
        await app.log.append([Event(source="shop", type="order:moved")])
        await shrunk(app, 2)

    assert [event.type for event in kept] == ["tidings:group:lagging", "order:moved"]


async def test_a_rule_for_what_the_toolkit_records_comes_before_its_own() -> None:
    kept = Retain(age="90d")

    assert with_own({}).rule("tidings:every:shop.tidy") == Retain(age="30d")
    assert with_own({"tidings:**": kept}).rule("tidings:every:shop.tidy") == kept
    assert with_own({"tidings:every:**": kept}).rule("tidings:every:shop.tidy") == kept
    assert with_own({"**": kept}).rule("tidings:group:lagging") == Retain(age="30d")
    assert with_own({}).rule("order:created") is None
    assert not with_own({}).is_given
    assert with_own({"order:*": kept}).is_given


async def test_where_only_old_events_may_go_young_ones_are_not_even_counted(clock: ManualClock) -> None:
    log = await open_log("memory:", clock=clock)
    await log.append([Event(source="shop", type="order:moved") for _ in range(10)])
    census = Census()

    [step async for step in sweep(log, with_own({}), census, clock.now())]
    young = list(census.blocks)
    clock.advance(31 * 86_400.0)
    await log.append([Event(source="shop", type="order:moved")])
    [step async for step in sweep(log, with_own({}), census, clock.now())]

    assert (young, len(census.blocks)) == ([], 1)
    await log.close()


async def test_an_event_that_failed_is_kept_until_it_is_done(new_app: NewApp) -> None:
    app, healed = new_app(retain=EVERYTHING), asyncio.Event()
    heard = Heard[int]()

    @app.on(retry=Retry(attempts=9, inline=0, wait=60.0, jitter=0.0))
    async def book(order: OrderCreated) -> None:
        if order.order_id == 3 and not healed.is_set():
            raise ValueError("not yet")
        heard.note(order.order_id)

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in range(10)])
        await heard.reach(9)
        await parked(app, "retry")
        healed.set()
        pass_time(app, 5.0)
        await shrunk(app, 2)
        pass_time(app, 60.0)
        await heard.reach(10)

    assert sorted(heard) == list(range(10))


async def test_a_parked_event_without_its_record_is_a_dead_letter_and_nobody_spins(
    sqlite_url: str, clock: ManualClock, caplog: Any
) -> None:
    app, heard = App("shop", sqlite_url, clock=clock), Heard[int]()

    @app.on(group="g", retry=Retry(attempts=3, inline=0, wait=60.0, jitter=0.0))
    async def book(order: OrderCreated) -> None:
        heard.note(order.order_id)
        raise ValueError("broken")

    async with app.running():
        await app.publish(OrderCreated(1))
        await parked(app, "retry")
        assert isinstance(app.log, SqliteLog)
        await app.log.threads.write(lambda session, careful: session.execute("DELETE FROM tidings_events"))

        pass_time(app, 300.0)
        (dead,) = await parked(app, "dead")

    assert (dead.reason, dead.blocks) == ("trimmed from the log before it could be tried again", False)
    assert len(heard) == 1
    assert [each["event"] for each in facts(caplog, "dead")] == [dead.event_id]


async def test_a_member_that_lost_its_lanes_meets_a_trimmed_event_as_fenced(new_app: NewApp, caplog: Any) -> None:
    app = new_app()
    began, go_on = asyncio.Event(), asyncio.Event()

    @app.on(group="g", retry=Retry(attempts=2, inline=0, wait=60.0))
    async def slow(order: OrderCreated) -> None:
        began.set()
        await go_on.wait()
        raise ValueError("broken")

    async with app.running():
        await app.publish_many([OrderCreated(1), OrderCreated(2)])
        async with asyncio.timeout(BOUND):
            await began.wait()
        await app.log.ledger.reset("g", await app.log.head())  # as if another had taken over, and were done
        step = await app.log.trim({"order:created": Cut(1)}, START)
        assert sum(tally.events for tally in step.removed.values()) == 1
        go_on.set()
        await until(_met(caplog), app.log)
        await caught_up(app, "g")

    assert not facts(caplog, "trouble")


def _met(caplog: Any) -> Any:
    async def is_so() -> bool:
        return bool(facts(caplog, "fence"))

    return is_so


async def test_two_processes_of_an_application_trim_without_trouble(new_app: NewApp) -> None:
    one, other = new_app(retain=EVERYTHING), new_app(retain=EVERYTHING)
    for app in (one, other):
        _listening(app, "g", Heard[str]())

    async with one.running(), other.running():
        await one.publish_many([OrderCreated(number) for number in range(20)])
        await caught_up(one)
        await shrunk(one, 1)
        health = [await one.health(), await other.health()]

    assert [each.healthy for each in health] == [True, True]


async def test_two_that_trim_at_the_same_time_remove_each_event_once(new_app: NewApp, clock: ManualClock) -> None:
    app = new_app()
    async with app:
        await app.log.append([_event(number) for number in range(5000)])
        clock.advance(86_400)
        rules = Retention({"**": Retain(age="1h")})

        async def all_of_it() -> int:
            steps = [step async for step in sweep(app.log, rules, Census(), clock.now())]
            return sum(tally.events for step in steps for tally in step.removed.values())

        gone = await asyncio.gather(all_of_it(), all_of_it())

        assert sum(gone) == 4999
        assert (await app.log.survey(START)).trimmed == 4999


async def test_whatever_chance_does_every_group_hears_all_that_was_published(
    new_app: NewApp, clock: ManualClock, seed: int
) -> None:
    """The oracle: each group that was there before an event has it handled, or has it parked with its record."""
    dice = random.Random(seed)
    app = new_app(alerts=None)
    heard: dict[str, list[str]] = {name: [] for name in ("quick", "failing", "slow")}
    _random_handlers(app, heard, dice)
    rules = Retention({"order:*": Retain(consumed=True), "note:**": Retain(age="10s", size=3000), "**": Retain()})
    published: list[str] = []

    async with app.running():
        trimmers = [Trimmer(app.log, rules, app.clock) for _ in range(2)]
        async with asyncio.TaskGroup() as tasks:
            publishers = [tasks.create_task(_publish(app, name, dice, published)) for name in ("p", "q")]
            trimming = [tasks.create_task(_trim(trimmer, app, publishers)) for trimmer in trimmers]
            tasks.create_task(_disturb(app, dice, publishers))
        assert all(task.done() for task in trimming)
        await app.log.ledger.set_state("slow", "live")

        async def all_heard() -> bool:
            pass_time(app, 5.0)
            letters = await app.log.ledger.parked()
            assert all(one.record is not None for one in letters)
            return all(set(published) <= set(each) for each in heard.values())

        await until(all_heard, app.log)
        for trimmer in trimmers * 3:  # a round that another's trimming has disturbed ends early
            pass_time(app, 3600.0)
            await _trim(trimmer, app, [])
        *left, _ = [event.type for event in await recorded(app.log)]

    assert set(left) == {"other:thing"}


def _random_handlers(app: App, heard: dict[str, list[str]], dice: random.Random) -> None:
    soon = Retry(attempts=1000, inline=0, wait=1.0, longest=2.0)

    @app.on("order:*", "note:**", group="quick")
    async def quick(event: Event) -> None:
        heard["quick"].append(event.id)

    @app.on("order:*", "note:**", group="failing", retry=soon)
    async def failing(event: Event) -> None:
        if dice.random() < 0.1:
            raise ValueError("chance")
        heard["failing"].append(event.id)

    @app.on("order:*", "note:**", group="slow")
    async def slow(event: Event) -> None:
        await asyncio.sleep(0)
        heard["slow"].append(event.id)


async def _publish(app: App, name: str, dice: random.Random, published: list[str]) -> None:
    for first in range(0, 300, 10):
        types = [dice.choice(["order:created", "note:made", "other:thing"]) for _ in range(10)]
        events = [_event(f"{name}{first + n}", type, key=f"k{n % 3}") for n, type in enumerate(types)]
        await app.log.append(events, public=True)
        published += [event.id for event in events if event.type != "other:thing"]
        if dice.random() < 0.5:
            pass_time(app, 1.0)
        await asyncio.sleep(0)


async def _trim(trimmer: Trimmer, app: App, until_done: list[Any]) -> None:
    for _ in range(100_000):
        due = await trimmer.run(app.clock.now())
        if all(task.done() for task in until_done) and due > app.clock.now():
            return
        await asyncio.sleep(0)


async def _disturb(app: App, dice: random.Random, until_done: list[Any]) -> None:
    while not all(task.done() for task in until_done):
        await app.log.ledger.set_state("slow", dice.choice(["paused", "live"]))
        await asyncio.sleep(0.001)


def _listening(app: App, group: str, heard: Heard[str]) -> None:
    @app.on("**", group=group)
    async def listen(event: Event) -> None:
        heard.note(event.id)


def _event(number: int | str, type: str = "order:created", **attributes: Any) -> Event:
    return Event(id=f"id-{number}", source="shop", type=type, data={"order_id": 1}, **attributes)
