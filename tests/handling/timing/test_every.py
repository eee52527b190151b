"""Functions called every so often: by one process of all, in step, once for what was missed."""

import asyncio
import itertools
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.handling.conftest import NewApp
from tests.handling.stage import AuditNoted, Heard, StockReserved, parked, pass_time, recorded, until
from tidings import App, Delivery, Event, Retry, Tick, Transaction
from tidings.clock import ManualClock
from tidings.errors import ConfigurationError, DuplicateGroup
from tidings.log.bell import Counters

NOW = datetime.fromtimestamp(1_000_000_000, UTC)


async def scheduled(app: App, *dues: float) -> None:
    """Return when the series that wait are due so many seconds after the clock's beginning."""

    async def is_so() -> bool:
        return [timer.due / 1e6 - 1e9 for timer in await app.log.ledger.timers.waiting()] == list(dues)

    await until(is_so, app.log)


async def test_a_function_is_called_every_so_often(app: App) -> None:
    ticks: Heard[Tick] = Heard()

    @app.every("5m")
    async def clean(tick: Tick) -> None:
        ticks.note(tick)

    async with app.running():
        await scheduled(app, 300)
        for count in range(1, 4):
            pass_time(app, 300)
            await ticks.reach(count)
        await scheduled(app, 1200)
        events = await recorded(app.log)

    moments = [NOW + timedelta(minutes=minutes) for minutes in (0, 5, 10, 15)]
    assert list(ticks) == [Tick(due, before) for before, due in itertools.pairwise(moments)]
    assert {event.type for event in events} == {"tidings:every:shop.clean"}
    assert [event.time for event in events] == moments[1:]


async def test_a_function_is_called_when_cron_says_so_in_its_zone(app: App) -> None:
    ticks: Heard[Tick] = Heard()  # it is 9 September 2001, 01:46:40 UTC

    every_night = await asyncio.to_thread(app.every, "0 3 * * *", zone="Europe/Berlin", group="g")  # reads the zone
    every_night(ticks.note)

    async with app.running():
        await scheduled(app, -(46 * 60 + 40) + 86_400)
        pass_time(app, 86_400)
        await ticks.reach(1)

    assert ticks[0].due == datetime(2001, 9, 10, 1, tzinfo=UTC)


async def test_functions_take_what_they_need(sqlite_url: str) -> None:
    app = App("shop", sqlite_url, clock=ManualClock())
    heard: Heard[Any] = Heard()

    @app.every(60)
    async def nothing() -> StockReserved:
        heard.note("nothing")
        return StockReserved(1)

    @app.every(60)
    def plain_nothing() -> None:
        heard.note("plain nothing")

    @app.every(60)
    async def unannotated(tick):  # type: ignore[no-untyped-def]  # as people write it
        heard.note(type(tick).__name__)

    @app.every(60)
    async def everything(event: Event, delivery: Delivery) -> None:
        heard.note(f"{event.type} {delivery.attempt}")

    @app.every(60)
    def writes(tx: Transaction) -> None:
        tx.execute("CREATE TABLE written(n INTEGER)")
        heard.note("tx")

    async with app.running():
        await scheduled(app, *[60.0] * 5)
        pass_time(app, 60)
        await heard.reach(5)
        await until(lambda: is_recorded(app, "stock:reserved"), app.log)

    assert sorted(heard) == ["Tick", "nothing", "plain nothing", "tidings:every:shop.everything 1", "tx"]


async def is_recorded(app: App, name: str) -> bool:
    return bool(await recorded(app.log, name))


async def test_of_several_processes_one_calls_it(new_app: NewApp, clock: ManualClock) -> None:
    ticks: Heard[Tick] = Heard()

    def one() -> App:
        app = new_app()

        @app.every(10)
        async def clean(tick: Tick) -> None:
            ticks.note(tick)

        return app

    first = one()
    async with first.running(), one().running(), one().running():
        await scheduled(first, 10)
        for count in range(1, 6):
            pass_time(first, 10)
            await ticks.reach(count)
        await scheduled(first, 60)
        events = await recorded(first.log)

    assert len(ticks) == len(events) == 5


async def test_one_call_ends_before_the_next_begins_whoever_makes_it(new_app: NewApp) -> None:
    begun: Heard[Tick] = Heard()
    may_end = asyncio.Event()
    running = most = 0

    def one() -> App:
        app = new_app()

        @app.every(10, group="g")
        async def clean(tick: Tick) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            begun.note(tick)
            await may_end.wait()
            running -= 1

        return app

    first = one()
    async with first.running(), one().running():
        await scheduled(first, 10)
        for due in (20, 30, 40):
            pass_time(first, 10)
            await scheduled(first, due)
        await begun.reach(1)
        may_end.set()
        await begun.reach(3)

    assert most == 1


async def test_what_was_missed_is_one_call_and_the_step_is_kept(new_app: NewApp, clock: ManualClock) -> None:
    ticks: Heard[Tick] = Heard()

    def one() -> App:
        app = new_app()
        app.every("1m", group="shop.clean")(ticks.note)
        return app

    async with new_app():  # a log in memory lasts as long as somebody has it open
        async with one().running() as app:
            await scheduled(app, 60)
        clock.advance(60 * 3 + 30)
        async with one().running() as app:
            await ticks.reach(1)
            await scheduled(app, 240)
            pass_time(app, 30)
            await ticks.reach(2)

    assert [tick.due for tick in ticks] == [NOW + timedelta(minutes=1), NOW + timedelta(minutes=4)]


async def test_another_schedule_replaces_the_old_one_at_the_next_start(new_app: NewApp) -> None:
    async with new_app():
        for spoken, due in (("1h", 3600), ("1h", 3600), ("10m", 600), ("1d", 86_400)):
            app = new_app()
            app.every(spoken, group="g")(print)
            async with app.running():
                await scheduled(app, due)


async def test_a_function_that_is_gone_is_scheduled_no_more(new_app: NewApp) -> None:
    async with new_app():
        app = new_app()
        app.every("1h", group="a")(print)
        app.every("2h", group="b")(print)
        async with app.running():
            await scheduled(app, 3600, 7200)
        app = new_app()
        app.every("2h", group="b")(print)
        async with app.running():
            await scheduled(app, 7200)
        async with new_app("bank").running() as other:  # which has nothing to say about the shop's
            pass_time(other, 8000)
            await other.publish("a", delay=1)
            pass_time(other, 1)
            await until(lambda: is_recorded(other, "a"), other.log)
            assert [timer.series for timer in await other.log.ledger.timers.waiting()] == ["b"]


async def test_a_clock_that_was_set_back_does_not_silence_it(new_app: NewApp, clock: ManualClock) -> None:
    ticks: Heard[Tick] = Heard()
    app = new_app()
    app.every("1m", group="g")(ticks.note)

    async with app.running():
        await scheduled(app, 60)
        clock.set(clock.now() - 86_400)
        app.log.bell.news(app.log.bell.tip, Counters(app.log.bell.control + 1))  # members have changed
        await scheduled(app, 60 - 86_400)
        pass_time(app, 60)
        await ticks.reach(1)


async def test_a_failing_call_is_tried_again_and_holds_up_no_later_one_once_it_is_dead(app: App) -> None:
    ticks: Heard[Tick] = Heard()

    @app.every("1m", retry=Retry(attempts=2, inline=0, wait=5.0, jitter=0.0))
    async def clean(tick: Tick) -> None:
        ticks.note(tick)
        if len(ticks) < 3:
            raise ValueError("not yet")

    async with app.running():
        await scheduled(app, 60)
        pass_time(app, 60)
        await parked(app, "retry")
        pass_time(app, 5)
        await parked(app, "dead")
        pass_time(app, 55)
        await ticks.reach(3)

    assert [tick.due.minute for tick in ticks] == [47, 47, 48]


async def test_its_events_neither_go_to_other_services_nor_come_from_them(tmp_path: Path, clock: ManualClock) -> None:
    bus = f"sqlite:///{tmp_path}/bus.db"
    shop = App("shop", log=f"sqlite:///{tmp_path}/shop.db", broker=bus, clock=clock)
    stock = App("stock", log=f"sqlite:///{tmp_path}/stock.db", broker=bus, clock=clock)
    in_shop: Heard[str] = Heard()
    in_stock: Heard[str] = Heard()
    called: Heard[Any] = Heard()
    shop.on("**", "tidings:**", group="shop.note")(event_types(in_shop))
    stock.on("**", "tidings:**", group="stock.note")(event_types(in_stock))
    shop.every("1m", group="g")(called.note)

    async with shop.running(), stock.running():
        await scheduled(shop, 60)
        pass_time(shop, 60)
        await called.reach(1)
        await shop.publish("a")
        await in_stock.reach(1)
        await stock.publish("tidings:every:g", {"due": "2024-01-01T00:00:00Z", "scheduled": "2024-01-01T00:00:00Z"})
        await stock.publish("b")
        await in_shop.reach(3)

    assert in_stock == ["a", "tidings:every:g", "b"]
    assert in_shop == ["tidings:every:g", "a", "b"]
    assert len(called) == 1


def event_types(heard: Heard[str]) -> Any:
    async def note(event: Event) -> None:
        heard.note(event.type)

    return note


@pytest.mark.parametrize(
    ("function", "options", "reason"),
    [
        (lambda: None, {}, "a plain name with group="),
        (print, {"group": "not a name"}, "a plain name with group="),
        (AuditNoted, {"timeout": -1}, "timeout=-1"),
    ],
)
def test_what_cannot_be_called_so_is_refused(app: App, function: Any, options: Any, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(reason)):
        app.every("5m", **options)(function)


def test_one_function_has_one_schedule(app: App) -> None:
    app.every("5m")(print)

    with pytest.raises(DuplicateGroup):
        app.every("1h")(print)
