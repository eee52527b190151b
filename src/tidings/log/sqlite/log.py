"""`SqliteLog`: the log as its users hold it. Opening checks what can be checked; the threads do the work."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Self

from tidings.clock import Clock, SystemClock
from tidings.concurrency import DedicatedThread
from tidings.errors import CommitUnknown, LogError, LogReadOnly
from tidings.events import Event
from tidings.log.position import START, Position
from tidings.log.reading import checked
from tidings.log.record import Draft, adopted, draft, mentions
from tidings.log.recorded import RecordedTransaction, run_writes, say_passed_over
from tidings.log.relational import lineage, retention
from tidings.log.retention import Cut, Disk, Survey, Trimmed
from tidings.log.slices import ALL, ANY, Appended, Expect, Slice, Where
from tidings.log.sqlite import reading
from tidings.log.sqlite.backup import back_up, disk, shrink
from tidings.log.sqlite.existing import JoinedTransaction, existing_transaction
from tidings.log.sqlite.looking import look_at_parts
from tidings.log.sqlite.opening import Parts, open_parts
from tidings.log.sqlite.schema import tip_of
from tidings.log.sqlite.session import Session
from tidings.log.sqlite.transaction import fetch_within
from tidings.log.sqlite.verify import examine
from tidings.log.sqlite.watch import drain, unwatch, watch
from tidings.log.tailing import tail
from tidings.log.verifying import Examined


class SqliteLog:
    """A log in one SQLite file, shared by the processes of one machine. Make it with `open`."""

    def __init__(self, parts: Parts) -> None:
        self.path = parts.path
        self.url = f"sqlite:///{parts.path}"
        self.has_sql = True
        self.is_dense = True
        self.bell = parts.bell
        self.ledger = parts.ledger
        self.threads = parts.threads
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
        `lock_timeout` seconds behind another writer a call gives up; a member that has not shown itself for `lease`
        seconds loses its lanes.

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

    @classmethod
    async def _opened(cls, parts: Callable[[], Parts]) -> Self:
        loop = asyncio.get_running_loop()
        opening = loop.run_in_executor(None, parts)

        def close_unused(done: "asyncio.Future[Parts]") -> None:
            if not done.cancelled() and done.exception() is None:
                _ = loop.run_in_executor(None, cls(done.result())._close)

        try:
            return cls(await asyncio.shield(opening))
        except asyncio.CancelledError:
            opening.add_done_callback(close_unused)  # nobody else could end its threads
            raise

    async def append(
        self,
        events: Sequence[Event],
        *,
        stream: str | None = None,
        expect: Expect = ANY,
        tx: Any = None,
        public: bool | None = None,
    ) -> Appended:
        """Record `events`, all or none; see `Log.append`."""
        shown = stream is None if public is None else public
        drafts = [draft(event, public=shown, stream=stream) for event in events]
        if tx is not None:
            if stream is not None or expect is not ANY:
                raise LogError("a recorded transaction appends without a stream or an expectation: leave them out")
            tx.drafts += drafts
            return Appended(START, START)
        if not drafts:
            return Appended(START, START)

        def run(session: Session, careful: bool) -> Appended:
            return self._append(session, drafts, stream, expect, careful=careful)

        try:
            appended: Appended = await self.threads.write(run, weight=len(drafts))
        except CommitUnknown as error:
            raise _named(error, drafts) from error
        return appended

    def append_blocking(
        self, events: Sequence[Event], *, public: bool = True, timeout: float | None = None
    ) -> Appended:
        """Record `events` from a plain thread, which commits them itself when nobody else is writing."""
        drafts = [draft(event, public=public) for event in events]

        def run(session: Session, careful: bool) -> Appended:
            return self._append(session, drafts, careful=careful)

        try:
            appended: Appended = self.threads.write_blocking(run, weight=len(drafts), timeout=timeout)
        except CommitUnknown as error:
            raise _named(error, drafts) from error
        return appended

    async def absorb(self, events: Sequence[Event], *, public: bool = False) -> int:
        """Record those not yet recorded, and say how many were new."""
        drafts = [draft(event, public=public) for event in events]
        if not drafts:
            return 0

        def run(session: Session, careful: bool) -> int:
            if careful and self.ledger.keeps_lineage:
                lineage.duplicates(session, drafts)
            return session.absorb(drafts, careful=careful)[0]

        new: int = await self.threads.write(run, weight=len(drafts))
        return new

    async def adopt(self, events: Sequence[Event], public: Sequence[bool]) -> int:
        """Record what another log had recorded, as far as it is not; see `Log.adopt`."""
        given = [adopted(event, public=shown) for event, shown in zip(events, public, strict=True)]
        if not given:
            return 0
        new: int = await self.threads.write(lambda session, careful: session.adopt(given), weight=len(given))
        return new

    async def scan(self, after: Position, where: Where = ALL, limit: int = 500) -> Slice:
        """One look past `after`, without waiting."""
        threads = self.threads
        return await threads.read(
            lambda connection: reading.scan(connection, threads.epoch, threads.order(connection, after), where, limit)
        )

    def tail(self, *, after: Position = START, where: Where = ALL, batch: int = 500) -> AsyncIterator[Slice]:
        """Everything past `after`, in slices, and then whatever comes."""
        return tail(self, after, where, batch)

    async def read(
        self, stream: str, *, after: int = 0, upto: int | None = None, backwards: bool = False, batch: int = 500
    ) -> AsyncIterator[Slice]:
        """One stream's records by version, `after` excluded and `upto` included."""
        epoch = self.threads.epoch
        while True:
            rows = await self.threads.read(
                lambda connection: reading.stream(connection, stream, after, upto, backwards, batch)  # noqa: B023
            )
            if rows:
                first, last = epoch.position(rows[0][0]), epoch.position(rows[-1][0])
                yield Slice(checked(rows, epoch), first, last, at_head=len(rows) < batch, epoch=epoch)
            if len(rows) < batch:
                return
            if backwards:
                upto = rows[-1][8] - 1
            else:
                after = rows[-1][8]

    async def head(self) -> Position:
        """The newest position; what is committed here is safe to read."""
        return self.threads.epoch.position(await self.threads.read(tip_of))

    async def tip(self) -> Position:
        """The newest position given out: the same as the head, as orders are given out under the lock."""
        return await self.head()

    async def position_at(self, moment: float) -> Position:
        """The last position recorded before `moment` (seconds since 1970 UTC, log time)."""
        order = await self.threads.read(lambda connection: reading.order_at(connection, int(moment * 1e6)))
        return self.threads.epoch.position(order)

    async def find(self, event_id: str, *, prefix: bool = False) -> Slice:
        """The records with this id, of whatever source; with `prefix` some of those whose id begins so."""
        epoch = self.threads.epoch
        rows = await self.threads.read(lambda connection: reading.with_id(connection, event_id, prefix=prefix))
        return Slice(checked(rows, epoch), START, START, at_head=False, epoch=epoch)

    async def related(self, ids: Sequence[str], after: Position, limit: int = 500) -> Slice:
        """One look past `after` for records whose envelope speaks of one of these ids."""
        threads = self.threads
        return await threads.read(
            lambda connection: reading.related(
                connection, threads.epoch, threads.order(connection, after), mentions(ids), limit
            )
        )

    async def survey(self, after: Position, events: int = 5000) -> Survey:
        """How much of what the next so many events past `after` are."""
        threads = self.threads
        return await threads.read(
            lambda connection: retention.survey(
                connection, threads.epoch, threads.order(connection, after), events, tip_of(connection)
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

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[RecordedTransaction]:
        """A transaction of the caller's own, committed when the block ends and forgotten when it raises.

        Raises:
            Conflict: a statement touched another number of rows than it said; nothing was committed.
        """
        tx = self.recorder()
        yield tx
        if not tx.writes and not tx.drafts and not tx.timers:
            return

        def run(session: Session, careful: bool) -> bool:
            if tx.drafts and self._append(session, tx.drafts, careful=True).duplicate:
                return False  # its events are recorded, so all of it was committed before: a repeat changes nothing
            self.ledger.timers.add(session, tx.timers)
            session.flush()
            session.writes += 1
            run_writes(session.connection.execute, tx.writes)
            return True

        if not await self.threads.write(run, exclusive=True):
            say_passed_over(tx)

    def existing(self, connection: object, *, may_open: bool = True) -> AbstractContextManager[JoinedTransaction]:
        """Events in a transaction of a `sqlite3.Connection` to this file; see `Log.existing`."""
        return existing_transaction(connection, self.threads, self._sidecar, may_open=may_open)

    async def ring(self) -> None:
        """Wake the readers of every process for what was committed on a connection outside tidings."""

        def run(session: Session, careful: bool) -> None:
            session.is_news = True

        await self.threads.write(run)

    def recorder(self) -> RecordedTransaction:
        """The `tx` of an `async def` handler."""
        return RecordedTransaction(self._fetch)

    async def close(self) -> None:
        """Finish what was asked for, and let go of the files."""
        if not self.threads.refuse():
            return
        for loop, descriptor in self._watched.items():
            unwatch(loop, descriptor)
        self._watched.clear()
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._close))  # begun, it is done

    def _append(
        self,
        session: Session,
        drafts: Sequence[Draft],
        stream: str | None = None,
        expect: Expect = ANY,
        *,
        careful: bool,
    ) -> Appended:
        appended = session.append(drafts, stream, expect, careful=careful)
        if appended.duplicate and self.ledger.keeps_lineage:
            lineage.duplicates(session, drafts)
        return appended

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


def _named(error: CommitUnknown, drafts: Sequence[Draft]) -> CommitUnknown:
    """Of a commit that nobody knows of say which events it was about: to repeat it takes their ids."""
    return CommitUnknown(error.detail, [draft.id for draft in drafts])
