"""Appending from plain threads: on the thread itself when nobody else writes, in a group commit when others do."""

import asyncio
import contextlib
import fcntl
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tidings import Event
from tidings.clock import ManualClock
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
            log.append_blocking([paid(1), paid(3)])

    await asyncio.to_thread(pay)

    assert not (await log.scan("")).records
    await log.append([paid(2)])
    assert len((await log.scan("")).records) == 1


async def test_what_fails_behind_the_commit_of_one_event_is_made_good(log: SqliteLog) -> None:
    def fail(point: str) -> None:
        if point == "committed":
            log.threads.writer.hook = lambda point: None
            raise OSError("the answer was lost")

    log.threads.writer.hook = fail
    appended = await asyncio.to_thread(log.append_blocking, [paid(1)])

    (found,) = (await log.scan("")).records
    assert appended.first == log.threads.epoch.position(found.order)


async def test_an_interrupt_behind_the_commit_of_one_event_leaves_the_log_usable(log: SqliteLog) -> None:
    def interrupt(point: str) -> None:
        if point == "committed":
            log.threads.writer.hook = lambda point: None
            raise KeyboardInterrupt

    def pay() -> None:
        log.threads.writer.hook = interrupt
        with pytest.raises(KeyboardInterrupt):
            log.append_blocking([paid(1)])

    await asyncio.to_thread(pay)
    await log.append([paid(2)])

    assert [record.order for record in (await log.scan("")).records] == [1, 2]


async def test_one_event_is_never_part_of_a_transaction_that_an_interrupt_left_open(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be told as recorded, and go with that one."""
    writer, roll_back = log.threads.writer, log.threads.writer._roll_back
    interrupts = [KeyboardInterrupt(), KeyboardInterrupt()]

    def interrupted() -> None:
        if interrupts and writer._connection.in_transaction:
            raise interrupts.pop()
        roll_back()

    def pay() -> list[str]:
        log.append_blocking([paid(1)])
        monkeypatch.setattr(writer, "_roll_back", interrupted)
        with pytest.raises(KeyboardInterrupt):
            log.append_blocking([paid(1)])  # its id is recorded, and what that leads to is interrupted
        assert writer._connection.in_transaction
        told = [log.append_blocking([paid(number)]).first for number in (2, 3)]
        return [*told, log.append_blocking([paid(4), paid(5)]).first]

    told = await asyncio.to_thread(pay)

    found = await log.scan("")
    assert [record.order for record in found.records] == [1, 2, 3, 4, 5]
    assert told == [found.position(record) for record in found.records[1:4]]


async def test_the_log_time_never_falls_when_threads_append(tmp_path: Path) -> None:
    """Not even behind another process whose clock is ahead, nor at the first event of all."""
    ahead, behind = ManualClock(2_000.0), ManualClock(1_000.0)
    one = await SqliteLog.open(tmp_path / "log.db", clock=ahead)
    two = await SqliteLog.open(tmp_path / "log.db", clock=behind)
    for number, log in enumerate((one, two, one)):
        await asyncio.to_thread(log.append_blocking, [paid(number)])
        behind.set(1_500.0)
    records = (await two.scan("")).records
    await one.close()
    await two.close()

    assert [record.recorded_at for record in records] == [2_000_000_000] * 3


async def test_a_thread_is_told_of_a_writer_outside_tidings(log: SqliteLog, tmp_path: Path) -> None:
    def pay() -> None:
        log.threads.writer._connection.execute("PRAGMA busy_timeout = 10")
        with contextlib.closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as outsider:
            outsider.execute("BEGIN IMMEDIATE")
            with pytest.raises(LogLocked):
                log.append_blocking([paid(1)])
            outsider.execute("ROLLBACK")
        log.append_blocking([paid(1)])

    await asyncio.to_thread(pay)

    assert len((await log.scan("")).records) == 1


async def test_a_closed_log_takes_nothing_from_threads_either(log: SqliteLog) -> None:
    await log.close()

    with pytest.raises(LogClosed):
        await asyncio.to_thread(log.append_blocking, [paid(1)])
