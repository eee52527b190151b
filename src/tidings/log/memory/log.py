"""`MemoryLog`: the log as its users hold it. It waits its turn, and then asks the state it shares."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

from tidings.clock import Clock, SystemClock
from tidings.errors import LogClosed, LogError
from tidings.events import Event
from tidings.log.interface import Existing
from tidings.log.memory import reading, retention, verify
from tidings.log.memory.ledger import MemoryLedger
from tidings.log.memory.state import State
from tidings.log.memory.transaction import MemoryTransaction, no_file, no_sql
from tidings.log.position import START, Position
from tidings.log.record import Draft, adopted, draft, mentions, written
from tidings.log.retention import Cut, Disk, Survey, Trimmed
from tidings.log.slices import ALL, ANY, Appended, Expect, Slice, Where
from tidings.log.tailing import tail
from tidings.log.verifying import Examined

_named: dict[str, State] = {}  # the logs open by name; the last to close one forgets it


class MemoryLog:
    """A log that lasts as long as somebody has it open. Make it with `open`."""

    append_blocking = None  # the state belongs to the event loop

    def __init__(self, name: str, state: State, clock: Clock) -> None:
        self.url = f"memory:{name}"
        self.has_sql = False
        self.is_dense = True
        self.bell = state.bell
        self.ledger = MemoryLedger(state, clock, self.ready)
        self.is_closed = False
        self._name = name
        self._state = state
        self._clock = clock

    @classmethod
    async def open(cls, path: str = "", *, clock: Clock | None = None, lease: float = 0.0) -> Self:
        """A new log; or, under a name, the one that others in this process have open under it.

        `lease` is for logs between processes: in memory a member cannot stand still alone.
        """
        state = _named.setdefault(path, State()) if path else State()
        state.users += 1
        return cls(path, state, clock or SystemClock())

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
        await self.ready()
        if not drafts:
            return Appended(START, START)
        return self._append(drafts, stream, expect)

    async def absorb(self, events: Sequence[Event | Draft], *, public: bool = False) -> int:
        """Record those not yet recorded, and say how many were new."""
        drafts = written(events, public=public)
        await self.ready()
        self._note_duplicates(drafts)
        return self._state.absorb(drafts, self._clock.now())

    async def adopt(self, events: Sequence[Event], public: Sequence[bool]) -> int:
        """Record what another log had recorded, as far as it is not; see `Log.adopt`."""
        given = [adopted(event, public=shown) for event, shown in zip(events, public, strict=True)]
        await self.ready()
        return self._state.adopt(given, self._clock.now())

    async def scan(self, after: Position, where: Where = ALL, limit: int = 500) -> Slice:
        """One look past `after`, without waiting."""
        await self.ready()
        return reading.scan(self._state, self._state.order(after), where, limit)

    def tail(self, *, after: Position = START, where: Where = ALL, batch: int = 500) -> AsyncIterator[Slice]:
        """Everything past `after`, in slices, and then whatever comes."""
        return tail(self, after, where, batch)

    async def read(
        self, stream: str, *, after: int = 0, upto: int | None = None, backwards: bool = False, batch: int = 500
    ) -> AsyncIterator[Slice]:
        """One stream's records by version, `after` excluded and `upto` included."""
        await self.ready()
        for found in reading.stream(self._state, stream, after, upto, backwards=backwards, batch=batch):
            yield found

    async def head(self) -> Position:
        """The newest position; all that is recorded here is safe to read."""
        await self.ready()
        return self._state.epoch.position(self._state.tip)

    async def tip(self) -> Position:
        """The newest position given out: the same as the head."""
        return await self.head()

    async def position_at(self, moment: float) -> Position:
        """The last position recorded before `moment` (seconds since 1970 UTC, log time)."""
        await self.ready()
        return self._state.epoch.position(reading.order_at(self._state, int(moment * 1e6)))

    async def find(self, event_id: str, *, prefix: bool = False) -> Slice:
        """The records with this id, of whatever source; with `prefix` some of those whose id begins so."""
        await self.ready()
        return reading.with_id(self._state, event_id, prefix=prefix)

    async def related(self, ids: Sequence[str], after: Position, limit: int = 500) -> Slice:
        """One look past `after` for records whose envelope speaks of one of these ids."""
        await self.ready()
        return reading.related(self._state, self._state.order(after), mentions(ids), limit)

    async def survey(self, after: Position, events: int = 5000) -> Survey:
        """How much of what the next so many events past `after` are."""
        await self.ready()
        return retention.survey(self._state, self._state.order(after), events)

    async def trim(
        self, cuts: Mapping[str, Cut], after: Position = START, *, limit: int = 1000, dry_run: bool = False
    ) -> Trimmed:
        """Remove events of these names past `after`; see `Log.trim`."""
        await self.ready()
        return retention.trim(self._state, cuts, self._state.order(after), limit, self._clock.now(), dry_run=dry_run)

    async def disk(self) -> Disk:
        """Nothing: memory takes no disk."""
        await self.ready()
        return Disk()

    async def shrink(self) -> None:
        """Nothing: what was trimmed has left the memory."""
        await self.ready()

    async def verify(self, backup: Path | None = None) -> AsyncIterator[Examined]:
        """Look at every record; see `Log.verify`."""
        if backup is not None:
            raise no_file()
        await self.ready()
        yield verify.examine(self._state)

    async def backup(self, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Refused: there is no file to copy."""
        raise no_file()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemoryTransaction]:
        """Events recorded in the block are appended together when it ends, and forgotten when it raises."""
        tx = self.recorder()
        yield tx
        await self.ready()
        if tx.drafts and self._append(tx.drafts).duplicate:
            return  # all of it was committed before
        self.ledger.timers.add(tx.timers)

    def existing(self, connection: object, *, may_open: bool = True) -> AbstractContextManager[Existing]:
        """Refused: memory has no transactions of the user's own."""
        raise no_sql()

    async def ring(self) -> None:
        """Wake who waits for news."""
        await self.ready()
        self.bell.ring()

    def recorder(self) -> MemoryTransaction:
        """The `tx` of an `async def` handler."""
        return MemoryTransaction()

    async def close(self) -> None:
        """Let go of the log; its members die with it. Who closes a log last forgets it."""
        if self.is_closed:
            return
        self.is_closed = True
        self.ledger.abandon()
        self._state.users -= 1
        if self._name and not self._state.users:
            del _named[self._name]

    def _append(self, drafts: Sequence[Draft], stream: str | None = None, expect: Expect = ANY) -> Appended:
        appended = self._state.append(drafts, stream, expect, self._clock.now())
        if appended.duplicate:
            self._note_duplicates(drafts)
        return appended

    def _note_duplicates(self, drafts: Sequence[Draft]) -> None:
        if self.ledger.keeps_lineage:
            state = self._state
            state.fates.duplicates(state.by_id, drafts, state.log_time(self._clock.now()))

    async def ready(self) -> None:
        """Let others run, so that a task which appends in a loop starves nobody.

        Raises:
            LogClosed: this log was closed.
        """
        await asyncio.sleep(0)
        if self.is_closed:
            raise LogClosed(self.url)
