"""`PostgresLog`: the log as its users hold it. Its threads do the work."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Self

from tidings.clock import Clock, SystemClock
from tidings.concurrency import DedicatedThread
from tidings.errors import CommitUnknown, ConfigurationError, LogError
from tidings.events import Event
from tidings.log.interface import Existing
from tidings.log.position import START, Position
from tidings.log.postgres import reading
from tidings.log.postgres.address import address_of
from tidings.log.postgres.awaiting import gathering
from tidings.log.postgres.connection import Connection
from tidings.log.postgres.driver import psycopg
from tidings.log.postgres.existing import existing_transaction
from tidings.log.postgres.opening import Parts, look_at_parts, moment_of, open_parts
from tidings.log.postgres.session import Placed, Session
from tidings.log.postgres.transaction import fetch_within
from tidings.log.postgres.verify import examine
from tidings.log.reading import checked
from tidings.log.record import Draft, adopted, draft, mentions
from tidings.log.recorded import RecordedTransaction, run_writes, say_passed_over
from tidings.log.relational import lineage, retention
from tidings.log.retention import Cut, Disk, Survey, Trimmed
from tidings.log.slices import ALL, ANY, Appended, Expect, Slice, Where
from tidings.log.tailing import tail
from tidings.log.verifying import Examined

_LONGEST_FETCH = 2.0  # seconds of one `await tx.fetch()`; a read model is read by a connection of one's own
_SIZE = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
WHERE c.relnamespace = ?::regnamespace AND c.relkind = 'r'"""


class PostgresLog:
    """A log in one schema of a Postgres database, for any number of machines. Make it with `open`."""

    def __init__(self, parts: Parts) -> None:
        self.url = parts.address.place
        self.has_sql = True
        self.is_dense = False
        self.bell = parts.bell
        self.ledger = parts.ledger
        self.threads = parts.threads
        self._members = parts.members
        self._clock = parts.clock

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        clock: Clock | None = None,
        schema: str = "tidings",
        lock_timeout: float = 10.0,
        lease: float = 15.0,
    ) -> Self:
        """Open the log in `schema` of the database that `url` names, and make the schema when it is not there.

        For `lock_timeout` seconds a call waits for a server that is away; a member that has not shown itself for
        `lease` seconds, by the server's clock, loses its lanes.

        Raises:
            LogUnreachable, LogReadOnly, NewerSchema: it cannot be used by this process.
            ConfigurationError: the URL is none, or the schema is somebody else's.
            MissingExtra: psycopg is not installed.
        """
        known = clock or SystemClock()
        return await cls._opened(partial(open_parts, address_of(url, schema), known, lock_timeout, lease))

    @classmethod
    async def look(
        cls,
        url: str,
        *,
        clock: Clock | None = None,
        schema: str = "tidings",
        lock_timeout: float = 10.0,
        lease: float = 15.0,
    ) -> Self:
        """Open the log for reading only: nothing is made or changed, and writing is refused.

        Raises:
            ConfigurationError: there is no log.
            LogUnreachable, NewerSchema, LogReadOnly: it cannot be read.
        """
        known = clock or SystemClock()
        return await cls._opened(partial(look_at_parts, address_of(url, schema), known, lock_timeout, lease))

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

        def run(session: Session, careful: bool) -> Any:
            return self._append(session, drafts, stream, expect, careful=careful)

        with _named(drafts):
            appended: Appended = await self.threads.write(run, weight=len(drafts))
        return appended

    def append_blocking(
        self, events: Sequence[Event], *, public: bool = True, timeout: float | None = None
    ) -> Appended:
        """Record `events` from a plain thread."""
        drafts = [draft(event, public=public) for event in events]

        def run(session: Session, careful: bool) -> Any:
            return self._append(session, drafts, careful=careful)

        with _named(drafts):
            appended: Appended = self.threads.write_blocking(run, weight=len(drafts), timeout=timeout)
        return appended

    async def absorb(self, events: Sequence[Event], *, public: bool = False) -> int:
        """Record those not yet recorded, and say how many were new."""
        drafts = [draft(event, public=public) for event in events]
        if not drafts:
            return 0

        def run(session: Session, careful: bool) -> int:
            if careful and self.ledger.keeps_lineage:
                lineage.duplicates(session, drafts)
            return session.absorb(drafts, careful=careful).count

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
        edge = self.threads.edge
        return await self.threads.read(
            lambda connection: reading.scan(connection, edge, edge.order(connection, after), where, limit)
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
        """The newest position that no transaction under way can come before."""
        return self.threads.epoch.position(await self.threads.read(self.threads.edge.look))

    async def tip(self) -> Position:
        """The newest position that is committed; readers may have to wait for it."""
        return self.threads.epoch.position(await self.threads.read(self.threads.edge.tip))

    async def position_at(self, moment: float) -> Position:
        """The last position recorded before `moment` (seconds since 1970 UTC, log time)."""
        edge = self.threads.edge
        order = await self.threads.read(
            lambda connection: reading.order_at(connection, edge.look(connection), int(moment * 1e6))
        )
        return self.threads.epoch.position(order)

    async def find(self, event_id: str, *, prefix: bool = False) -> Slice:
        """The records with this id, of whatever source; with `prefix` some of those whose id begins so."""
        epoch = self.threads.epoch
        rows = await self.threads.read(lambda connection: reading.with_id(connection, event_id, prefix=prefix))
        return Slice(checked(rows, epoch), START, START, at_head=False, epoch=epoch)

    async def related(self, ids: Sequence[str], after: Position, limit: int = 500) -> Slice:
        """One look past `after` for records whose envelope speaks of one of these ids."""
        edge = self.threads.edge
        return await self.threads.read(
            lambda connection: reading.related(connection, edge, edge.order(connection, after), mentions(ids), limit)
        )

    async def survey(self, after: Position, events: int = 5000) -> Survey:
        """How much of what the next so many events past `after` are."""
        edge = self.threads.edge

        def ask(connection: Connection) -> Survey:
            order, head = edge.order(connection, after), edge.look(connection)
            return retention.survey(connection, edge.life.epoch, order, events, head)

        return await self.threads.read(ask)

    async def trim(
        self, cuts: Mapping[str, Cut], after: Position = START, *, limit: int = 1000, dry_run: bool = False
    ) -> Trimmed:
        """Remove events of these names past `after`; see `Log.trim`."""
        edge, now = self.threads.edge, self._clock.now()
        if dry_run:
            return await self.threads.read(
                lambda connection: retention.plan(
                    connection,
                    edge.life.epoch,
                    cuts,
                    edge.order(connection, after),
                    limit,
                    now,
                    edge.look(connection),
                )[1]
            )
        order, head = await self.threads.read(lambda connection: (edge.order(connection, after), edge.look(connection)))

        def run(session: Session, careful: bool) -> Trimmed:
            session.begin(frozen=True)  # what a group passes and sets aside in one moment is seen in one
            return retention.trim(session, edge.life.epoch, cuts, order, limit, now, head)

        trimmed: Trimmed = await self.threads.write(run, weight=limit, exclusive=True)
        return trimmed

    async def disk(self) -> Disk:
        """What its tables and indexes take on the server."""
        schema = self.threads.schema
        size = await self.threads.read(lambda connection: connection.execute(_SIZE, (schema,)).fetchone()[0])
        return Disk(size)

    async def shrink(self) -> None:
        """Refused: it is the server that frees room, and its tools that give it back.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            f"a log in Postgres is shrunk by its own tools: run VACUUM FULL {self.threads.schema}.events in psql, while"
            " nobody writes; trimmed room is used again anyway"
        )

    async def verify(self, backup: Path | None = None) -> AsyncIterator[Examined]:
        """Read everything, in steps, and say what is wrong; see `Log.verify`."""
        if backup is not None:
            raise ConfigurationError(
                "a dump is verified by restoring it: open what pg_restore has made, and verify that"
            )
        thread = DedicatedThread("tidings-verify")
        connection = await thread.call(self.threads.connect)
        try:
            steps = examine(connection, self.threads.edge)
            while (step := await thread.call(lambda: next(steps, None))) is not None:
                yield step
        finally:
            await thread.call(connection.close)
            thread.close(wait=False)

    async def backup(self, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Refused: Postgres has tools of its own for this.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            "a log in Postgres is backed up with the database it is part of: use"
            f" pg_dump --schema={self.threads.schema}, or a base backup; restored from either it begins a new epoch"
        )

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[RecordedTransaction]:
        """Statements and events that commit together when the block ends; an exception forgets them all."""
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
            run_writes(session.run, tx.writes)
            return True

        with _named(tx.drafts):
            is_done = await self.threads.write(run, exclusive=True)
        if not is_done:
            say_passed_over(tx)

    def existing(self, connection: object, *, may_open: bool = True) -> AbstractContextManager[Existing]:
        """Events in a transaction of a `psycopg` connection to this database, sync or async; see `Log.existing`."""
        clock = self._clock
        if isinstance(connection, psycopg.AsyncConnection):
            return gathering(connection, self.threads, lambda: moment_of(clock))
        return existing_transaction(connection, self.threads, lambda: moment_of(clock), may_open=may_open)

    async def ring(self) -> None:
        """Wake the readers of every process for what was committed on a connection outside tidings."""
        await self.threads.ask_watch(self.threads.watch.ring_now)

    def recorder(self) -> RecordedTransaction:
        """The `tx` of an `async def` handler."""
        return RecordedTransaction(self._fetch)

    async def close(self) -> None:
        """Finish what was asked for, and let go of the connections."""
        if not self.threads.refuse():
            return
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._close))  # begun, it is done

    def _append(
        self,
        session: Session,
        drafts: Sequence[Draft],
        stream: str | None = None,
        expect: Expect = ANY,
        *,
        careful: bool,
    ) -> Appended | Placed:
        appended = session.append(drafts, stream, expect, careful=careful)
        if appended.duplicate and self.ledger.keeps_lineage:
            lineage.duplicates(session, drafts)
        return appended

    def _close(self) -> None:
        self.threads.refuse()
        self.threads.close(self._members.leave_all)

    async def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        return await self.threads.read(lambda connection: fetch_within(connection, sql, parameters, _LONGEST_FETCH))


@contextlib.contextmanager
def _named(drafts: Sequence[Draft]) -> Iterator[None]:
    """Of a commit that nobody knows of say which events it was about: to repeat it takes their ids."""
    try:
        yield
    except CommitUnknown as error:
        raise CommitUnknown(error.detail, [draft.id for draft in drafts]) from error
