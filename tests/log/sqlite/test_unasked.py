"""What a member's log notices without being asked: commits that rang no bell, and members that died."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.log.sqlite.stage import change, event, lease_of
from tidings.concurrency import DedicatedThread
from tidings.log.bell import Ear
from tidings.log.sqlite import SqliteLog

_LIMIT = 20.0  # seconds, for what takes half of one
_ADVANCED = "INSERT OR REPLACE INTO tidings_meta VALUES ('control', '1000')"


async def _rung(ear: Ear) -> None:
    async with asyncio.timeout(_LIMIT):
        await ear.wait(2 * _LIMIT)


async def test_a_commit_that_rang_no_bell_wakes_who_waits(log: SqliteLog, path: Path) -> None:
    await log.append([event(1)])
    await log.ledger.pulse(await log.ledger.enter())
    ear = log.bell.listen()
    before = log.bell.control

    await asyncio.to_thread(change, path, _ADVANCED)
    await _rung(ear)

    assert log.bell.control > before


async def test_a_member_that_died_wakes_who_may_bury_it(log: SqliteLog, path: Path) -> None:
    other = await SqliteLog.open(path)
    lease, member = await lease_of(other), await log.ledger.enter()
    await log.ledger.pulse(member)
    ear = log.bell.listen()

    os.close(other.ledger._members._held.pop(lease.member))  # as the kernel does when a process dies
    await _rung(ear)
    await log.ledger.pulse(member)

    assert len((await log.ledger.claim("g", member)).lanes) == 16
    await other.close()


async def _rings(log: SqliteLog) -> int:
    """How often one look rings the bell."""
    rung = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log.bell, "ring", lambda: rung.append(1))
        await log.threads.read(log.ledger._look_unasked)
    return len(rung)


async def test_a_member_that_stands_still_rings_until_it_is_buried_and_then_no_more(path: Path) -> None:
    stalled, log = await SqliteLog.open(path, lease=60.0), await SqliteLog.open(path, lease=60.0)
    lease, member = await lease_of(stalled), await log.ledger.enter()
    file = path.parent / f"{path.name}-tidings" / "members" / lease.member
    await log.ledger.pulse(member)
    await _rings(log)
    log.threads.look_every(0.0, None)

    quiet = await _rings(log)
    await asyncio.to_thread(os.utime, file, (1000.0, 1000.0))
    lost = [await _rings(log), await _rings(log)]  # nobody has pulsed
    await log.ledger.pulse(member)
    await _rings(log)  # what has changed by that is news

    assert (quiet, lost, await _rings(log)) == (0, [1, 1], 0)
    await log.close()
    await stalled.close()


async def test_a_look_that_fails_is_no_end_of_the_thread_and_who_leaves_has_it_look_no_more(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    member, other = await log.ledger.enter(), await log.ledger.enter()
    monkeypatch.setattr(log.ledger, "_look_around", lambda connection: 1 / 0)
    log.ledger._version = None

    await log.threads.read(log.ledger._look_unasked)
    monkeypatch.undo()
    await log.ledger.leave(member)
    await log.head()  # by then the thread has heard of it
    assert log.threads._thread._look is not None

    await log.ledger.leave(other)
    await log.head()
    assert log.threads._thread._look is None


async def test_looking_is_no_sign_of_life_as_the_event_loop_may_stand_still_meanwhile(
    log: SqliteLog, path: Path
) -> None:
    member = await log.ledger.enter()
    file = path.parent / f"{path.name}-tidings" / "members" / member
    await asyncio.to_thread(os.utime, file, (1000.0, 1000.0))
    ear = log.bell.listen()

    await asyncio.to_thread(change, path, _ADVANCED)
    await _rung(ear)  # it has looked

    assert (await asyncio.to_thread(file.stat)).st_mtime == 1000.0
    await log.ledger.pulse(member)
    assert (await asyncio.to_thread(file.stat)).st_mtime > 1000.0


async def test_a_thread_looks_between_what_it_is_asked_until_it_is_to_look_no_more() -> None:
    thread, looks = DedicatedThread("looking"), asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()
    count = 0

    def look() -> None:
        nonlocal count
        count += 1
        loop.call_soon_threadsafe(looks.release)

    thread.look_every(0.01, look)
    async with asyncio.timeout(_LIMIT):
        await looks.acquire()
        while count < 5:  # never idle
            await thread.call(lambda: None)
        thread.look_every(0.01, None)
        await thread.call(lambda: None)
        seen = count
        assert await thread.call(lambda: "asked") == "asked"

    await asyncio.to_thread(thread.close)
    assert count == seen
