"""The threads of an open log: two read, others write, one watches, so that no event loop ever waits for the server."""

import asyncio
import itertools
import os
from collections.abc import Callable
from math import inf
from typing import Any, TypeVar

from tidings.concurrency import DedicatedThread
from tidings.errors import LogClosed, UsedAfterFork
from tidings.log.jobs import Job, Run
from tidings.log.position import Epoch, Position
from tidings.log.postgres.address import Address
from tidings.log.postgres.connection import Connection, Link
from tidings.log.postgres.edge import Edge
from tidings.log.postgres.transaction import Guard
from tidings.log.postgres.watch import Watch
from tidings.log.postgres.writer import Writer
from tidings.log.record import Draft

Result = TypeVar("Result")


class Threads:
    """Runs questions on the readers' connections and jobs on the writers'."""

    def __init__(self, readers: list[Link], writer: Writer, watch: Watch, edge: Edge, address: Address) -> None:
        self._readers = [(DedicatedThread(f"tidings-reader-{number}"), link) for number, link in enumerate(readers)]
        self._turn = itertools.cycle(self._readers)
        self._pid = os.getpid()
        self._closed = False
        self.writer = writer
        self.watch = watch
        self.edge = edge
        self.place = address.place
        self.schema = address.schema

    @property
    def epoch(self) -> Epoch:
        """The life of the log that is now."""
        return self.edge.life.epoch

    async def read(self, question: Callable[[Connection], Result]) -> Result:
        """Ask on a reader's thread.

        Raises:
            LogClosed, UsedAfterFork: this log cannot be asked any more.
            LogError: what Postgres reported.
        """
        self.check_open()
        thread, link = next(self._turn)
        return await thread.call(lambda: link.ask(question))

    async def ask_watch(self, question: Callable[[Connection], Result]) -> Result:
        """Ask on the connection that listens, which holds the locks of this process's members."""
        self.check_open()
        answer: Result = await asyncio.wrap_future(self.watch.ask(question))
        return answer

    async def write(
        self,
        run: Run,
        *,
        exclusive: bool = False,
        essential: bool = False,
        weight: int = 1,
        lone: Draft | None = None,
        guard: Guard | None = None,
    ) -> Any:
        """Run a job in a group commit, or with `exclusive` in a transaction of its own; returns when that is committed.

        `guard` looks after one that runs a handler's code. A `lone` event goes the way of all.
        """
        self.check_open()
        job = Job(run, exclusive=exclusive, essential=essential, weight=weight)
        if guard is None:
            return await self.writer.submit(job)
        with guard.on_duty():
            return await self.writer.submit(job)

    def write_blocking(self, run: Run, *, weight: int = 1, timeout: float | None = None) -> Any:
        """Run a job from a plain thread, and block until it is committed, at most `timeout` seconds."""
        self.check_open()
        return self.writer.run(Job(run, weight=weight, plain=True), timeout)

    def order(self, connection: Connection, position: Position) -> int:
        """The order a position stands for.

        Raises:
            LogTruncated: it is not in this log.
        """
        return self.edge.order(connection, position)

    @property
    def is_ours(self) -> bool:
        """Is this the process that opened the log, and not its fork?"""
        return os.getpid() == self._pid

    def refuse(self) -> bool:
        """Take no more questions and jobs; False when that was so before."""
        was_closed, self._closed = self._closed, True
        return not was_closed

    def connect(self) -> Connection:
        """A connection for long work, so that neither readers nor writers queue behind it; blocks."""
        connection = self._readers[0][1].connect()
        connection.raw.answer_within = inf
        return connection

    def close(self, last: Callable[[Connection], None]) -> None:
        """Finish what is queued and end the threads; `last` is the last thing done. Blocks."""
        if not self.is_ours:
            return
        self.watch.ask(last)
        if self.writer.close():
            for thread, link in self._readers:
                thread.close()
                link.close()
        self.watch.close()

    def check_open(self) -> None:
        """Can this process still use the log?

        Raises:
            LogClosed, UsedAfterFork: it cannot.
        """
        if not self.is_ours:
            raise UsedAfterFork(self._pid, os.getpid(), self.place)
        if self._closed:
            raise LogClosed(self.place)
