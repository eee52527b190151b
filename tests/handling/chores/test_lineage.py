"""What the lineage costs: no commit of its own, few rows where nothing fails, and none for longer than was said."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from tests.handling.conftest import NewApp
from tests.handling.stage import OrderCreated, caught_up, until
from tidings import App
from tidings.clock import ManualClock
from tidings.errors import ConfigurationError
from tidings.handling.chores.lineage import KEPT, LineageChore
from tidings.log import Log, Settlement, open_log
from tidings.log.group import Group, Report
from tidings.log.lineage import Outcome
from tidings.log.sqlite import SqliteLog


async def hear(order: OrderCreated) -> None:
    """A handler without an effect."""


def nothing(session: Any, *, careful: bool) -> None:
    """A job that changes nothing, behind all others."""


async def untold(reports: Sequence[Report]) -> None:
    """What members would say of their work, once in a pulse, whenever that is."""


def rows(sqlite_url: str) -> int:
    with contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection:
        count: int = connection.execute("SELECT count(*) FROM tidings_lineage").fetchone()[0]
        return count


async def count_commits(sqlite_url: str, clock: ManualClock, **settings: Any) -> int:
    """The commits it takes to publish and handle some events, one after the other."""
    app = App("shop", sqlite_url, clock=clock, **settings)
    app.on(OrderCreated)(hear)
    async with app.running():
        app.log.ledger.report = untold  # type: ignore[method-assign]
        await app.publish(OrderCreated(0))
        await caught_up(app)
        commits = 0

        def count(point: str) -> None:
            nonlocal commits
            commits += point == "committed"

        assert isinstance(app.log, SqliteLog)
        await app.log.threads.write(nothing)  # a commit is seen before the writer has told of it
        app.log.threads.writer.hook = count
        for number in range(20):
            await app.publish(OrderCreated(number))
            await caught_up(app)
        await app.log.threads.write(nothing)
        app.log.threads.writer.hook = lambda point: None
        return commits


async def test_a_trickle_takes_no_commit_more_with_a_lineage_than_without(sqlite_url: str, clock: ManualClock) -> None:
    without = await count_commits(sqlite_url.replace("log.db", "a.db"), clock, lineage=False)
    kept = await count_commits(sqlite_url, clock)

    assert kept == without == 40
    assert await asyncio.to_thread(rows, sqlite_url) == 1
    assert await asyncio.to_thread(rows, sqlite_url.replace("log.db", "a.db")) == 0


async def test_a_catch_up_writes_few_rows(sqlite_url: str, clock: ManualClock) -> None:
    app = App("shop", sqlite_url, clock=clock)
    app.on(OrderCreated)(hear)
    async with app:
        for start in range(0, 20_000, 1000):
            await app.publish_many([OrderCreated(number) for number in range(start, start + 1000)])
        async with app.running():
            await caught_up(app)

    assert await asyncio.to_thread(rows, sqlite_url) <= 2


async def test_one_process_forgets_what_is_older_than_was_said(new_app: NewApp, clock: ManualClock) -> None:
    app = new_app(lineage=timedelta(hours=1))
    app.on(OrderCreated)(hear)
    async with app.running():
        first = await app.publish(OrderCreated(1))
        await caught_up(app)
        (reception,) = (await app.trace(first.id)).root.receptions
        assert reception.state == "handled"

        clock.advance(3601)
        app.log.bell.ring()

        async def is_forgotten() -> bool:
            (reception,) = (await app.trace(first.id)).root.receptions
            return reception.state == "unknown"

        await until(is_forgotten, app.log)


@pytest.fixture
async def busy(url: str, clock: ManualClock) -> Any:
    """A log, and a way to have so many events be in trouble."""
    log = await open_log(url, clock=clock)
    log.ledger.keeps_lineage = True
    await log.ledger.join(Group("g"))
    lease = await log.ledger.claim("g", await log.ledger.enter())

    async def suffer(count: int) -> None:
        outcomes = [Outcome(number, 0, "handled", 2, "again") for number in range(1, count + 1)]
        await log.ledger.settle(Settlement(lease, outcomes=outcomes))

    yield log, suffer
    await log.close()


async def left(log: Log) -> int:
    """How many rows there are; they are forgotten by being counted."""
    total = 0
    while count := await log.ledger.trim_lineage(0.0, 0):
        total += count
    return total


async def test_rows_are_bounded_however_many_events_are_in_trouble(
    busy: tuple[Log, Callable[[int], Any]], clock: ManualClock
) -> None:
    log, suffer = busy
    chore = LineageChore(log, timedelta(days=7), most=500)

    for _ in range(10):
        await suffer(3000)
        due = await chore.run(clock.now())

    assert due == clock.now() + 60.0
    assert await left(log) == 500


async def test_a_chore_that_finds_very_much_asks_for_another_turn_soon(
    busy: tuple[Log, Callable[[int], Any]], clock: ManualClock
) -> None:
    log, suffer = busy
    for _ in range(5):
        await suffer(5000)

    due = await LineageChore(log, timedelta(days=7), most=0).run(clock.now())

    assert due == clock.now() + 1.0
    assert await left(log) == 5000


async def test_what_was_kept_before_it_was_switched_off_goes_in_time(new_app: NewApp, clock: ManualClock) -> None:
    async with new_app() as held:  # it keeps a log in memory
        app = new_app()
        app.on(OrderCreated)(hear)
        async with app.running():
            first = await app.publish(OrderCreated(1))
            await caught_up(app)
        off = new_app(lineage=False)
        off.on(OrderCreated)(hear)
        clock.advance(KEPT.total_seconds() + 1)
        async with off.running():

            async def is_forgotten() -> bool:
                (reception,) = (await held.trace(first.id)).root.receptions
                return reception.state == "unknown"

            await until(is_forgotten, off.log)


def test_a_lineage_of_no_duration_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="lineage=False"):
        App("shop", lineage=timedelta(0))
