"""The seam everything durable stands on: `Log` keeps what happened, `Ledger` beside it keeps who has read how far.

Both live in one database, so that a batch is settled in one transaction: how far it is done, what the handler wrote,
the events it returned, what it set aside. A projection, an outbox, a saga and a browser's feed are all one thing here:
a named group with a cursor.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from tidings.events import Event
from tidings.log.bell import Bell
from tidings.log.lineage import Fate, Outcome
from tidings.log.position import START, Epoch, Position
from tidings.log.record import Draft, Record
from tidings.log.retention import Cut, Disk, Survey, Trimmed
from tidings.log.timers import Timer, Timers
from tidings.log.verifying import Examined

LANES = 16
ORPHAN_AFTER = 7 * 86_400.0  # seconds


class Expected(Enum):
    """What an append may expect of its stream, beside an exact version."""

    ANY = "any"
    NONE = "none"
    EXISTS = "exists"


ANY, NONE, EXISTS = Expected.ANY, Expected.NONE, Expected.EXISTS
Expect = Expected | int


class Appended(msgspec.Struct, frozen=True):
    """Where events were recorded. With `duplicate` they had been recorded before, there, and nothing was written.

    Positions are empty when the append is part of a transaction that has yet to commit.
    """

    first: Position
    last: Position
    stream_version: int | None = None
    duplicate: bool = False


class Where(msgspec.Struct, frozen=True):
    """What a reader wants to see: exact `types` and `lanes` (None: all), public events only, whole records or lean."""

    types: frozenset[str] | None = None
    lanes: frozenset[int] | None = None  # a lane holds the slots that leave it as remainder of LANES
    public: bool = False
    lean: bool = False
    passing: frozenset[int] = frozenset()  # orders that are not even looked at, damaged ones among them


ALL = Where()


class Slice(msgspec.Struct):
    """One look at the log: the `records` that fit, and `upto`: how far it looked. Cursors commit `upto`."""

    records: list[Record]
    after: Position
    upto: Position
    at_head: bool
    epoch: Epoch

    def position(self, record: Record) -> Position:
        """The position of one of these records."""
        return self.epoch.position(record.order)


class Group(msgspec.Struct, frozen=True):
    """A named reader: `patterns` say what it hears (none: it reads nothing), `start` where a new one begins.

    When nobody has run it for `orphan_after` seconds it is an orphan: nothing is kept for it any more.
    """

    name: str
    patterns: tuple[str, ...] = ("**",)
    start: Literal["earliest", "latest"] | Position = "earliest"
    orphan_after: float = ORPHAN_AFTER


class Lease(msgspec.Struct):
    """The lanes of a group that one member owns, how far each is done, and the fence that proves it."""

    group: str
    member: str
    fence: int
    lanes: dict[int, int]  # lane -> order up to which it is done
    cursor: Position  # the lowest of them
    epoch: Epoch
    state: Literal["live", "paused"] = "live"
    members: int = 1

    @property
    def uneven(self) -> bool:
        """Are some lanes further than others? Then what they have done must be passed over."""
        return len(set(self.lanes.values())) > 1


class Parked(msgspec.Struct):
    """One event a group has set aside: `retry` (due later), `blocked` (waits behind its key) or `dead`."""

    order: int
    slot: int
    key: str | None
    event_id: str
    type: str
    state: Literal["retry", "blocked", "dead"]
    attempts: int = 0
    due: float = 0.0  # seconds since 1970 UTC
    reason: str = ""
    detail: str = ""  # a traceback, or what was expected
    parked_at: float = 0.0
    group: str = ""
    blocks: bool = True  # a dead letter of a rejected event, or of one without a key, holds nobody up
    record: Record | None = None
    changed_at: float = 0.0  # when it came into this state: a dead letter's death
    position: Position = ""  # told to whoever asks; a settlement need not say it


class ParkedList(list[Parked]):
    """Some parked events, how many `more` there are than were asked for, and when the `latest` of all changed."""

    def __init__(self, found: Iterable[Parked], more: int = 0, latest: float | None = None) -> None:
        super().__init__(found)
        self.more = more
        self.latest = max((one.changed_at for one in self), default=0.0) if latest is None else latest


class Held(msgspec.Struct):
    """What an owner must know of its parked events: how many each key has, and when the first retry is due."""

    keys: dict[str, int]
    next_due: float | None
    blocked: int = 0
    passing: frozenset[int] = frozenset()  # orders ahead that an operator has set aside: they are passed over


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


class Work(Protocol):
    """Handlers that run inside the settlement's transaction, and put their answers into it."""

    def __call__(self, tx: Any, *, careful: bool) -> None:
        """Run them with `tx`; `careful` after a failure: each event in `tx.attempt()`, a savepoint of its own."""


class Settlement(msgspec.Struct):
    """The answers to a batch, committed in one transaction or, when the lease is lost, not at all."""

    lease: Lease
    upto: Position | None = None  # all that came before is answered
    events: list[Draft] = []  # effects; those recorded before are passed over
    timers: list[Timer] = []  # effects that are to be recorded later; those that wait or have fired are passed over
    parked: list[Parked] = []  # new, or changed
    cleared: list[int] = []  # parked events that are done with
    writes: list[tuple[str, Sequence[Any], int | None]] = []  # statements, with the rows each must touch
    work: Work | None = None
    patterns: tuple[str, ...] = ()  # what the reader hears of, for the lineage; empty: what the group hears
    outcomes: list[Outcome] = []  # for the lineage: handled after trouble, or passed over; `parked` speaks for itself

    @property
    def told(self) -> list[Outcome]:
        """What the lineage says of single events."""
        aside = [Outcome(one.order, one.slot, one.state, one.attempts, one.reason) for one in self.parked]
        return [*aside, *self.outcomes]


class Report(msgspec.Struct, frozen=True):
    """What one member last said of its work on a group; every member of a group may say something else."""

    group: str
    member: str
    at: float  # seconds since 1970 UTC
    handled: float = 0.0  # events a second
    arriving: float = 0.0  # events for this group that were recorded, a second
    seconds: float = 0.0  # from one event's call to the next one's, on average
    hindrance: str = ""  # what keeps this process from getting on, in words


class GroupStatus(msgspec.Struct, frozen=True):
    """A group as operators see it: `live`, `paused` by somebody, or `orphaned`, as nobody has run it for long."""

    name: str
    patterns: tuple[str, ...]
    state: str
    position: Position
    lag: int  # events between its slowest lane and the head, whether or not it wants them
    retry: int
    blocked: int
    dead: int
    members: tuple[str, ...]  # those alive that own lanes
    last_seen: float = 0.0  # when somebody last ran it; to about an hour, where that process died with its machine
    why: str = ""  # the reason of a pause
    note: str = ""  # see `Ledger.note`
    reports: tuple[Report, ...] = ()


class GroupLanes(msgspec.Struct, frozen=True):
    """A group that reads, and the order up to which each of its lanes is done."""

    name: str
    patterns: tuple[str, ...]
    state: str
    lanes: tuple[int, ...]


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

    async def absorb(self, events: Sequence[Event], *, public: bool = False) -> int:
        """Record those not yet recorded, and say how many were new: the inbox."""

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

    def existing(self, connection: object) -> AbstractContextManager[Existing]:
        """A block in a transaction of `connection`, the user's own, on the log's database; used by its own thread.

        It joins the one that is open, and the user commits it, or rolls back, and may `ring` then. Where none is open,
        the block opens one, commits it at its end, and rolls back when it raises.

        Raises:
            ConfigurationError: it is no connection to this database, or cannot keep the log's promises.
            LogLocked, DiskFull, CommitUnknown: nothing was committed (unknown: repeat it with the same ids).
        """

    async def ring(self) -> None:
        """Wake readers for what was committed on a connection of the user's; unasked, they look twice a second."""

    async def survey(self, after: Position, orders: int = 5000) -> Survey:
        """How much of what lies in the next so many orders past `after`; the survey begins behind what was trimmed."""

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
        self, group: str | None = None, state: str | None = None, limit: int = 1000, *, since: float = 0.0
    ) -> ParkedList:
        """What is set aside, with records, oldest first; with `since` only what came into its state after that."""

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
