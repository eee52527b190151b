"""The seam everything durable stands on: `Log` keeps what happened, `Ledger` beside it keeps who has read how far.

Both live in one database, so that a batch is settled in one transaction: how far it is done, what the handler wrote,
the events it returned, what it set aside. A projection, an outbox, a saga and a browser's feed are all one thing here:
a named group with a cursor.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from tidings.events import Event
from tidings.log.bell import Bell
from tidings.log.group import Group, GroupLanes, GroupStatus, Lease, Report
from tidings.log.lineage import Fate
from tidings.log.parked import Held, Parked, ParkedList
from tidings.log.position import START, Position
from tidings.log.record import Draft
from tidings.log.retention import Cut, Disk, Survey, Trimmed
from tidings.log.settlement import Settlement
from tidings.log.slices import ALL, ANY, Appended, Expect, Slice, Where
from tidings.log.timers import Timers
from tidings.log.verifying import Examined


class Transaction(Protocol):
    """A handler's own SQL, in the transaction that settles its event.

    A plain `def` handler runs inside the transaction and reads its own writes. An `async def` handler reads a committed
    snapshot and records what to write; `rows` is then the number of rows that must be touched, or it is a Conflict.
    """

    def execute(self, sql: str, parameters: Sequence[Any] = (), *, rows: int | None = None) -> Any:
        """Run one statement; in an `async def` handler, record it to be run at the commit."""

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> Any:
        """Run, or record, one statement with many sets of parameters."""

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """All rows of a query; in an `async def` handler, `await` them."""


class Existing(Transaction, Protocol):
    """A transaction the user already has, on a connection of their own: each statement and event runs at once."""

    def append(self, drafts: Sequence[Draft]) -> Appended:
        """Record events in it, all or none; see `Log.append`. The user's commit makes them real.

        Raises:
            IdReused, PartialDuplicate: nothing was written, and the transaction goes on.
            LogLocked, DiskFull: nothing was written; roll back, and run the transaction again.
            LogError: the transaction has ended.
        """

    async def finish(self) -> None:
        """Write what had to wait for the block's end, as only `await` can write on the connection; else do nothing.

        Raises:
            IdReused, LogError: as `append` does.
        """


class Lineage(msgspec.Struct):
    """What is known of some events: who has read how far, what became of them, and what of them is parked now.

    `parked` has the heads of their keys too: what a blocked one waits behind.
    """

    groups: list[GroupLanes]
    fates: list[Fate]  # by number
    parked: list[Parked]


class Log(Protocol):
    """An append-only store of events in one total order.

    Appending is atomic and idempotent: ids that are all recorded give the first result again with `duplicate`.
    """

    url: str
    has_sql: bool  # can handlers take `tx`, and write in the settlement's transaction?
    is_dense: bool  # are orders given one after the other, so that their distance is a number of events?
    bell: Bell
    ledger: "Ledger"

    async def append(
        self,
        events: Sequence[Event],
        *,
        stream: str | None = None,
        expect: Expect = ANY,
        tx: Any = None,
        public: bool | None = None,
    ) -> Appended:
        """Record `events`, all or none, and return when they are as safe as the log keeps anything.

        With `stream` they become its next versions, provided it is as `expect` says. Public by default are events
        without a stream. `tx` is an open `transaction()`: they are then recorded when it commits.

        Raises:
            VersionConflict: the stream is not as expected. Checked after the ids.
            PartialDuplicate: some of the ids are recorded, some are not.
            IdReused: an id of that source is recorded with other content.
            DiskFull, LogLocked, LogReadOnly, LogClosed, CommitUnknown: nothing was written (unknown: retry).
        """

    @property
    def append_blocking(self) -> Callable[..., Appended] | None:
        """`append_blocking(events, *, public=True, timeout=None)` for plain threads; None where only a loop can append.

        It raises TimeoutError after so many seconds in vain: it may yet be recorded.
        """

    async def absorb(self, events: Sequence[Event | Draft], *, public: bool = False) -> int:
        """Record those not yet recorded, and say how many were new: the inbox. A draft is recorded as it is."""

    async def adopt(self, events: Sequence[Event], public: Sequence[bool]) -> int:
        """Record what another log had recorded, as far as it is not, all or none; says how many were new.

        An event with a stream takes the version it names: the next one or, in a stream without events, any.

        Raises:
            VersionConflict: a stream does not stand right before the version that its event names.
            InvalidEvent: an event names a stream without a version.
        """

    async def scan(self, after: Position, where: Where = ALL, limit: int = 500) -> Slice:
        """One look past `after`, without waiting.

        Raises:
            LogTruncated: `after` is past the end, or of another log.
            LogDamaged: a record's data is not what was written.
        """

    def tail(self, *, after: Position = START, where: Where = ALL, batch: int = 500) -> AsyncIterator[Slice]:
        """Everything past `after`, in slices, and then whatever comes."""

    def read(
        self, stream: str, *, after: int = 0, upto: int | None = None, backwards: bool = False
    ) -> AsyncIterator[Slice]:
        """One stream's records by version, `after` excluded and `upto` included.

        Where a stream was trimmed, the first record's version tells how much is missing: it is above 1.
        """

    async def head(self) -> Position:
        """The newest position safe to read."""

    async def tip(self) -> Position:
        """The newest position given out."""

    async def position_at(self, moment: float) -> Position:
        """The last position recorded before `moment` (seconds since 1970 UTC, the log's own time) that is kept."""

    async def find(self, event_id: str, *, prefix: bool = False) -> Slice:
        """The records with this id, of whatever source; with `prefix` some of those whose id begins so."""

    async def related(self, ids: Sequence[str], after: Position, limit: int = 500) -> Slice:
        """One look past `after` for records whose envelope speaks of one of these ids: as their own, or as a cause's.

        It may find some more; whoever asks reads the envelopes anyway. How far it looked is `upto`.
        """

    def recorder(self) -> Any:
        """The `tx` of an `async def` handler: its `writes` and `drafts` become part of a settlement."""

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """A transaction of the caller's own: statements and events recorded in it commit together, or not at all."""

    def existing(self, connection: object, *, may_open: bool = True) -> AbstractContextManager[Existing]:
        """A block in a transaction of `connection`, the user's own, on the log's database; used by its own thread.

        It joins the one that is open, and the user commits it, or rolls back, and may `ring` then. Where none is open,
        the block opens one, unless `may_open` is False, commits it at its end, and rolls back when it raises.

        Raises:
            ConfigurationError: it is no connection to this database, cannot keep the log's promises, or has no
                transaction where it must.
            LogLocked, DiskFull, CommitUnknown: nothing was committed (unknown: repeat it with the same ids).
        """

    async def ring(self) -> None:
        """Wake readers for what was committed on a connection of the user's; unasked, they look twice a second."""

    async def survey(self, after: Position, events: int = 5000) -> Survey:
        """How much of what the next so many events past `after` are; the survey begins behind what was trimmed."""

    async def trim(
        self, cuts: Mapping[str, Cut], after: Position = START, *, limit: int = 1000, dry_run: bool = False
    ) -> Trimmed:
        """Remove events of these names past `after`, in one transaction that looks at `limit` of them at most.

        Whatever is asked for, these stay: what a live or paused group hears and is not past; what any group has set
        aside; the newest event of the log, from whose time the log goes on; of a stream, its newest event and whatever
        comes after one that stays. No position is given again, and who reads on from a trimmed one meets what is left.
        Ids are forgotten with their events: from then on a repeated one is new. With `dry_run` it only tells.

        Raises:
            DiskFull, LogLocked, LogReadOnly: nothing was removed.
        """

    async def disk(self) -> Disk:
        """What the log takes on disk now."""

    async def shrink(self) -> None:
        """Give the room that trimming has freed back to the disk; whoever wants to write waits meanwhile.

        Raises:
            DiskFull: there is no room to write the log anew beside itself; nothing has changed.
        """

    def verify(self, backup: Path | None = None) -> AsyncIterator[Examined]:
        """Read everything, in steps, and say what is wrong: of this log, or of a backup of it.

        Raises:
            LogDamaged: it cannot be read at all.
        """

    async def backup(self, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy all that is recorded now to a new file, while others go on writing; `progress` is told how much of it.

        It is called on another thread. Opened as a log, the copy begins a new epoch.

        Raises:
            ConfigurationError: the file exists, or this log cannot be copied.
            DiskFull: there was no room for it; nothing is left there.
        """

    async def close(self) -> None:
        """Finish what was asked for, and let go of the files. Closing twice is harmless."""


class Ledger(Protocol):
    """Who has read how far, and what is to be recorded later, in the log's database.

    With `keeps_lineage` it also notes what became of events, for `lineage` to tell. That is off until somebody sees to
    it that old rows are trimmed.
    """

    timers: Timers
    keeps_lineage: bool
    pulse_every: float  # seconds from one pulse to the next of a member that only waits for the bell

    async def enter(self) -> str:
        """Become a member, under the name returned: one a process and application.

        A group may be claimed by several `part`s of a member, which are alive as long as it is.
        """

    async def leave(self, member: str) -> None:
        """Give back every lane at once and be a member no more."""

    async def pulse(self, member: str) -> None:
        """Show that this member works, and free the lanes of those that died or stood still longer than a lease."""

    async def join(self, group: Group) -> None:
        """Record the group's start, if it is new, before anything else."""

    async def claim(self, group: str, member: str, *, alone: bool = False) -> Lease:
        """Take this member's fair share of the lanes, give back what is too much, and renew.

        Lanes of dead members are free. Where the group's owner is to be `alone`, one member has all lanes and the
        others none, until it leaves or dies. The fence rises whenever the set changes, so that no former owner can
        settle.
        """

    async def release(self, group: str, member: str) -> None:
        """Give all lanes back at once."""

    async def settle(self, settlement: Settlement) -> Appended | None:
        """Commit the whole settlement in one transaction; returns where its events went.

        Raises:
            Fenced: the lease is lost; nothing was committed.
            Conflict: a recorded statement touched another number of rows; nothing was committed.
        """

    async def due(self, lease: Lease, now: float, limit: int = 500) -> list[Parked]:
        """Retries of the lease's lanes that are due, oldest event of each key first, with their records."""

    async def held(self, lease: Lease) -> Held:
        """The keys that wait behind a parked event, in the lease's lanes."""

    async def deferred(self, lease: Lease) -> list[Parked]:
        """Retries of the lease's lanes that hold nobody up, without their records, in the order of the log."""

    async def groups(self) -> list[GroupStatus]:
        """Every group there is that reads: one without patterns only settles who has a duty, and is left out."""

    async def parked(
        self, group: str | None = None, state: str | None = None, limit: int = 1000, *, since: int = 0
    ) -> ParkedList:
        """What is set aside, with records, oldest first; with `since` only what later changes brought there."""

    async def set_aside(self, group: str, position: Position, reason: str) -> None:
        """Make one event a dead letter of a group that has not answered it, so that the group passes over it.

        It holds nobody up. Its data need not be readable: this is how a group gets past a damaged record.

        Raises:
            ConfigurationError: there is no such group, or no event there, or the group has answered it.
            LogTruncated: this log has no such position.
        """

    async def retry(self, group: str, orders: Sequence[int] | None = None) -> int:
        """Make dead (or waiting) events due now, all of the group unless `orders` says which; says how many."""

    async def discard(self, group: str, orders: Sequence[int] | None = None, *, followers: bool = False) -> int:
        """Drop dead events for good; those waiting behind them go on, or with `followers` are dropped with them.

        Says how many were dropped in all.
        """

    async def expire(self, before: float, types: Collection[str]) -> int:
        """Drop dead events of these names set aside before a moment (seconds since 1970); says how many."""

    async def set_state(self, group: str, state: Literal["live", "paused"], why: str = "") -> None:
        """Pause or resume a group, for all its members; `why` is shown to whoever looks."""

    async def reset(self, group: str, to: Position) -> None:
        """Move every lane to `to` and forget what is parked: the group hears from there again."""

    async def forget(self, group: str) -> None:
        """Delete a group with all it has parked."""

    async def report(self, reports: Sequence[Report]) -> None:
        """Have members' words about their work shown with their groups; each stands until the next, or they leave."""

    async def note(self, group: str, before: str, after: str, events: Sequence[Draft] = ()) -> bool:
        """Replace the group's note and record `events`, in one transaction, if the note is still `before`; was it?

        The note is for whoever watches groups: what has been told must be told once, whichever process does it.
        """

    async def lineage(self, places: Sequence[tuple[int, int]]) -> Lineage:
        """What is known of the events with these orders and slots. What was not settled is never said to be handled."""

    async def trim_lineage(self, before: float, keep: int) -> int:
        """Forget what became of events before a moment (seconds since 1970), and all but the newest `keep` rows.

        Does a small part of it and says how many rows that were: 0 when nothing is left to do, at the cost of a look.
        """
