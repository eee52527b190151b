"""Processes killed in transactions of their own: state and events agree, and nothing committed is lost."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.crash.oracle import intact, rows, sound
from tests.crash.processes import Start
from tidings import App


@pytest.mark.parametrize("how", [("existing", "joined"), ("existing", "opened"), ("session",)], ids="-".join)
def test_a_process_killed_between_its_write_and_its_commit_leaves_neither_event_nor_state(
    how: tuple[str, ...], start: Start, url: str
) -> None:
    program, *words = how
    child = start(program, url, "a", *words, "stop")
    child.expect("written")
    child.kill()

    events = asyncio.run(sound(url))
    asyncio.run(publish(url))  # the lock is free again

    assert [event.id for event in events] == ["a:1", "a:2"]
    assert rows(url, "SELECT id FROM own") == [("a:1",), ("a:2",)]
    intact(url)


def test_processes_killed_at_any_time_leave_state_and_events_that_agree(
    start: Start, url: str, tmp_path: Path, chance: random.Random
) -> None:
    asyncio.run(publish(url))
    patient = f"{url}?lock_timeout=60"  # connections outside the queue, which never rest, hold it up
    children = [
        start(program, patient, f"{name}{round_}", *words)
        for round_ in range(2)
        for name, program, *words in (("a", "existing", "joined"), ("b", "existing", "opened"), ("c", "session"))
    ]
    start("publisher", patient, tmp_path / "history", "till", 1_000_000, 0).expect("acked")  # tidings' own writer
    committed: set[str] = set()
    for child in children:
        for _ in range(chance.randint(2, 10)):
            committed.add(child.expect("committed")[1])
        child.kill()
        committed |= {words[1] for words in child.lines() if words}

    ids = {event.id for event in asyncio.run(sound(url)) if event.type == "coin:noted"}
    written = [str(row[0]) for row in rows(url, "SELECT id FROM own")]
    assert set(written) == ids
    assert len(written) == len(ids)
    assert committed <= ids
    intact(url)


async def publish(url: str) -> None:
    async with App("till", url) as app:
        await app.publish("coin:counted", None)
