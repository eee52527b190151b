"""Others that hold the file: a writer that stands still, one that is no tidings, and the parent of a fork."""

import asyncio
import contextlib
import os
import pickle
import shutil
import signal
import sqlite3
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.log.sqlite.stage import effect, event, made, recorded
from tidings.errors import LogLocked, UsedAfterFork
from tidings.log import START
from tidings.log.bell import Counters
from tidings.log.group import Group
from tidings.log.sqlite import SqliteLog
from tidings.log.sqlite.sidecar import Head, Sidecar

LIMIT = 20.0  # seconds for what should take milliseconds
HOLDER = """
import fcntl, os, sys
taken, lock = (os.open(file, os.O_RDWR) for file in sys.argv[1:3])
fcntl.flock(taken, fcntl.LOCK_EX)
os.pwrite(lock, os.getpid().to_bytes(8, "little"), int(sys.argv[3]))
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.asynccontextmanager
async def stopped_holder(path: Path, file: str = "lock") -> AsyncIterator[int]:
    """Another process that holds the writers' lock, or waits for it, and is stopped; gone when the block ends."""
    folder = path.parent / "log.db-tidings"
    given = str(folder / file), str(folder / "lock"), "0" if file == "lock" else "16"
    pipes: Any = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, *given, **pipes)
    assert process.stdout is not None
    await process.stdout.readline()
    process.send_signal(signal.SIGSTOP)
    try:
        yield process.pid
    finally:
        process.kill()
        await process.wait()


async def test_a_stopped_lock_holder_is_named_within_the_timeout(path: Path) -> None:
    log = await SqliteLog.open(path, lock_timeout=0.2)
    try:
        await log.append([event(0)])
        async with asyncio.timeout(LIMIT):
            async with stopped_holder(path) as pid:
                first = asyncio.ensure_future(log.append([event(1)]))
                with pytest.raises(LogLocked) as refused:
                    await first
                for number in (2, 3):  # those behind it are not left waiting either
                    with pytest.raises(LogLocked) as again:
                        await log.append([event(number)])
                assert await recorded(log) == ["id-0"]  # reading goes on
            await log.append([event(4)])

        assert (refused.value.pid, again.value.pid) == (pid, pid)
        assert await recorded(log) == ["id-0", "id-4"]  # what was refused is not done later
    finally:
        await log.close()


async def test_who_is_stopped_while_it_waits_for_the_lock_is_named(path: Path) -> None:
    log = await SqliteLog.open(path, lock_timeout=0.2)
    try:
        await log.append([event(0)])
        async with asyncio.timeout(LIMIT):
            async with stopped_holder(path, "turn") as pid:
                with pytest.raises(LogLocked) as refused:
                    await log.append([event(1)])
            await log.append([event(2)])

        assert refused.value.pid == pid
        assert await recorded(log) == ["id-0", "id-2"]
    finally:
        await log.close()


def test_nobody_is_named_where_nobody_holds_the_lock_or_it_cannot_be_told(path: Path) -> None:
    sidecar = Sidecar(path)
    sidecar.lock()
    assert sidecar.holder() == os.getpid()
    sidecar.unlock()

    assert sidecar.holder() is None
    sidecar.close()
    shutil.rmtree(sidecar.folder)
    assert sidecar.holder() is None


def test_who_has_let_go_of_the_lock_comes_behind_who_waits_for_it(path: Path) -> None:
    holder, waiter = Sidecar(path), Sidecar(path)
    served = threading.Event()

    def wait() -> None:
        waiter.lock()
        served.set()
        waiter.unlock()

    for _ in range(50):
        assert holder.try_lock()
        served.clear()
        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        until_waited_for(path.parent / "log.db-tidings" / "lock")
        holder.unlock()
        assert not holder.try_lock() or served.is_set()
        holder.unlock()
        holder.lock()
        assert served.is_set()
        holder.unlock()
        thread.join(LIMIT)
    holder.close()
    waiter.close()


def test_who_died_while_it_waited_for_the_lock_keeps_nobody_out(path: Path) -> None:
    holder, dead = Sidecar(path), Sidecar(path)
    dead._say_who_waits(dead._signature)
    dead.close()

    for _ in range(2):
        assert holder.try_lock()
        holder.unlock()

    raw = (path.parent / "log.db-tidings" / "lock").read_bytes()
    assert raw[16:] == bytes(8), "nobody waits, and it is asked again each time"
    holder.close()


def test_who_had_the_lock_hears_what_others_have_counted_since(path: Path) -> None:
    one, other = Sidecar(path), Sidecar(path)
    for number, (sidecar, behind) in enumerate([(one, other), (other, one)] * 3, start=1):
        for again in range(2):  # the second time nobody else had it in between
            assert sidecar.try_lock()
            heard = sidecar.heard()
            assert (heard.control, heard.timers) == (number - 1 + again, 0)
            sidecar.write_head(Head(1, "12345678", 1, 1, Counters(number)))
            if not again:
                sidecar.counters = Counters(number)
            sidecar.unlock()
        assert behind.try_lock()
        assert behind.heard() == Counters(number)
        behind.unlock()
    one.close()
    other.close()


def until_waited_for(lock: Path) -> None:
    limit = time.monotonic() + LIMIT
    while not any(lock.read_bytes()[16:]):
        assert time.monotonic() < limit, "nobody waits"


async def test_who_commits_on_a_connection_of_its_own_has_heard_what_others_counted(path: Path) -> None:
    """The head record that it writes is what every reader goes by."""
    one, other = await SqliteLog.open(path), await SqliteLog.open(path)
    await one.append([event(0)])  # it has heard all there was
    for number in range(5):
        await other.ledger.join(Group(f"g{number}"))

    def publish() -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as own, one.existing(own) as tx:
            tx.append([effect(1)])

    await asyncio.to_thread(publish)
    head = await asyncio.to_thread(other._sidecar.read_head)

    assert head is not None
    assert head.tip == 2
    assert head.counters.control >= 5
    await one.close()
    await other.close()


async def test_a_thread_that_commits_by_itself_waits_no_longer_than_it_said(path: Path) -> None:
    log = await SqliteLog.open(path, lock_timeout=LIMIT)
    outside = await asyncio.to_thread(sqlite3.connect, path, isolation_level=None, check_same_thread=False)
    with contextlib.closing(outside):
        await asyncio.to_thread(outside.execute, "BEGIN IMMEDIATE")

        with pytest.raises(TimeoutError):
            await asyncio.to_thread(lambda: log.append_blocking([event(0)], timeout=0.1))
        await asyncio.to_thread(outside.execute, "ROLLBACK")
    await log.close()


async def test_a_stopped_lock_holder_keeps_nobody_opening_for_ever(path: Path) -> None:
    await made(path)
    async with asyncio.timeout(LIMIT):
        async with stopped_holder(path) as pid:
            with pytest.raises(LogLocked) as refused:
                await SqliteLog.open(path, lock_timeout=0.2)
        log = await SqliteLog.open(path, lock_timeout=10.0)

    assert refused.value.pid == pid
    assert await recorded(log) == ["id-0"]
    await log.close()


async def test_a_writer_outside_tidings_locks_only_for_a_while(path: Path) -> None:
    log = await SqliteLog.open(path, lock_timeout=0.1)
    outside = await asyncio.to_thread(sqlite3.connect, path, isolation_level=None, check_same_thread=False)
    try:
        await asyncio.to_thread(outside.execute, "BEGIN IMMEDIATE")
        attempts = [log.append([event(number)]) for number in range(50)]
        async with asyncio.timeout(4.0):  # not 50 times the wait of one
            outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        await asyncio.to_thread(outside.execute, "ROLLBACK")
        await log.append([event(99)])
        found = await recorded(log)
    finally:
        await asyncio.to_thread(outside.close)
        await log.close()

    assert {type(outcome) for outcome in outcomes} == {LogLocked}
    assert found == ["id-99"]


@pytest.mark.parametrize(("seconds", "milliseconds"), [(60, 60_000), (1e9, 2_000_000_000)])
async def test_behind_a_writer_outside_tidings_patience_is_as_long_as_was_said(
    path: Path, seconds: float, milliseconds: int
) -> None:
    log = await SqliteLog.open(path, lock_timeout=seconds)
    patience: list[int] = []

    def look() -> None:
        patience.extend(log.threads.writer._connection.execute("PRAGMA busy_timeout").fetchone())

    await asyncio.to_thread(look)
    await log.close()

    assert patience == [milliseconds]


def test_a_log_opened_before_a_fork_refuses_the_child(path: Path) -> None:
    with asyncio.Runner() as runner:
        log = runner.run(SqliteLog.open(path))
        member = runner.run(log.ledger.enter())
        child, said = fork(lambda: used_in_the_child(log))

        runner.run(log.append([event(1)]))  # the parent does not notice
        runner.run(log.ledger.pulse(member))
        assert runner.run(recorded(log)) == ["id-1"]
        runner.run(log.close())

    assert [type(error) for error in said] == [UsedAfterFork] * 3
    assert (said[0].opened_by, said[0].used_by) == (os.getpid(), child)


async def used_in_the_child(log: SqliteLog) -> list[Any]:
    calls = (log.append([event(2)]), log.scan(START), log.ledger.enter())
    said = list(await asyncio.gather(*calls, return_exceptions=True))
    await log.close()  # harmless to the parent, whose file, lock and member these are
    return said


def fork(work: Callable[[], Any]) -> tuple[int, Any]:
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads is what this is about
        child = os.fork()
    if child == 0:
        try:
            os.write(writer, pickle.dumps(asyncio.new_event_loop().run_until_complete(work())))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pickle.loads(pipe.read())
    os.waitpid(child, 0)
    return child, said
