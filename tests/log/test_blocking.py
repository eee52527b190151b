"""Appending from plain threads: on the thread itself when nobody else writes, in a group commit when others do."""

import asyncio
import fcntl
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tidings import Event
from tidings.errors import IdReused, LogClosed, LogLocked
from tidings.log.sqlite import SqliteLog


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    log = await SqliteLog.open(tmp_path / "log.db", lock_timeout=0.2)
    yield log
    await log.close()


def paid(number: int, amount: int = 1) -> Event:
    return Event(id=f"paid-{number}", source="till", type="coin:paid", data={"amount": amount})


async def test_many_threads_and_an_event_loop_append_at_once_and_nothing_is_lost(log: SqliteLog) -> None:
    def pay(start: int) -> list[str]:
        return [log.append_blocking([paid(number)]).first for number in range(start, start + 50)]

    paying = [asyncio.create_task(asyncio.to_thread(pay, number * 50)) for number in range(8)]
    awaited = [(await log.append([paid(1000 + number)])).first for number in range(50)]
    blocking = [position for positions in await asyncio.gather(*paying) for position in positions]

    found = await log.scan("", limit=1000)
    assert sorted(blocking + awaited) == [found.position(record) for record in found.records]
    assert len(found.records) == 450


async def test_a_thread_commits_by_itself_when_nobody_else_writes(log: SqliteLog) -> None:
    threads = set[int]()
    log.threads.writer.hook = lambda point: threads.add(threading.get_ident())

    caller = await asyncio.to_thread(lambda: (log.append_blocking([paid(1)]), threading.get_ident())[1])

    assert threads == {caller}


async def test_the_same_id_again_is_recorded_once_and_another_content_is_refused(log: SqliteLog) -> None:
    first = await asyncio.to_thread(log.append_blocking, [paid(1)])
    again = await asyncio.to_thread(log.append_blocking, [paid(1)])

    assert (again.first, again.duplicate) == (first.first, True)
    with pytest.raises(IdReused):
        await asyncio.to_thread(log.append_blocking, [paid(1, amount=2)])


async def test_behind_another_process_a_thread_is_refused_in_time(log: SqliteLog, tmp_path: Path) -> None:
    lock = await asyncio.to_thread((tmp_path / "log.db-tidings" / "lock").open, "r+b")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LogLocked):
            await asyncio.to_thread(log.append_blocking, [paid(1)])
        fcntl.flock(lock, fcntl.LOCK_UN)

    await asyncio.to_thread(log.append_blocking, [paid(2)])
    assert [record.order for record in (await log.scan("")).records] == [1]


async def test_an_interrupted_thread_leaves_nothing_behind(log: SqliteLog) -> None:
    def interrupt(point: str) -> None:
        if point == "written":
            log.threads.writer.hook = lambda point: None
            raise KeyboardInterrupt

    def pay() -> None:
        log.threads.writer.hook = interrupt
        with pytest.raises(KeyboardInterrupt):
            log.append_blocking([paid(1)])

    await asyncio.to_thread(pay)

    assert not (await log.scan("")).records
    await log.append([paid(2)])
    assert len((await log.scan("")).records) == 1


async def test_a_closed_log_takes_nothing_from_threads_either(log: SqliteLog) -> None:
    await log.close()

    with pytest.raises(LogClosed):
        await asyncio.to_thread(log.append_blocking, [paid(1)])
