"""Timers whose process is killed while it fires them: each is recorded once, none early, and what recurs goes on."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.crash.oracle import intact, rows, sound
from tests.crash.patience import until
from tests.crash.processes import Start
from tests.crash.programs.till import EVERY, till
from tidings import App, Event

WINDOWS = ["begun", "written", "committed", "told"]


async def schedule(url: str, *ids: str, delay: float = 0.001) -> None:
    async with App("shop", url) as app:
        for each in ids:
            await app.publish("a", id=each, delay=delay)


async def fire_all(url: str) -> str:
    """One last process, until nothing waits but the next call; up to where its calls were then made for sure."""
    app = till(url)

    async def is_done() -> bool:
        waiting = await app.log.ledger.timers.waiting()
        return all(timer.series for timer in waiting) and not any(group.lag for group in await app.log.ledger.groups())

    async with app:
        async with app.running():
            await until(app, is_done)
        return min(group.position for group in await app.log.ledger.groups())  # one may have fired just as it ended


def recorded_once(events: list[Event], ids: list[str]) -> None:
    times = Counter(event.id for event in events if event.type == "a")
    assert times == dict.fromkeys(ids, 1)


def none_early(events: list[Event]) -> None:
    for event in events:
        assert event.time is not None
        assert event.recorded_at is not None
        assert event.recorded_at >= event.time, event.id


def called_in_step(url: str, events: list[Event], upto: str) -> None:
    """Every occurrence up to there was one call, and those missed were left out."""
    fired = [event for event in events if event.type.startswith("tidings:every:")]
    dues = [event.time for event in fired if event.time is not None]
    called = [row[0] for row in rows(url, "SELECT due FROM calls ORDER BY rowid")]
    assert called
    assert upto
    assert called == [due.isoformat() for due in dues[: len(called)]]
    assert len(called) >= sum(str(event.position) <= upto for event in fired)
    for before, after in pairwise(dues):
        assert after > before
        assert (after - before) % timedelta(seconds=EVERY) == timedelta(0)


@pytest.mark.parametrize("window", WINDOWS)
def test_a_firing_killed_in_any_window_is_whole_or_absent_and_each_event_is_recorded_once(
    window: str, start: Start, url: str
) -> None:
    ids = [f"{window}-{number}" for number in range(50)]
    asyncio.run(schedule(url, *ids))

    child = start("till", url, window)
    assert child.wait() < 0, child.errors()

    found = {event.id for event in asyncio.run(sound(url))}
    assert found == (set(ids) if window in ("committed", "told") else set())
    asyncio.run(fire_all(url))
    events = asyncio.run(sound(url))
    recorded_once(events, ids)
    none_early(events)
    intact(url)


def test_processes_killed_at_random_record_each_timer_once_and_call_in_step(
    start: Start, url: str, chance: random.Random, trials: Callable[[int], int]
) -> None:
    ids: list[str] = []
    children = [start("till", url, "never") for _ in range(3)]
    for child in children:
        child.expect("runs")
    for _ in range(trials(4)):
        batch = [f"id-{len(ids) + number}" for number in range(40)]
        asyncio.run(spread(url, batch, chance))
        ids += batch
        time.sleep(chance.random() * 0.3)  # a moment by chance: somewhere among the firings
        victim = chance.randrange(3)
        children[victim].kill()
        children[victim] = start("till", url, "never")
        children[victim].expect("runs")
    for child in children:
        child.kill()

    upto = asyncio.run(fire_all(url))

    events = asyncio.run(sound(url))
    recorded_once(events, ids)
    none_early(events)
    called_in_step(url, events, upto)
    intact(url)


async def spread(url: str, ids: list[str], chance: random.Random) -> None:
    async with App("shop", url) as app:
        for each in ids:
            await app.publish("a", id=each, delay=0.05 + chance.random() * 0.5)


def test_cancelling_from_another_process_while_timers_fire_has_one_outcome_each(start: Start, url: str) -> None:
    start("till", url, "never").expect("runs")
    ids = [f"id-{number}" for number in range(150)]

    cancelled = asyncio.run(schedule_and_cancel(url, ids))

    assert cancelled
    asyncio.run(fire_all(url))
    events = asyncio.run(sound(url))
    recorded_once(events, [each for each in ids if each not in cancelled])


async def schedule_and_cancel(url: str, ids: list[str]) -> set[str]:
    """Cancel each just when it is due."""
    cancelled: set[str] = set()
    async with App("shop", url) as app:
        for each in ids:
            await app.publish("a", id=each, delay=0.002)
            if await app.cancel(each):
                cancelled.add(each)
    return cancelled
