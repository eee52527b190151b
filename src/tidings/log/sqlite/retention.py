"""Counting and trimming what the file holds.

The rows go, and the pages they leave are taken by the next events: the file stops growing, and does not shrink by
itself. Giving the room back means writing the whole file anew while every writer waits, so it is done when asked for.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tidings.log.position import Epoch
from tidings.log.retention import OVERHEAD, Cut, Disk, Kind, Survey, Tally, Trimmed
from tidings.log.selection import Candidate, Floors, Reading, Selection
from tidings.log.sqlite.schema import tip_of
from tidings.log.sqlite.session import Session
from tidings.log.sqlite.standing import SIGN_EVERY

_SPAN = 20_000  # orders: nobody shall wait long for one look, however little it finds
_BYTES = f"length(data) + length(envelope) + {OVERHEAD}"
_KINDS = f"""
SELECT type, stream IS NOT NULL, count(*), sum({_BYTES}), min(recorded_at) FROM tidings_events
WHERE position > ? AND position <= ? GROUP BY 1, 2"""
_NEXT = "SELECT min(position) FROM tidings_events WHERE position > ?"
_CANDIDATES = f"""
SELECT position, type, {_BYTES}, recorded_at, stream, stream_version FROM tidings_events
WHERE position > ? AND position <= ? AND type IN ({{marks}}) ORDER BY position LIMIT ?"""
_GROUPS = f"""
SELECT g.name, g.patterns, min(l.position),
  iif(count(l.owner) = 0 AND ? - g.last_seen > max(g.orphan_after, {2 * SIGN_EVERY}), 'orphaned', g.state)
FROM tidings_groups g JOIN tidings_lanes l ON l.group_name = g.name GROUP BY g.name"""
_PARKED = """
SELECT p.position, g.name FROM tidings_groups g JOIN tidings_parked p ON p.group_name = g.name
WHERE p.position > ? AND p.position <= ?"""
_STREAM = "SELECT min(stream_version), max(stream_version) FROM tidings_events WHERE stream = ?"
_TRIMMED = "SELECT value FROM tidings_meta WHERE name = 'trimmed'"
_PAGES = ("page_count", "freelist_count", "page_size")
_COUNT_TRIMMED = "INSERT OR REPLACE INTO tidings_meta VALUES ('trimmed', ?)"


def survey(connection: sqlite3.Connection, epoch: Epoch, after: int, orders: int) -> Survey:
    """How much of what there is in the next so many orders."""
    tip = tip_of(connection)
    first = connection.execute(_NEXT, (after,)).fetchone()[0]
    begin = max(after, tip if first is None else first - 1)
    upto = max(min(begin + orders, tip), begin)
    rows = connection.execute(_KINDS, (begin, upto)).fetchall()
    kinds = {
        Kind(type_, bool(in_stream)): Tally(events, size, oldest) for type_, in_stream, events, size, oldest in rows
    }
    return Survey(epoch.position(begin), epoch.position(upto), upto >= tip, kinds, _trimmed(connection))


def plan(
    connection: sqlite3.Connection, epoch: Epoch, cuts: Mapping[str, Cut], after: int, limit: int, now: float
) -> tuple[list[int], Trimmed]:
    """What would go, and what that comes to."""
    last = min(max((cut.upto for cut in cuts.values()), default=0), tip_of(connection) - 1)
    first = connection.execute(_NEXT, (after,)).fetchone()[0]
    upto = max(after, min(last, (after if first is None else first - 1) + _SPAN))
    sql = _CANDIDATES.format(marks=",".join("?" * len(cuts)))
    rows = connection.execute(sql, (after, upto, *cuts, limit)).fetchall()
    if len(rows) == limit:
        upto = rows[-1][0]
    parked = dict(connection.execute(_PARKED, (after, upto)).fetchall()) if rows else {}

    def span(stream: str) -> tuple[int, int]:
        versions: tuple[int, int] = connection.execute(_STREAM, (stream,)).fetchone()
        return versions

    selection = Selection(cuts, _floors(connection, now), parked, span)
    selection.consider(Candidate(*row) for row in rows)
    total = _trimmed(connection) + len(selection.orders)
    return selection.orders, Trimmed(epoch.position(upto), selection.removed, selection.held, total)


def trim(session: Session, cuts: Mapping[str, Cut], after: int, limit: int) -> Trimmed:
    """Remove what may go; see `Log.trim`."""
    session.flush()
    orders, trimmed = plan(session.connection, session.epoch, cuts, after, limit, session.recorded_at / 1e6)
    if orders:
        session.remove(orders)
        session.execute(_COUNT_TRIMMED, (str(trimmed.total),))
    return trimmed


def disk(connection: sqlite3.Connection, path: Path) -> Disk:
    """What the file takes, the free pages in it, and the `-wal` beside it."""
    pages, free, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _PAGES)
    wal = path.with_name(path.name + "-wal")
    return Disk(pages * size, free * size, wal.stat().st_size if wal.exists() else 0)


def _floors(connection: sqlite3.Connection, now: float) -> Floors:
    return Floors(Reading(*_decoded(row)) for row in connection.execute(_GROUPS, (now,)))


def _decoded(row: Any) -> tuple[str, list[str], str, int]:
    name, patterns, order, state = row
    return name, msgspec.json.decode(patterns), state, order


def _trimmed(connection: sqlite3.Connection) -> int:
    row = connection.execute(_TRIMMED).fetchone()
    return int(row[0]) if row else 0
