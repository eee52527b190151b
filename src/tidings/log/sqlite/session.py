"""One write transaction: what the writer's jobs do their work with.

Appends are gathered and written a hundred rows a statement, which is nearly twice as fast as a row a statement.
Orders are given out here, under the writers' lock, so commit order is the order of the log: no reader can skip one.
"""

import logging
import sqlite3
from collections.abc import Sequence
from typing import Any

from tidings.errors import StreamClosed
from tidings.log.expectation import conflict, distinct, holds, recorded_before
from tidings.log.position import Epoch
from tidings.log.record import Adopted, Draft, size_of
from tidings.log.slices import ANY, Appended, Expect

logger = logging.getLogger("tidings")
Statements = tuple[tuple[str, int], ...]  # each with how many parameters it takes, those of most rows first


def _inserts(row: str) -> Statements:
    return tuple(
        (f"INSERT INTO tidings_events VALUES {','.join([row] * rows)}", rows * row.count("?")) for rows in (100, 10, 1)
    )


_INTO_STREAMS = _inserts("(?,?,?,?,?,?,?,?,?,?,?,?,?,?)")
# Of no stream. For each None, and each bool, `sqlite3` looks for an adapter, which takes longer than binding a text.
_ALONE = _inserts("(?,?,?,?,?,?,?,NULL,NULL,?,?,?,?,?)")
# All of a transaction in one statement: SQLite begins, numbers the row one past the newest, and commits.
_AT_ONCE = """
INSERT INTO tidings_events VALUES (NULL, ?, ?, ?, ?, ?, ?, NULL, NULL,
  max(?, coalesce((SELECT recorded_at FROM tidings_events ORDER BY position DESC LIMIT 1), 0)), ?, ?, ?, ?)"""
_TIP = "SELECT position, recorded_at FROM tidings_events ORDER BY position DESC LIMIT 1"
_SET_VERSION = """
INSERT INTO tidings_streams(stream, version) VALUES (?, ?)
ON CONFLICT (stream) DO UPDATE SET version = excluded.version"""
_DELETE = "DELETE FROM tidings_events WHERE position = ?"
_RECORDED = "SELECT position, stream_version, type, data, key FROM tidings_events WHERE id = ? AND source = ?"


class Session:
    """The state of one open write transaction, on the writer's connection or on one of the user's."""

    def __init__(self, connection: sqlite3.Connection, epoch: Epoch, now: int, last_recorded_at: int) -> None:
        self.connection = connection
        self.epoch = epoch
        self.writes = 0  # anything this transaction has changed; a job that changed nothing can fail alone
        self.removed = 0  # events trimmed
        self.size = 0  # bytes written, of events and timers
        self.control = False  # members, lanes, or an operator's wishes are changed
        self.timers = False  # one is due before all others, and soon
        self.is_news = False  # somebody has committed events elsewhere, and asks that the bell be rung for them
        self.first_tip, recorded_at = _tip(connection)
        self.tip = self.first_tip
        self.recorded_at = max(now, recorded_at, last_recorded_at)
        self._alone: list[Any] = []  # the columns of events that are written at the end
        self._in_streams: list[Any] = []
        self._versions: dict[str, int] = {}

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run a statement that changes something, after what was gathered before it."""
        self.flush()
        self.writes += 1
        return self.connection.execute(sql, parameters)

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run a statement of the user's."""
        return self.connection.execute(sql, parameters)

    def append(
        self, drafts: Sequence[Draft], stream: str | None = None, expect: Expect = ANY, *, careful: bool = False
    ) -> Appended:
        """Record `drafts`; see `Log.append`. Only when `careful` does it look for ids that are recorded already."""
        if careful:
            self.flush()
            repeated = self._recorded_before(drafts)
            if repeated is not None:
                return repeated
        first, version = self.tip + 1, None
        if stream is None:
            self._gather(drafts)
        else:
            before = self._advance(stream, expect, drafts)
            if isinstance(before, Appended):
                return before
            self._gather_into(stream, before, drafts)
            version = before + len(drafts)
        last = self.epoch.position(self.tip)
        begins = last if first == self.tip else self.epoch.position(first)
        return Appended(begins, last, version)

    def absorb(self, drafts: Sequence[Draft], *, careful: bool) -> tuple[int, str]:
        """Record those that are not recorded; how many, and the position of the last."""
        if careful:
            self.flush()
            drafts = [draft for draft in distinct(drafts) if not self._is_recorded(draft)]
        self._gather(drafts)
        return len(drafts), self.epoch.position(self.tip)

    def recorded(self, drafts: Sequence[Draft]) -> list[int]:
        """The orders of those that are recorded already."""
        self.flush()
        return [row[0] for row in map(self._row, drafts) if row is not None]

    def adopt(self, given: Sequence[Adopted]) -> int:
        """Record those that are not recorded, each where its stream says; how many."""
        self.flush()
        new = {id(one) for one in distinct([one.draft for one in given]) if not self._is_recorded(one)}
        for one in given:
            if id(one.draft) not in new:
                continue
            if one.stream is None:
                self._gather([one.draft])
                continue
            version = self._version(one.stream)
            if version and one.version != version + 1:
                raise conflict(one.stream, one.version - 1, version)
            self._versions[one.stream] = one.version
            self.connection.execute(_SET_VERSION, (one.stream, one.version))
            self._gather_into(one.stream, one.version - 1, [one.draft])
        return len(new)

    def remove(self, orders: Sequence[int]) -> None:
        """Trim these events."""
        self.flush()
        self.writes += 1
        self.removed += len(orders)
        self.connection.executemany(_DELETE, [(order,) for order in orders])

    def flush(self) -> None:
        """Write what was gathered."""
        if self._alone:
            alone, self._alone = self._alone, []
            self._insert(alone, _ALONE)
        if self._in_streams:
            in_streams, self._in_streams = self._in_streams, []
            self._insert(in_streams, _INTO_STREAMS)

    def _insert(self, gathered: list[Any], statements: Statements) -> None:
        execute, start, end = self.connection.execute, 0, len(gathered)
        for statement, size in statements:
            while end - start >= size:
                execute(statement, gathered[start : start + size] if end > size else gathered)
                start += size

    def _gather(self, drafts: Sequence[Draft]) -> None:
        gathered, order, recorded_at = self._alone, self.tip, self.recorded_at
        for draft in drafts:
            order += 1
            gathered += (
                order,
                draft.id,
                draft.source,
                draft.type,
                draft.version,
                draft.slot,
                draft.key,
                recorded_at,
                1 if draft.public else 0,
                draft.envelope,
                draft.data,
                draft.checksum,
            )
        self.tip = order
        self.writes += len(drafts)
        self.size += size_of(drafts)

    def _gather_into(self, stream: str, version: int, drafts: Sequence[Draft]) -> None:
        for draft in drafts:
            version += 1
            self.tip += 1
            self._in_streams += (
                self.tip,
                draft.id,
                draft.source,
                draft.type,
                draft.version,
                draft.slot,
                draft.key,
                stream,
                version,
                self.recorded_at,
                1 if draft.public else 0,
                draft.envelope,
                draft.data,
                draft.checksum,
            )
        self.writes += len(drafts)
        self.size += size_of(drafts)

    def _advance(self, stream: str, expect: Expect, drafts: Sequence[Draft]) -> int | Appended:
        version = self._version(stream)
        if not holds(expect, version):
            self.flush()
            before = self._recorded_before(drafts)
            if before is not None:
                return before
            raise conflict(stream, expect, version)
        self._versions[stream] = version + len(drafts)
        self.connection.execute(_SET_VERSION, (stream, version + len(drafts)))
        self.writes += 1
        return version

    def _version(self, stream: str) -> int:
        known = self._versions.get(stream)
        if known is not None:
            return known
        row = self.connection.execute(
            "SELECT version, closed FROM tidings_streams WHERE stream = ?", (stream,)
        ).fetchone()
        if row is not None and row[1]:
            raise StreamClosed(stream)
        return row[0] if row else 0

    def _recorded_before(self, drafts: Sequence[Draft]) -> Appended | None:
        """What an append gives whose ids are all recorded; None when none is."""
        before = recorded_before(drafts, [self._row(draft) for draft in drafts])
        if before is None:
            return None
        position = self.epoch.position
        return Appended(position(before.first), position(before.last), before.stream_version, duplicate=True)

    def _is_recorded(self, draft: Draft) -> bool:
        row = self._row(draft)
        if row is not None and (row[2], row[3]) != (draft.type, draft.data):
            logger.warning("kept event=%s type=%s: it is recorded with other content, which stays", draft.id, row[2])
        return row is not None

    def _row(self, draft: Draft) -> Any:
        return self.connection.execute(_RECORDED, (draft.id, draft.source)).fetchone()


def record_at_once(connection: sqlite3.Connection, draft: Draft, now: int) -> int:
    """Commit one event of no stream, outside any transaction; its order.

    Raises:
        sqlite3.Error: it was not recorded, or it is not known whether it was.
    """
    found_by = (draft.id, draft.source, draft.type, draft.version, draft.slot, draft.key)
    public = 1 if draft.public else 0
    done = connection.execute(_AT_ONCE, (*found_by, now, public, draft.envelope, draft.data, draft.checksum))
    return done.lastrowid or 0


def _tip(connection: sqlite3.Connection) -> tuple[int, int]:
    return connection.execute(_TIP).fetchone() or (0, 0)
