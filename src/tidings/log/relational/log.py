"""What the logs in relational databases do alike: recording, reading by stream and id, and transactions.

Each log adds what it alone knows: how it is opened and closed, where it ends, and what lies past a position.
"""

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol, Self

from tidings.errors import CommitUnknown, LogError
from tidings.events import Event
from tidings.log.bell import Bell
from tidings.log.position import START, Position
from tidings.log.reading import checked
from tidings.log.record import Draft, adopted, draft, written
from tidings.log.recorded import RecordedTransaction, run_writes, say_passed_over
from tidings.log.relational import lineage, reading, retention
from tidings.log.relational.ledger import RelationalLedger
from tidings.log.relational.session import Connection, Session, Threads
from tidings.log.retention import Survey
from tidings.log.slices import ALL, ANY, Appended, Expect, Slice, Where
from tidings.log.tailing import tail


class Parts(Protocol):
    """What an open log is made of."""

    @property
    def threads(self) -> Threads:
        """Where questions and jobs are run."""

    @property
    def bell(self) -> Bell:
        """What wakes the readers."""

    @property
    def ledger(self) -> RelationalLedger:
        """Who has read how far."""


class RelationalLog:
    """What the logs in relational databases have in common."""

    def __init__(self, parts: Parts) -> None:
        self.has_sql = True
        self.bell = parts.bell
        self.ledger = parts.ledger
        self.threads = parts.threads

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

        try:
            lone = drafts[0] if len(drafts) == 1 and stream is None else None
            appended: Appended = await self.threads.write(run, weight=len(drafts), lone=lone)
        except CommitUnknown as error:
            raise _named(error, drafts) from error
        return appended

    def append_blocking(
        self, events: Sequence[Event], *, public: bool = True, timeout: float | None = None
    ) -> Appended:
        """Record `events` from a plain thread, which commits them itself when nobody else is writing."""
        drafts = [draft(event, public=public) for event in events]

        def run(session: Session, careful: bool) -> Any:
            return self._append(session, drafts, careful=careful)

        try:
            appended: Appended = self.threads.write_blocking(run, weight=len(drafts), timeout=timeout)
        except CommitUnknown as error:
            raise _named(error, drafts) from error
        return appended

    async def absorb(self, events: Sequence[Event | Draft], *, public: bool = False) -> int:
        """Record those not yet recorded, and say how many were new."""
        drafts = written(events, public=public)
        if not drafts:
            return 0

        def run(session: Session, careful: bool) -> int:
            if careful and self.ledger.keeps_lineage:
                lineage.duplicates(session, drafts)
            return self._absorb(session, drafts, careful=careful)

        new: int = await self.threads.write(run, weight=len(drafts))
        return new

    async def adopt(self, events: Sequence[Event], public: Sequence[bool]) -> int:
        """Record what another log had recorded, as far as it is not; see `Log.adopt`."""
        given = [adopted(event, public=shown) for event, shown in zip(events, public, strict=True)]
        if not given:
            return 0
        new: int = await self.threads.write(lambda session, careful: session.adopt(given), weight=len(given))
        return new

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
            run_writes(session.run, tx.writes)
            return True

        try:
            is_done = await self.threads.write(run, exclusive=True)
        except CommitUnknown as error:
            raise _named(error, tx.drafts) from error
        if not is_done:
            say_passed_over(tx)

    def recorder(self) -> RecordedTransaction:
        """The `tx` of an `async def` handler."""
        return RecordedTransaction(self._fetch)

    @abstractmethod
    async def scan(self, after: Position, where: Where = ALL, limit: int = 500) -> Slice:
        """One look past `after`, without waiting."""

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

    async def find(self, event_id: str, *, prefix: bool = False) -> Slice:
        """The records with this id, of whatever source; with `prefix` some of those whose id begins so."""
        epoch = self.threads.epoch
        rows = await self.threads.read(lambda connection: reading.with_id(connection, event_id, prefix=prefix))
        return Slice(checked(rows, epoch), START, START, at_head=False, epoch=epoch)

    async def head(self) -> Position:
        """The newest position that is safe to read: nothing will be recorded before it any more."""
        return self.threads.epoch.position(await self.threads.read(self._end))

    async def survey(self, after: Position, events: int = 5000) -> Survey:
        """How much of what the next so many events past `after` are."""

        def ask(connection: Connection) -> Survey:
            order, head = self.threads.order(connection, after), self._end(connection)
            return retention.survey(connection, self.threads.epoch, order, events, head)

        return await self.threads.read(ask)

    @abstractmethod
    def _end(self, connection: Any) -> int:
        """The order of the head."""

    @abstractmethod
    def _absorb(self, session: Any, drafts: Sequence[Draft], *, careful: bool) -> int:
        """Record those that are not recorded; how many."""

    @abstractmethod
    async def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        """Rows for `await tx.fetch()`."""

    @abstractmethod
    def _close(self) -> None:
        """Finish what was asked for, and let go of everything; blocks."""

    def _append(
        self,
        session: Session,
        drafts: Sequence[Draft],
        stream: str | None = None,
        expect: Expect = ANY,
        *,
        careful: bool,
    ) -> Any:
        appended = session.append(drafts, stream, expect, careful=careful)
        if appended.duplicate and self.ledger.keeps_lineage:
            lineage.duplicates(session, drafts)
        return appended


def _named(error: CommitUnknown, drafts: Sequence[Draft]) -> CommitUnknown:
    """Of a commit that nobody knows of say which events it was about: to repeat it takes their ids."""
    return CommitUnknown(error.detail, [draft.id for draft in drafts])
