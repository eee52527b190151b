"""Trimming killed at any instant, two at a time, and on a full disk: the file is sound, and nothing unheard is gone."""

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.oracle import intact, rows
from tests.crash.processes import Start
from tests.crash.programs.coins import CoinPaid, paid
from tests.crash.test_disk_full import small_disk
from tidings.errors import LogTruncated
from tidings.log import open_log


def test_a_killed_trimmer_leaves_a_sound_log_and_all_that_nobody_has_heard(
    start: Start, url: str, chance: random.Random, trials: Callable[[int], int]
) -> None:
    acknowledged: dict[str, int] = {}
    trimmed = 0
    for trial in range(trials(5)):
        names = [f"t{trial}.{number}" for number in range(2)]
        children = [start("trimmer", url, name, 100_000) for name in names]
        for child in children:
            child.expect("ready")
        children[0].expect("trimmed")
        children[0].listen(chance.randrange(40))
        time.sleep(chance.random() * 0.005)  # the instant of the fault, which nothing marks
        for child in chance.sample(children, 2):
            child.kill()
        for name, child in zip(names, children, strict=True):
            said = [line for line in child.lines() if line[0] == "acked"]
            acknowledged[name] = int(said[-1][1]) if said else 0
        trimmed = look(url, acknowledged, trimmed)


def look(url: str, acknowledged: dict[str, int], before: int) -> int:
    """Is all there that the slowest lane has yet to hear, and all counted? Returns how many were ever trimmed."""
    intact(url)
    ((trimmed,),) = rows(url, "SELECT value FROM tidings_meta WHERE name = 'trimmed'")
    ((tip,),) = rows(url, "SELECT max(position) FROM tidings_events")
    ((floor,),) = rows(url, "SELECT min(position) FROM tidings_lanes WHERE group_name = 'bank.hear'")
    kept = {int(str(position)): id for position, id in rows(url, "SELECT position, id FROM tidings_events")}

    assert int(str(trimmed)) + len(kept) == tip
    assert int(str(trimmed)) > before
    assert set(range(int(str(floor)) + 1, int(str(tip)) + 1)) <= set(kept)
    total = sum(acknowledged.values())
    assert int(str(tip)) >= total
    return int(str(trimmed))


def test_trimming_makes_room_on_a_disk_that_is_full(start: Start, tmp_path: Path) -> None:
    before = small_disk(tmp_path / "disk")
    if before is None:
        pytest.skip("no file system of our own can be mounted here (unshare --user --mount)")

    child = start("full_trim", tmp_path / "disk", before=before)
    said = {line[0]: line[1:] for line in child.lines()}

    assert child.wait() == 0, child.errors()
    assert said == {
        "append": ["DiskFull"],
        "trimmed": ["all"],
        "room": ["made"],
        "again": ["recorded"],
        "file": ["sound"],
    }


def test_a_backup_made_while_two_processes_append_has_all_that_was_acknowledged_before(
    start: Start, url: str, tmp_path: Path, chance: random.Random
) -> None:
    children = [
        start("publisher", url, tmp_path / f"history-{number}", f"p{number}", 100_000, number, 20)
        for number in range(2)
    ]
    for child in children:
        child.expect("ready")
    children[0].listen(chance.randrange(50, 200))

    for turn in range(3):
        asyncio.run(backed_up(url, tmp_path / f"copy-{turn}.db"))

    assert all(child.is_running for child in children)
    for child in children:
        child.kill()
    intact(url)


async def backed_up(url: str, copy: Path) -> None:
    """Back up; look into the copy; open it as a log, where positions of the other life are refused."""
    log = await open_log(url)
    before = {row[0] for row in await asyncio.to_thread(rows, url, "SELECT id FROM tidings_events")}
    await log.backup(copy)
    later = await log.append([paid(CoinPaid(copy.stem, 1))])
    assert [finding async for step in log.verify(copy) for finding in step.flaws] == []
    await log.close()

    opened = await open_log(f"sqlite:///{copy}")
    kept = {row[0] for row in await asyncio.to_thread(rows, f"sqlite:///{copy}", "SELECT id FROM tidings_events")}
    assert before <= kept
    with pytest.raises(LogTruncated):
        await opened.scan(later.first)
    assert (await opened.append([paid(CoinPaid("copy", 1))])).first > later.first
    await opened.close()
