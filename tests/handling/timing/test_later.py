"""Events published for later, cancelled, and returned by handlers: each recorded once, at its time."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.handling.conftest import NewApp
from tests.handling.stage import AuditNoted, Heard, OrderCreated, StockReserved, caught_up, pass_time, recorded, until
from tidings import App, Event, Later, Retry, Transaction
from tidings.clock import ManualClock
from tidings.errors import IdReused, InvalidEvent

NOW = datetime.fromtimestamp(1_000_000_000, UTC)


async def waiting(app: App) -> list[tuple[str, float]]:
    """The ids of what is scheduled, and how long after the clock's beginning it is due."""
    return [(timer.draft.id, timer.due / 1e6 - 1e9) for timer in await app.log.ledger.timers.waiting()]


@pytest.mark.parametrize(
    "later",
    [{"delay": 5}, {"delay": timedelta(seconds=5)}, {"at": NOW + timedelta(seconds=5)}],
    ids=["seconds", "timedelta", "moment"],
)
async def test_a_delayed_event_is_heard_when_it_is_due_and_not_before(app: App, later: dict[str, Any]) -> None:
    heard: Heard[OrderCreated] = Heard()

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        heard.note(order)

    async with app.running():
        event = await app.publish(OrderCreated(1), **later)
        pass_time(app, 4.9)
        await app.publish(OrderCreated(2))
        await heard.reach(1)
        pass_time(app, 0.1)
        await heard.reach(2)
        found = await recorded(app.log)

    assert [order.order_id for order in heard] == [2, 1]
    assert (event.position, event.time, event.key) == (None, NOW + timedelta(seconds=5), "1")
    assert found[1].id == event.id
    assert found[1].time == found[1].recorded_at == event.time


async def test_an_event_with_a_time_of_its_own_keeps_it(app: App) -> None:
    async with app:
        event = await app.publish(Event(source="till", type="a", time=NOW), delay=5)
        assert await waiting(app) == [(event.id, 5.0)]

    assert event.time == NOW


@pytest.mark.parametrize("later", [{"delay": 0}, {"delay": -5}, {"at": NOW}, {"at": NOW - timedelta(days=1)}])
async def test_a_moment_that_has_come_already_is_now(app: App, later: dict[str, Any]) -> None:
    async with app:
        event = await app.publish("a", **later)

        assert event.position is not None
        assert await waiting(app) == []


@pytest.mark.parametrize(
    ("later", "reason"),
    [
        ({"at": datetime(2024, 1, 1)}, "with a timezone"),  # noqa: DTZ001
        ({"at": "2024-01-01"}, "with a timezone"),
        ({"delay": "5m"}, "seconds or a timedelta"),
        ({"delay": float("inf")}, "seconds or a timedelta"),
        ({"delay": 1e12}, "year 9999"),
        ({"delay": 1, "at": NOW}, "either delay= or at="),
    ],
)
async def test_what_is_no_moment_is_refused_with_the_reason(app: App, later: dict[str, Any], reason: str) -> None:
    async with app:
        with pytest.raises(InvalidEvent, match=reason):
            await app.publish("a", **later)

        assert await waiting(app) == []


async def test_a_delayed_event_with_an_id_is_scheduled_once(app: App, clock: ManualClock) -> None:
    async with app:
        await app.publish("a", {"n": 1}, id="x", delay=5)
        clock.advance(1)
        await app.publish("a", {"n": 1}, id="x", delay=5)
        with pytest.raises(IdReused):
            await app.publish("a", {"n": 2}, id="x", delay=5)

        assert await waiting(app) == [("x", 5.0)]


async def test_a_cancelled_event_never_takes_place(app: App) -> None:
    heard: Heard[Any] = Heard()
    app.on("a")(heard.note)

    async with app.running():
        event = await app.publish("a", 1, delay=5)
        foreign = await app.publish(Event(source="till", type="a", data=2), delay=5)
        await app.publish("a", 3, id="x", delay=6)
        assert await app.cancel(event) is True
        assert await app.cancel(foreign.id) is False  # another source's id
        assert await app.cancel(foreign) is True
        pass_time(app, 10)
        await heard.reach(1)
        assert await app.cancel("x") is False
        assert await app.cancel("y") is False

    assert heard == [3]


async def test_a_delayed_event_is_caused_by_what_is_being_handled(app: App) -> None:
    @app.on(OrderCreated)
    async def remind(order: OrderCreated) -> None:
        await app.publish("reminder:due", delay=60)

    async with app.running():
        cause = await app.publish(OrderCreated(7))
        await caught_up(app)
        pass_time(app, 60)
        await until(lambda: is_recorded(app, "reminder:due"), app.log)
        (event,) = await recorded(app.log, "reminder:due")

    assert (event.causation_id, event.correlation_id, event.key) == (cause.id, cause.id, "7")


async def is_recorded(app: App, name: str, count: int = 1) -> bool:
    return len(await recorded(app.log, name)) >= count


async def test_a_handler_returns_events_for_now_and_for_later(app: App) -> None:
    @app.on(OrderCreated)
    async def reserve(order: OrderCreated) -> list[StockReserved | Later[AuditNoted]]:
        return [
            StockReserved(order.order_id),
            Later(AuditNoted(order.order_id), delay=60),
            Later(AuditNoted(-order.order_id), at=NOW + timedelta(seconds=30)),
        ]

    async with app.running():
        cause = await app.publish(OrderCreated(7))
        await caught_up(app)
        assert [due for _, due in await waiting(app)] == [30.0, 60.0]
        pass_time(app, 30)
        await until(lambda: is_recorded(app, "audit:noted"), app.log)
        pass_time(app, 30)
        await until(lambda: is_recorded(app, "audit:noted", 2), app.log)
        found = await recorded(app.log)

    assert [event.type for event in found] == ["order:created", "stock:reserved", "audit:noted", "audit:noted"]
    assert {event.causation_id for event in found[1:]} == {cause.id}
    assert [event.time for event in found[2:]] == [NOW + timedelta(seconds=30), NOW + timedelta(seconds=60)]


async def test_what_a_handler_returns_for_later_is_scheduled_once_however_often_it_runs(
    app: App, new_app: NewApp
) -> None:
    async def remind(order: OrderCreated) -> Later[StockReserved]:
        return Later(StockReserved(order.order_id), delay=60)

    app.on(OrderCreated)(remind)
    async with app.running():
        await app.publish(OrderCreated(1))
        await caught_up(app)
        first = await waiting(app)
        pass_time(app, 10)
        await app.log.ledger.reset("shop.remind", "")
        await caught_up(app)

        assert await waiting(app) == first


async def test_a_handler_that_fails_schedules_nothing(app: App) -> None:
    heard: Heard[int] = Heard()

    @app.on(OrderCreated, retry=Retry.never())
    async def remind(order: OrderCreated) -> Later[object]:
        heard.note(order.order_id)
        return Later(object(), delay=60)  # no event

    async with app.running():
        await app.publish(OrderCreated(1))
        await heard.reach(1)
        await until(lambda: is_dead(app), app.log)

        assert await waiting(app) == []


async def is_dead(app: App) -> bool:
    return [one.state for one in await app.log.ledger.parked()] == ["dead"]


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
async def test_handlers_with_tx_schedule_in_their_transaction(is_async: bool, sqlite_url: str) -> None:
    app = App("shop", sqlite_url, clock=ManualClock())

    def count(order: OrderCreated, tx: Transaction) -> Later[StockReserved]:
        tx.execute("INSERT INTO orders VALUES (?)", (order.order_id,))
        return Later(StockReserved(order.order_id), delay=order.order_id)

    async def record(order: OrderCreated, tx: Transaction) -> Later[StockReserved]:
        return count(order, tx)

    app.on(OrderCreated, group="g")(record if is_async else count)

    @app.on_start
    async def tables() -> None:
        async with app.transaction() as tx:
            tx.execute("CREATE TABLE IF NOT EXISTS orders(id INTEGER)")

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in (3, 1, 2)])
        await caught_up(app)

        assert [due for _, due in await waiting(app)] == [1.0, 2.0, 3.0]


async def test_a_transaction_schedules_when_it_commits_and_only_then(app: App) -> None:
    async with app:
        async with app.transaction() as tx:
            now, later = tx.publish(OrderCreated(1), delay=-1), tx.publish("a", 1, delay=5)
            assert await waiting(app) == []
        with contextlib.suppress(ZeroDivisionError):
            async with app.transaction() as tx:
                tx.publish("a", 1 // 0 if tx.publish("a", 2, delay=5) else None)

        assert [event.id for event in await recorded(app.log)] == [now]
        assert await waiting(app) == [(later, 5.0)]


async def test_what_was_due_while_nobody_ran_fires_in_order_at_the_next_start(
    new_app: NewApp, clock: ManualClock
) -> None:
    keeper = new_app()
    async with keeper:  # a log in memory lasts as long as somebody has it open
        async with new_app().running() as app:
            for number in range(1200):
                await app.publish("a", number, delay=1200 - number)
        clock.advance(5000)
        async with new_app().running() as app:
            await until(lambda: is_recorded(app, "a", 1200), app.log)
            found = await recorded(app.log, "a")

    assert [event.data for event in found] == list(reversed(range(1200)))


async def test_a_clock_that_is_set_back_fires_nothing_early_and_one_set_forward_what_is_due(
    app: App, clock: ManualClock
) -> None:
    async with app.running():
        await app.publish("a", 1, delay=100)
        clock.set(clock.now() - 3600)
        app.log.bell.ring()
        await app.publish("a", 2, delay=50)
        clock.set(clock.now() + 51)
        app.log.bell.ring()
        await until(lambda: is_recorded(app, "a"), app.log)
        assert [event.data for event in await recorded(app.log)] == [2]

        clock.set(1e9 + 7200)
        app.log.bell.ring()
        await until(lambda: is_recorded(app, "a", 2), app.log)


async def test_a_timer_scheduled_by_another_process_wakes_the_one_that_fires(tmp_path: Path) -> None:
    """By the machine's own clock: a leader that slept its usual five seconds would be noticed."""
    url = f"sqlite:///{tmp_path}/log.db"
    leader, other = App("shop", url), App("shop", url)
    heard: Heard[float] = Heard()

    @leader.on("a")
    async def note(data: object) -> None:
        heard.note(asyncio.get_running_loop().time())

    async with leader.running(), other:
        began = asyncio.get_running_loop().time()
        await other.publish("a", delay=0.3)
        await heard.reach(1)

    assert 0.3 <= heard[0] - began < 3.0


async def test_a_delayed_public_event_goes_to_other_services_when_it_is_due_and_a_private_one_never(
    tmp_path: Path, clock: ManualClock
) -> None:
    bus = f"sqlite:///{tmp_path}/bus.db"
    shop = App("shop", log=f"sqlite:///{tmp_path}/shop.db", broker=bus, clock=clock, contracts=[AuditNoted])
    stock = App("stock", log=f"sqlite:///{tmp_path}/stock.db", broker=bus, clock=clock)
    heard: Heard[str] = Heard()

    @stock.on("**")
    async def note(event: Event) -> None:
        heard.note(event.type)

    async with shop.running(), stock.running():
        await shop.publish(AuditNoted(1), delay=5)
        await shop.publish(OrderCreated(1), delay=5)
        await shop.publish("a", delay=1)
        pass_time(shop, 1)
        await heard.reach(1)
        pass_time(shop, 4)
        await heard.reach(2)

    assert heard == ["a", "order:created"]


async def test_several_events_are_published_later_all_at_one_moment(app: App) -> None:
    async with app:
        made = await app.publish_many([OrderCreated(1), OrderCreated(2)], delay=60)
        now = await app.publish_many([OrderCreated(3)], delay=0)
        waiting = await app.log.ledger.timers.waiting()

        assert [timer.draft.id for timer in waiting] == [event.id for event in made]
        assert len({timer.due for timer in waiting}) == len({event.time for event in made}) == 1
        assert (await app.log.find(now[0].id)).records
        assert await app.publish_many([], delay=60) == []
        with pytest.raises(InvalidEvent, match="either delay= or at="):
            await app.publish_many([OrderCreated(1)], delay=60, at=NOW)
