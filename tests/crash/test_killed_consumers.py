"""Consumers killed at any instant, and replaced: effects in the log's database happen once, others at least once."""

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

from tests.crash.oracle import effects, intact, kept, returned, sound
from tests.crash.processes import Child, Start
from tidings.testing import History, check


def judge(url: str, *histories: Path) -> str:
    """All that must hold once a last member has finished."""
    events = asyncio.run(sound(url))
    kept(events, *histories)
    effects(url, "booked", events)
    effects(url, "noted", events)
    returned(events)
    intact(url)
    report = check(History.read(*histories), groups=["bank.hear"])
    assert report.is_clean, report
    return f"{report}; {len(events)} recorded"


def finish(start: Start, url: str, history: Path) -> None:
    last = start("finish", url, history)
    last.expect("finished")
    assert last.wait() == 0, last.errors()


def test_killed_consumers_leave_each_effect_done_once(
    start: Start, url: str, tmp_path: Path, chance: random.Random, trials: Callable[[int], int]
) -> None:
    published, heard = tmp_path / "published", tmp_path / "heard"
    seeds = iter(lambda: chance.randrange(2**32), None)
    workers: list[Child] = []
    publisher = start("publisher", url, published, "p", 60 * trials(50), next(seeds))
    publisher.expect("ready")

    for trial in range(trials(50)):
        while len(workers) < 2:
            workers.append(start("worker", url, heard, next(seeds)))
        victim = workers.pop(chance.randrange(2))
        victim.expect("ready")
        victim.listen(chance.randrange(300) if trial % 2 else chance.randrange(10))
        time.sleep(chance.random() * 0.002)  # the instant of the fault, which nothing marks
        victim.kill()
    for child in (publisher, *workers):
        child.kill()
    finish(start, url, heard)

    print(f"{trials(50)} times killed: {judge(url, heard, published)}")


def test_four_processes_that_append_and_consume_one_file_survive_being_killed(
    start: Start, url: str, tmp_path: Path, chance: random.Random, trials: Callable[[int], int]
) -> None:
    histories = [tmp_path / f"history-{number}" for number in range(4)]

    def member(number: int, life: int) -> Child:
        return start("worker", url, histories[number], chance.randrange(2**32), f"{life}.{number}", 100_000)

    members = [member(number, 0) for number in range(4)]
    for life in range(1, trials(16) + 1):
        number = chance.randrange(4)
        members[number].expect("ready")
        members[number].listen(chance.randrange(200))
        time.sleep(chance.random() * 0.002)  # the instant of the fault, which nothing marks
        members[number].kill()
        members[number] = member(number, life)
    for each in members:
        each.kill()
    finish(start, url, histories[0])

    print(f"4 processes, {trials(16) + 4} times killed: {judge(url, *histories)}")
