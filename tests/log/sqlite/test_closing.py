"""The end of a log: what was begun is finished, nothing is left behind, and later calls say so."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.log.sqlite.stage import event, lease_of, recorded
from tidings.clock import ManualClock
from tidings.errors import LogClosed
from tidings.log import Settlement
from tidings.log.sqlite import SqliteLog


async def test_closing_twice_is_harmless_and_harms_nobody_else(path: Path) -> None:
    log = await SqliteLog.open(path)
    await asyncio.gather(log.close(), log.close())
    others = [await SqliteLog.open(path.with_name(f"{number}.db")) for number in range(3)]

    await log.close()  # its file descriptors are other people's by now

    for other in others:
        await other.append([event(1)])
        await other.close()


async def test_what_was_asked_for_before_the_close_is_finished(path: Path) -> None:
    log = await SqliteLog.open(path)
    appending = [asyncio.ensure_future(log.append([event(number)])) for number in range(20)]
    await asyncio.sleep(0)  # they have begun

    await log.close()

    await asyncio.gather(*appending)
    again = await SqliteLog.open(path)
    assert len(await recorded(again)) == 20
    await again.close()


async def test_a_closed_log_leaves_no_descriptor_and_no_thread(path: Path) -> None:
    def held() -> int:
        return len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0

    log = await SqliteLog.open(path)
    await log.close()  # whatever the first one leaves for good
    before = await asyncio.to_thread(held)

    for _ in range(3):
        log = await SqliteLog.open(path)
        await log.ledger.enter()
        log.bell.listen()
        await log.append([event(1)])
        await log.close()

    assert await asyncio.to_thread(held) == before
    with pytest.raises(LogClosed):
        await log.append([event(2)])


async def test_every_ledger_call_of_a_closed_log_says_so(path: Path) -> None:
    log = await SqliteLog.open(path, clock=ManualClock())
    lease = await lease_of(log)
    await log.close()

    for call in (log.ledger.settle(Settlement(lease)), log.ledger.claim("g", lease.member), log.ledger.held(lease)):
        with pytest.raises(LogClosed):
            await call
