"""Publishers killed at any instant: what was acknowledged is recorded, once, in a sound file."""

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.oracle import intact, kept, sound
from tests.crash.processes import Start

IN_ONE_FILE = 50  # trials; then its events are looked at, and the next file begins


@pytest.mark.parametrize(("writers", "rounds"), [(1, 26), (4, 7)])
def test_what_a_killed_publisher_was_told_is_recorded_once(
    writers: int,
    rounds: int,
    start: Start,
    tmp_path: Path,
    chance: random.Random,
    trials: Callable[[int], int],
) -> None:
    total = trials(rounds)
    for first in range(0, total, IN_ONE_FILE):
        folder = tmp_path / f"from-{first}"
        folder.mkdir()
        killed = range(first, min(first + IN_ONE_FILE, total))
        print(f"{writers} writers, {len(killed)} times killed: {killing(folder, writers, killed, start, chance)}")


def killing(folder: Path, writers: int, trials: range, start: Start, chance: random.Random) -> str:
    """Kill the writers of one file again and again; what it holds then."""
    url, histories = f"sqlite:///{folder}/log.db", [folder / f"history-{number}" for number in range(writers)]
    for trial in trials:
        seed, largest = chance.randrange(2**32), chance.choice([1, 1, 7, 300])
        children = [
            start("publisher", url, history, f"{trial}.{number}", 100_000, seed + number, largest)
            for number, history in enumerate(histories)
        ]
        for child in children:
            child.expect("ready")
        children[0].listen(chance.randrange(40))
        time.sleep(chance.random() * 0.002)  # the instant of the fault, which nothing marks
        for child in chance.sample(children, writers):
            child.kill()

    events = asyncio.run(sound(url))
    report = kept(events, *histories)
    intact(url)
    return f"{report}; {len(events)} recorded"
