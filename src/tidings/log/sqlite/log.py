"""`SqliteLog`: the log as its users hold it. Opening checks what can be checked; the threads do the work."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Self

from tidings.clock import Clock, SystemClock
from tidings.concurrency import DedicatedThread
from tidings.errors import LogReadOnly
from tidings.events import Event
from tidings.log.position import START, Position
from tidings.log.record import Draft, draft, mentions
from tidings.log.relational import retention
from tidings.log.relational.log import RelationalLog
from tidings.log.retention import Cut, Disk, Trimmed
from tidings.log.slices import ALL, Appended, Slice, Where
from tidings.log.sqlite import reading
from tidings.log.sqlite.ahead import ReadAhead
from tidings.log.sqlite.backup import back_up, disk, shrink
from tidings.log.sqlite.existing import JoinedTransaction, existing_transaction
from tidings.log.sqlite.ledger import SqliteLedger
from tidings.log.sqlite.looking import look_at_parts
from tidings.log.sqlite.opening import Parts, open_parts
from tidings.log.sqlite.schema import tip_of
from tidings.log.sqlite.session import Session
from tidings.log.sqlite.threads import Threads
from tidings.log.sqlite.transaction import fetch_within
from tidings.log.sqlite.verify import examine
from tidings.log.sqlite.watch import drain, unwatch, watch
from tidings.log.verifying import Examined


class SqliteLog(RelationalLog):
    """A log in one SQLite file, shared by the processes of one machine. Make it with `open`."""

    ledger: SqliteLedger
    threads: Threads

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.path = parts.path
        self.url = f"sqlite:///{parts.path}"
        self.is_dense = True
        self._fetch_records = ReadAhead(None if parts.threads.is_for_reading else parts.threads.follow).fetch
        self._sidecar = parts.sidecar
        self._lock_timeout = parts.lock_timeout
        self._watched: dict[asyncio.AbstractEventLoop, int] = {}
        self.bell.on_listen = self._watch_bell

    @classmethod
    async def open(
        cls,
        path: str | Path,
        *,
        clock: Clock | None = None,
        synchronous: str = "FULL",
        lock_timeout: float = 10.0,
        lease: float = 15.0,
    ) -> Self:
        """Open the file at `path`, and create it, readable by its owner only, when it is not there.

        `synchronous="NORMAL"` is faster and may lose the last commits when the machine loses power. After
        `lock_timeout` seconds behind another writer a call gives up, be that one of tidings or, such as a connection of
        the user's, outside it. A member that has not shown itself for `lease` seconds, or its own lease where that is
        longer, loses its lanes.

        Raises:
            LogDamaged: it is no database, or ends before what was once committed.
            NewerSchema, LogReadOnly, LogLocked: it cannot be used by this process.
            ConfigurationError: the place does not suit a log.
        """
        return await cls._opened(
            partial(open_parts, Path(path), clock or SystemClock(), synchronous, lock_timeout, lease)
        )

    @classmethod
    async def look(
        cls,
        path: str | Path,
        *,
        clock: Clock | None = None,
        synchronous: str = "FULL",
        lock_timeout: float = 10.0,
        lease: float = 15.0,
    ) -> Self:
        """Open the file at `path` for reading only: nothing is made, locked or changed, and writing is refused.

        The settings are those of `open`. One exception: a file whose tables are older than this tidings is opened, and
        so brought up to date.

        Raises:
            ConfigurationError: there is no log.
            LogDamaged, NewerSchema, LogReadOnly, LogError: it cannot be read.
        """
        known = clock or SystemClock()

        def parts() -> Parts:
            seen = look_at_parts(Path(path), known, lease)
            return seen or open_parts(Path(path), known, synchronous, lock_timeout, lease)

        return await cls._opened(parts)

    async def scan(self, after: Position, where: Where = ALL, limit: int = 500) -> Slice:
        """One look past `after`, without waiting."""
        threads = self.threads
        return await threads.read(
            lambda connection: reading.scan(
                connection, threads.epoch, threads.order(connection, after), where, limit, self._fetch_records
            )
        )

    async def tip(self) -> Position:
        """The newest position given out: the same as the head, as orders are given out under the lock."""
        return await self.head()

    async def position_at(self, moment: float) -> Position:
        """The last position recorded before `moment` (seconds since 1970 UTC, log time)."""
        order = await self.threads.read(lambda connection: reading.order_at(connection, int(moment * 1e6)))
        return self.threads.epoch.position(order)

    async def related(self, ids: Sequence[str], after: Position, limit: int = 500) -> Slice:
        """One look past `after` for records whose envelope speaks of one of these ids."""
        threads = self.threads
        return await threads.read(
            lambda connection: reading.related(
                connection, threads.epoch, threads.order(connection, after), mentions(ids), limit
            )
        )

    async def trim(
        self, cuts: Mapping[str, Cut], after: Position = START, *, limit: int = 1000, dry_run: bool = False
    ) -> Trimmed:
        """Remove events of these names past `after`; see `Log.trim`."""
        threads = self.threads
        if dry_run:
            return await threads.read(
                lambda connection: retention.plan(
                    connection,
                    threads.epoch,
                    cuts,
                    threads.order(connection, after),
                    limit,
                    threads.writer.clock.now(),
                    tip_of(connection),
                )[1]
            )

        def run(session: Session, careful: bool) -> Trimmed:
            order, now = threads.order(session.connection, after), session.recorded_at / 1e6
            return retention.trim(session, session.epoch, cuts, order, limit, now, session.tip)

        # Essential: on a full disk it may use the reserve, as nothing else makes room.
        trimmed: Trimmed = await threads.write(run, weight=limit, essential=True)
        return trimmed

    async def disk(self) -> Disk:
        """What the file takes, and the `-wal` beside it."""
        return await self.threads.read(lambda connection: disk(connection, self.path))

    async def shrink(self) -> None:
        """Give the room that trimming has freed back to the disk."""
        if self.threads.is_for_reading:
            raise LogReadOnly(str(self.path))
        await _apart("shrink", lambda: shrink(self.path, self._lock_timeout))

    async def verify(self, backup: Path | None = None) -> AsyncIterator[Examined]:
        """Read everything, in steps, and say what is wrong; see `Log.verify`."""
        thread = DedicatedThread("tidings-verify")
        steps = examine(backup or self.path, is_alone=backup is not None)
        try:
            while (step := await thread.call(lambda: next(steps, None))) is not None:
                yield step
        finally:
            _ = thread.call(steps.close)
            thread.close(wait=False)

    async def backup(self, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy all that is recorded now to a new file; see `Log.backup`."""
        told = progress or (lambda done, of: None)
        await _apart("backup", lambda: back_up(self.path, path.absolute(), told))

    def existing(self, connection: object, *, may_open: bool = True) -> AbstractContextManager[JoinedTransaction]:
        """Events in a transaction of a `sqlite3.Connection` to this file; see `Log.existing`."""
        return existing_transaction(connection, self.threads, self._sidecar, may_open=may_open)

    def append_blocking(
        self, events: Sequence[Event], *, public: bool = True, timeout: float | None = None
    ) -> Appended:
        """Record `events` from a plain thread, which commits them itself when nobody else is writing."""
        if len(events) == 1:
            appended = self.threads.record_blocking(draft(events[0], public=public), timeout=timeout)
            if appended is not None:
                return appended
        return super().append_blocking(events, public=public, timeout=timeout)

    async def ring(self) -> None:
        """Wake the readers of every process for what was committed on a connection outside tidings."""

        def run(session: Session, careful: bool) -> None:
            session.is_news = True

        await self.threads.write(run)

    async def close(self) -> None:
        """Finish what was asked for, and let go of the files."""
        if not self.threads.refuse():
            return
        for loop, descriptor in self._watched.items():
            unwatch(loop, descriptor)
        self._watched.clear()
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._close))  # begun, it is done

    def _end(self, connection: sqlite3.Connection) -> int:
        return tip_of(connection)

    def _absorb(self, session: Session, drafts: Sequence[Draft], *, careful: bool) -> int:
        return session.absorb(drafts, careful=careful)[0]

    def _close(self) -> None:
        are_free = self.threads.close()
        if self.threads.is_ours:
            self.ledger.close()
        if are_free:
            self._sidecar.close()

    async def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        return await self.threads.read(lambda connection: fetch_within(connection, sql, parameters))

    def _watch_bell(self) -> None:
        loop = asyncio.get_running_loop()
        if loop in self._watched:
            return
        descriptor = watch(str(self._sidecar.bell_path))
        if descriptor is not None:
            self._watched[loop] = descriptor
            loop.add_reader(descriptor, self._heard, descriptor)

    def _heard(self, descriptor: int) -> None:
        drain(descriptor)
        head = self._sidecar.read_head()
        if head is not None:
            self.bell.news(self.threads.epoch.position(head.tip), head.counters)


async def _apart(name: str, work: Callable[[], None]) -> None:
    """Do long work on a thread of its own, so that neither readers nor writers queue behind it."""
    thread = DedicatedThread(f"tidings-{name}")
    try:
        await thread.call(work)
    finally:
        thread.close(wait=False)
