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
from tidings.log.record import Adopted, Draft
from tidings.log.slices import ANY, Appended, Expect

logger = logging.getLogger("tidings")
_COLUMNS = 14
_CHUNK = 100
_VALUES = "(" + ",".join("?" * _COLUMNS) + ")"
_INSERT_ONE = f"INSERT INTO tidings_events VALUES {_VALUES}"
_INSERT_TEN = f"INSERT INTO tidings_events VALUES {','.join([_VALUES] * 10)}"
_INSERT_CHUNK = f"INSERT INTO tidings_events VALUES {','.join([_VALUES] * _CHUNK)}"
_TIP = """
SELECT seq, (SELECT recorded_at FROM tidings_events WHERE position = seq)
FROM sqlite_sequence WHERE name = 'tidings_events'"""
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
        self.control = False  # members, lanes, or an operator's wishes are changed
        self.timers = False  # one is due before all others, and soon
        self.is_news = False  # somebody has committed events elsewhere, and asks that the bell be rung for them
        self.first_tip, recorded_at = _tip(connection)
        self.tip = self.first_tip
        self.recorded_at = max(now, recorded_at or 0, last_recorded_at)
        self._gathered: list[Any] = []
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
            before = self._recorded_before(drafts)
            if before is not None:
                return before
        version: int | None = None
        if stream is not None:
            advanced = self._advance(stream, expect, drafts)
            if isinstance(advanced, Appended):
                return advanced
            version = advanced
        first = self.tip + 1
        self._gather(drafts, stream, version)
        last = self.epoch.position(self.tip)
        begins = last if first == self.tip else self.epoch.position(first)
        return Appended(begins, last, None if version is None else version + len(drafts))

    def absorb(self, drafts: Sequence[Draft], *, careful: bool) -> tuple[int, str]:
        """Record those that are not recorded; how many, and the position of the last."""
        if careful:
            self.flush()
            drafts = [draft for draft in distinct(drafts) if not self._is_recorded(draft)]
        self._gather(drafts, None, None)
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
                self._gather([one.draft], None, None)
                continue
            version = self._version(one.stream)
            if version and one.version != version + 1:
                raise conflict(one.stream, one.version - 1, version)
            self._versions[one.stream] = one.version
            self.connection.execute(_SET_VERSION, (one.stream, one.version))
            self._gather([one.draft], one.stream, one.version - 1)
        return len(new)

    def remove(self, orders: Sequence[int]) -> None:
        """Trim these events."""
        self.flush()
        self.writes += 1
        self.removed += len(orders)
        self.connection.executemany(_DELETE, [(order,) for order in orders])

    def flush(self) -> None:
        """Write what was gathered."""
        gathered, self._gathered = self._gathered, []
        execute, start, end = self.connection.execute, 0, len(gathered)
        for statement, rows in ((_INSERT_CHUNK, _CHUNK), (_INSERT_TEN, 10), (_INSERT_ONE, 1)):
            size = rows * _COLUMNS
            while end - start >= size:
                execute(statement, gathered[start : start + size] if end > size else gathered)
                start += size

    def _gather(self, drafts: Sequence[Draft], stream: str | None, version: int | None) -> None:
        gathered, order, recorded_at = self._gathered, self.tip, self.recorded_at
        for draft in drafts:
            order += 1
            if version is not None:
                version += 1
            gathered += (
                order,
                draft.id,
                draft.source,
                draft.type,
                draft.version,
                draft.slot,
                draft.key,
                stream,
                version,
                recorded_at,
                draft.public,
                draft.envelope,
                draft.data,
                draft.checksum,
            )
        self.tip = order
        self.writes += len(drafts)

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


def _tip(connection: sqlite3.Connection) -> tuple[int, int | None]:
    return connection.execute(_TIP).fetchone() or (0, None)
