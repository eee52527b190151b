"""One write transaction: what the writer's jobs do their work with.

It begins with the first statement that needs it. Appends are gathered and go as one statement at the end; where there
is nothing else, that statement is the whole transaction, and one round trip is all a commit takes.
"""

import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from tidings.errors import LogError, StreamClosed
from tidings.log.bell import Counters
from tidings.log.expectation import conflict, distinct, holds, recorded_before
from tidings.log.position import START
from tidings.log.postgres.appending import Row, found, inserting, looking
from tidings.log.postgres.columns import numbers, texts
from tidings.log.postgres.connection import Connection
from tidings.log.postgres.language import portable
from tidings.log.postgres.orders import MOMENT, SPACE, Life
from tidings.log.postgres.schema import tip_of
from tidings.log.record import Adopted, Draft
from tidings.log.slices import ANY, Appended, Expect

logger = logging.getLogger("tidings")
_VERSION = "SELECT version, closed FROM tidings_streams WHERE stream = ? FOR UPDATE"
_SET_VERSIONS = """
INSERT INTO tidings_streams(stream, version) VALUES (?, ?)
ON CONFLICT (stream) DO UPDATE SET version = excluded.version"""
_COUNT = """
INSERT INTO tidings_meta AS m VALUES (?, '1')
ON CONFLICT (name) DO UPDATE SET value = (m.value::bigint + 1)::text RETURNING value::bigint"""


_LATER = """
SELECT 1 FROM unnest(?::text[], ?::bigint[]) AS u(stream, version)
JOIN tidings_events e ON e.stream = u.stream AND e.stream_version = u.version WHERE e.position > ? LIMIT 1"""


class Overtaken(Exception):
    """A younger transaction has written to a stream before this one came to it, and would stand behind it in the log.

    Another transaction will do: it is younger still.
    """


class Placed(msgspec.Struct):
    """An append whose place is known once it is written."""

    index: int  # of its first event among those gathered
    count: int
    stream_version: int | None = None
    first: int = 0
    duplicate: bool = False

    def appended(self, life: Life) -> Appended | None:
        """Where it was recorded; None when there was nothing to record."""
        if not self.count:
            return None
        position = life.epoch.position
        return Appended(position(self.first), position(self.first + self.count - 1), self.stream_version)


class Session:
    """The state of one write transaction, on the writer's connection or on one of the user's."""

    def __init__(self, connection: Connection, life: Life, moment: int | None, *, is_begun: bool = False) -> None:
        self.life = life
        self.moment = moment  # a clock of the program's own says so; None: the server's does
        self.writes = 0  # anything this transaction has changed; a job that changed nothing can fail alone
        self.size = 0  # bytes written, of events and timers
        self.control = False  # members, lanes, or an operator's wishes are changed
        self.timers = False  # one is due before all others, and soon
        self.is_news = False  # somebody has committed events elsewhere, and asks that the bell be rung for them
        self.last = 0  # the highest order it has given out
        self.counters = Counters()  # of the changes that this transaction is
        self.is_begun = is_begun
        self._connection = connection
        self._gathered: list[Row] = []
        self._placed: list[Placed] = []
        self._versions: dict[str, int] = {}
        self._advanced: dict[str, int] = {}
        self._recorded_at: int | None = None

    @property
    def connection(self) -> Connection:
        """The connection, in the transaction."""
        self.begin()
        return self._connection

    @property
    def recorded_at(self) -> int:
        """The log's time now, in microseconds since 1970."""
        if self._recorded_at is None:
            self._recorded_at = int(self.connection.execute(f"SELECT {MOMENT}", (self.moment,)).fetchone()[0])
        return self._recorded_at

    def learn(self, moment: int) -> None:
        """The log's time, when something else that was asked has told it too."""
        if self._recorded_at is None:
            self._recorded_at = moment

    @property
    def tip(self) -> int:
        """The highest order that this transaction sees."""
        return tip_of(self.connection)

    def begin(self, *, frozen: bool = False) -> None:
        """Begin, if that has not been done; `frozen`, all its questions are answered as of one moment."""
        if not self.is_begun:
            self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ" if frozen else "BEGIN")
            self.is_begun = True

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Run a statement that changes something, after what was gathered before it."""
        self.flush()
        self.writes += 1
        return self.connection.execute(sql, [_kept(value) if type(value) is str else value for value in parameters])

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Run a statement of the user's, its parameters marked `?` or `%s`."""
        return self.connection.raw.execute(portable(sql, len(parameters)), parameters or None, binary=True)

    def append(
        self, drafts: Sequence[Draft], stream: str | None = None, expect: Expect = ANY, *, careful: bool = False
    ) -> Appended | Placed:
        """Record `drafts`; see `Log.append`. Only when `careful` does it look for ids that are recorded already."""
        if careful:
            self.flush()
            before = self._recorded_before(drafts)
            if before is not None:
                return before
        if stream is None:
            return self._gather([Row(one) for one in drafts])
        version = self._version(stream)
        if not holds(expect, version):
            self.flush()
            before = self._recorded_before(drafts)
            if before is not None:
                return before
            raise conflict(stream, expect, version)
        self._advance(stream, version + len(drafts))
        rows = [Row(one, stream, place) for place, one in enumerate(drafts, start=version + 1)]
        return self._gather(rows, version + len(drafts))

    def absorb(self, drafts: Sequence[Draft], *, careful: bool) -> Placed:
        """Record those that are not recorded."""
        if careful and drafts:
            self.flush()
            drafts = self._new(distinct(drafts))
        return self._gather([Row(one) for one in drafts])

    def recorded(self, drafts: Sequence[Draft]) -> list[int]:
        """The orders of those that are recorded already."""
        self.flush()
        return [row[0] for row in self._rows(drafts) if row is not None]

    def adopt(self, given: Sequence[Adopted]) -> int:
        """Record those that are not recorded, each where its stream says; how many."""
        self.flush()
        new = {id(one) for one in self._new(distinct([one.draft for one in given]))}
        for one in given:
            if id(one.draft) not in new:
                continue
            if one.stream is None:
                self._gather([Row(one.draft)])
                continue
            version = self._version(one.stream)
            if version and one.version != version + 1:
                raise conflict(one.stream, one.version - 1, version)
            self._advance(one.stream, one.version)
            self._gather([Row(one.draft, one.stream, one.version)])
        return len(new)

    def remove(self, orders: Sequence[int]) -> None:
        """Trim these events."""
        self.execute("DELETE FROM tidings_events WHERE position = ANY(?)", (list(orders),))

    def flush(self) -> None:
        """Write what was gathered."""
        if self._advanced:
            # In the order of names, so that two transactions never wait for each other's streams.
            self.connection.executemany(_SET_VERSIONS, sorted(self._advanced.items()))
            self._advanced = {}
        if not self._gathered:
            return
        rows, placed, self._gathered, self._placed = self._gathered, self._placed, [], []
        sql, parameters = inserting(rows, self.life.shift, self.moment)
        first, ending, moment = self._connection.execute(sql, parameters).fetchone()
        if first + len(rows) > ending:
            raise LogError(f"one transaction records {SPACE:,} events at most: commit, and begin another")
        self._check_streams(rows, first)
        for one in placed:
            one.first = first + one.index
        self._recorded_at, self.last = moment, first + len(rows) - 1

    def finish(self) -> None:
        """Write what is left, and count the change if it is one that others must hear of."""
        changed = {"control": self.control, "timers": self.timers}
        if any(changed.values()) and self.writes:
            self.begin()
            self.flush()
            self.counters = Counters(**{name: self._count(name) for name, is_so in changed.items() if is_so})
        self.flush()

    def _count(self, name: str) -> int:
        number: int = self._connection.execute(_COUNT, (name,)).fetchone()[0]
        return number

    def _check_streams(self, rows: Sequence[Row], first: int) -> None:
        """Versions of a stream lie in the log as they rise: what stands right before these is in front of them."""
        before: dict[str, int] = {}
        for row in rows:
            if row.stream is not None and row.version is not None:
                before.setdefault(row.stream, row.version - 1)
        asked = (texts([*before]), numbers([*before.values()]), first)
        if before and self._connection.execute(_LATER, asked).fetchone():
            raise Overtaken

    def _gather(self, rows: Sequence[Row], version: int | None = None) -> Placed:
        placed = Placed(len(self._gathered), len(rows), version)
        if rows:
            self._gathered += rows
            self._placed.append(placed)
            self.writes += len(rows)
        return placed

    def _advance(self, stream: str, version: int) -> None:
        self._versions[stream] = self._advanced[stream] = version
        self.begin()

    def _version(self, stream: str) -> int:
        known = self._versions.get(stream)
        if known is not None:
            return known
        row = self.connection.execute(_VERSION, (stream,)).fetchone()
        if row is not None and row[1]:
            raise StreamClosed(stream)
        return row[0] if row else 0

    def _recorded_before(self, drafts: Sequence[Draft]) -> Appended | None:
        """What an append gives whose ids are all recorded; None when none is."""
        before = recorded_before(drafts, self._rows(drafts))
        if before is None:
            return None
        position = self.life.epoch.position
        return Appended(position(before.first), position(before.last), before.stream_version, duplicate=True)

    def _new(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Those that are not recorded; of others with the same id it is told that they stay out."""
        rows = self._rows(drafts)
        for draft, row in zip(drafts, rows, strict=True):
            if row is not None and (row[2], row[3]) != (draft.type, draft.data):
                logger.warning(
                    "kept event=%s type=%s: it is recorded with other content, which stays", draft.id, row[2]
                )
        return [draft for draft, row in zip(drafts, rows, strict=True) if row is None]

    def _rows(self, drafts: Sequence[Draft]) -> list[Any]:
        sql, parameters = looking(drafts)
        return found(drafts, self.connection.execute(sql, parameters).fetchall())


def _kept(text: str) -> str:
    """What Postgres can keep of a text that a handler's failure left: a NUL is a character to everybody else."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def place(outcome: Any, life: Life) -> Any:
    """What a job gives, once its transaction has committed."""
    if isinstance(outcome, Placed):
        return outcome.appended(life) or Appended(START, START)
    return outcome
