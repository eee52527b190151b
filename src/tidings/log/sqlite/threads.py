"""The two threads of an open log: one reads, one writes, so that the event loop never touches the file."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from tidings.concurrency import DedicatedThread
from tidings.errors import LogClosed, LogDamaged, UsedAfterFork
from tidings.log.jobs import Job, Run
from tidings.log.position import Epoch, Position, order_of
from tidings.log.record import Draft
from tidings.log.slices import Appended
from tidings.log.sqlite.failures import translated
from tidings.log.sqlite.schema import tip_of
from tidings.log.sqlite.sidecar import Sidecar
from tidings.log.sqlite.writer import Writer

_NEXT_LOOK = 1.0  # seconds, after the first, between looks at a job that does not end
Result = TypeVar("Result")


class Threads:
    """Runs questions on the reader's connection and jobs on the writer's."""

    is_for_reading = False  # and for nothing else

    def __init__(self, reader: sqlite3.Connection, writer: Writer, sidecar: Sidecar, epochs: list[Epoch]) -> None:
        self._reader = reader
        self._sidecar = sidecar
        self.path = str(sidecar.database)
        self._inode = os.stat(sidecar.database).st_ino
        self._thread = DedicatedThread(f"tidings-reader-{sidecar.database.name}")
        self._pid = os.getpid()
        self._closed = False
        self.writer = writer
        self.epochs = epochs

    @property
    def epoch(self) -> Epoch:
        """The life of the log that is now."""
        return self.epochs[-1]

    @property
    def is_ours(self) -> bool:
        """Is this the process that opened the log, and not its fork?"""
        return os.getpid() == self._pid

    async def read(self, question: Callable[[sqlite3.Connection], Result]) -> Result:
        """Ask on the reader's thread.

        Raises:
            LogClosed, UsedAfterFork: this log cannot be asked any more.
            LogError: what SQLite reported.
        """
        self.check_open()
        return await self._thread.call(lambda: self._ask(question))

    def follow(self, question: Callable[[sqlite3.Connection], None]) -> None:
        """Ask from the reader's thread itself, behind what was asked before; nobody waits for an answer."""
        self._thread.put(lambda: question(self._reader))

    def look_every(self, seconds: float, look: Callable[[sqlite3.Connection], None] | None) -> None:
        """Ask from the reader's thread itself, again and again; nobody waits for it. None ends it."""
        self._thread.look_every(seconds, None if look is None else lambda: look(self._reader))

    async def write(
        self,
        run: Run,
        *,
        exclusive: bool = False,
        essential: bool = False,
        weight: int = 1,
        lone: Draft | None = None,
    ) -> Any:
        """Run a job on the writer's thread, in a group commit; returns when it is committed."""
        self.check_open()
        job = Job(run, exclusive=exclusive, essential=essential, weight=weight, lone=lone)
        if not exclusive:
            return await self.writer.submit(job)
        with self._impatience(job):
            return await self.writer.submit(job)

    def write_blocking(self, run: Run, *, weight: int = 1, timeout: float | None = None) -> Any:
        """Run a job from a plain thread, and block until it is committed, at most `timeout` seconds."""
        self.check_open()
        return self.writer.run(Job(run, weight=weight, plain=True), timeout)

    def record_blocking(self, draft: Draft, *, timeout: float | None = None) -> Appended | None:
        """Record one event of no stream from a plain thread, at once; None when that does not go, and a job has to."""
        self.check_open()
        return self.writer.record(draft, timeout)

    @contextlib.contextmanager
    def _impatience(self, job: Job) -> Iterator[None]:
        """Who waits behind a job that does not end is told so, as who waits for another process is."""
        limit, loop = self.writer.lock_timeout, asyncio.get_running_loop()
        timers = [loop.call_later(limit, lambda: look())]

        def look() -> None:
            self.writer.refuse_behind(job)
            timers[0] = loop.call_later(min(limit, _NEXT_LOOK), look)

        try:
            yield
        finally:
            timers[0].cancel()

    def order(self, connection: sqlite3.Connection, position: Position) -> int:
        """The order a position stands for.

        Raises:
            LogTruncated: it is not in this log.
        """
        return order_of(position, self.epochs, tip_of(connection))

    def refuse(self) -> bool:
        """Take no more questions and jobs; False when that was so before."""
        was_closed, self._closed = self._closed, True
        self._thread.look_every(0.0, None)
        return not was_closed

    def close(self) -> bool:
        """Finish what is queued and end both threads; blocks. False when the writer's is left, with its files."""
        if self.is_ours:
            if not self.writer.close():
                return False
            self._thread.close()
            self._reader.close()
        return True

    def check_open(self) -> None:
        """Can this process still use the log?

        Raises:
            LogClosed, UsedAfterFork: it cannot.
        """
        if not self.is_ours:
            raise UsedAfterFork(self._pid, os.getpid(), self.path)
        if self._closed:
            raise LogClosed(self.path)

    def check_file(self) -> None:
        """Notice when the file was taken away or replaced under our feet: writes to it would go nowhere.

        Raises:
            LogDamaged: the path names another file now, or none.
        """
        try:
            same = os.stat(self.path).st_ino == self._inode
        except FileNotFoundError:
            same = False
        if not same:
            raise LogDamaged("the file was removed or replaced while it was open", path=self.path)

    def _ask(self, question: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            return question(self._reader)
        except sqlite3.Error as error:
            raise translated(error, self.path, self._sidecar.holder()) from error
