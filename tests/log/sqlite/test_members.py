"""Members of a group in several processes: when they were last seen, and who has the lanes of those that are gone."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.log.sqlite.stage import change, lease_of, on_writer
from tidings.clock import ManualClock
from tidings.errors import LogLocked
from tidings.log.group import Group
from tidings.log.pulse import PULSE
from tidings.log.sqlite import SqliteLog

DIES_AS_A_MEMBER = """
import asyncio, os, sys
from tidings.log import open_log
from tidings.log.group import Group

async def main():
    log = await open_log(sys.argv[1])
    await log.ledger.join(Group("g"))
    lease = await log.ledger.claim("g", await log.ledger.enter())
    print(len(lease.lanes), flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


async def test_a_killed_members_lanes_are_free_at_the_next_pulse(log: SqliteLog, path: Path) -> None:
    await log.ledger.join(Group("g"))
    member = await log.ledger.enter()
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", DIES_AS_A_MEMBER, log.url, **pipes)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"16\n"
    await log.ledger.pulse(member)
    assert not (await log.ledger.claim("g", member)).lanes  # it lives

    await process.communicate(b"\n")
    await log.ledger.pulse(member)

    lease = await log.ledger.claim("g", member)
    assert (len(lease.lanes), lease.members) == (16, 1)


async def test_members_without_a_file_are_buried(log: SqliteLog, path: Path) -> None:
    lease = await lease_of(log)
    other = await SqliteLog.open(path)
    try:
        member = await other.ledger.enter()
        await asyncio.to_thread((path.parent / "log.db-tidings" / "members" / lease.member).unlink)

        await other.ledger.pulse(member)

        assert len((await other.ledger.claim("g", member)).lanes) == 16
    finally:
        await other.close()


async def test_a_member_that_stands_still_longer_than_a_lease_loses_its_lanes(path: Path) -> None:
    stalled, other = await SqliteLog.open(path), await SqliteLog.open(path, lease=5.0)
    try:
        lease = await lease_of(stalled)
        member = await other.ledger.enter()
        await other.ledger.pulse(member)
        assert not (await other.ledger.claim("g", member)).lanes

        await asyncio.to_thread(os.utime, path.parent / "log.db-tidings" / "members" / lease.member, (0, 0))
        await other.ledger.pulse(member)
        assert len((await other.ledger.claim("g", member)).lanes) == 16

        await stalled.ledger.pulse(lease.member)  # it goes on, and shares again
        await stalled.ledger.claim("g", lease.member)
        await other.ledger.claim("g", member)
        assert len((await stalled.ledger.claim("g", lease.member)).lanes) == 8
    finally:
        await stalled.close()
        await other.close()


async def test_who_could_not_give_back_its_lanes_is_no_member_all_the_same(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = await lease_of(log)

    def locked(*asked: object) -> None:
        raise LogLocked(1, str(log.path))

    with monkeypatch.context() as patch:
        patch.setattr(log.ledger, "_leave", locked)
        with pytest.raises(LogLocked):
            await log.ledger.leave(lease.member)
    member = await log.ledger.enter()
    await log.ledger.pulse(member)

    assert len((await log.ledger.claim("g", member)).lanes) == 16


@pytest.mark.parametrize(("said", "silence", "is_lost"), [("", 5.0, False), ("", 20.0, True), ("old", 5.0, True)])
async def test_a_member_is_given_as_long_as_the_longer_of_two_leases(
    path: Path, said: str, silence: float, is_lost: bool
) -> None:
    patient, hasty = await SqliteLog.open(path), await SqliteLog.open(path, lease=1.0)
    lease, member = await lease_of(patient), await hasty.ledger.enter()
    file = path.parent / "log.db-tidings" / "members" / lease.member
    if said:
        await asyncio.to_thread(file.write_text, "")  # as versions that did not say it

    await asyncio.to_thread(os.utime, file, (time.time() - silence, time.time() - silence))
    await hasty.ledger.pulse(member)

    assert len((await hasty.ledger.claim("g", member)).lanes) == (16 if is_lost else 0)
    await patient.close()
    await hasty.close()


@pytest.mark.parametrize("lease", [1.0, 2.0, 5.0, 15.0, 600.0])
async def test_a_member_at_rest_shows_itself_well_within_its_lease(path: Path, lease: float) -> None:
    log = await SqliteLog.open(path, lease=lease)

    assert PULSE <= log.ledger.pulse_every <= lease / 2
    await log.close()


async def test_a_member_notes_once_an_hour_that_it_runs_its_groups(path: Path) -> None:
    clock = ManualClock()
    log = await SqliteLog.open(path, clock=clock)
    lease = await lease_of(log)
    seen = []
    for seconds in (0.0, 60.0, 3540.0, 1.0, 1800.0):
        clock.advance(seconds)
        await log.ledger.pulse(lease.member)
        seen.append((await on_writer(log, "SELECT last_seen FROM tidings_groups"))[0] - 1_000_000_000.0)

    await log.close()
    assert seen == [0.0, 0.0, 0.0, 3601.0, 3601.0]


async def test_a_dead_member_was_last_seen_when_it_touched_its_file(path: Path) -> None:
    log, other = await SqliteLog.open(path), await SqliteLog.open(path)
    lease = await lease_of(other)
    file = path.parent / f"{path.name}-tidings" / "members" / lease.member
    died_at = time.time() - 1000.0

    os.close(other.ledger._members._held.pop(lease.member))  # as the kernel does when a process dies
    await asyncio.to_thread(os.utime, file, (died_at, died_at))
    await asyncio.to_thread(change, path, "UPDATE tidings_groups SET last_seen = 5")
    (unburied,) = await log.ledger.groups()
    await log.ledger.pulse(await log.ledger.enter())
    (buried,) = await log.ledger.groups()

    await other.close()
    await log.close()
    assert unburied.members == buried.members == ()
    assert abs(unburied.last_seen - died_at) < 0.001
    assert abs(buried.last_seen - died_at) < 0.001
