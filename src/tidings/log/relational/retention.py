"""Counting and trimming what the database holds.

The rows go, and the room they leave is taken by the next events: the database stops growing, and does not shrink by
itself. Giving the room back means writing it anew while every writer waits, so it is done when asked for.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from tidings.log.position import Epoch
from tidings.log.relational.marks import marks
from tidings.log.relational.session import Connection, Session
from tidings.log.retention import OVERHEAD, Cut, Kind, Survey, Tally, Trimmed
from tidings.log.selection import Candidate, Floors, Reading, Selection

SIGN_EVERY = 3600.0  # seconds between notes that a group is run, for logs that are closed without a word
_SPAN = 20_000  # events: nobody shall wait long for one look, however little it finds
_BYTES = f"length(data) + length(envelope) + {OVERHEAD}"
_KINDS = f"""
SELECT type, stream IS NOT NULL, count(*), CAST(sum({_BYTES}) AS bigint), min(recorded_at) FROM tidings_events
WHERE position > ? AND position <= ? GROUP BY 1, 2"""
_NEXT = "SELECT min(position) FROM tidings_events WHERE position > ?"
_END = """
SELECT max(position), count(*) FROM (
  SELECT position FROM tidings_events WHERE position > ? AND position <= ? ORDER BY position LIMIT ?) AS span"""
_CANDIDATES = f"""
SELECT position, type, {_BYTES}, recorded_at, stream, stream_version FROM tidings_events
WHERE position > ? AND position <= ? AND type IN ({{marks}}) ORDER BY position LIMIT ?"""
_GROUPS = f"""
SELECT g.name, g.patterns, min(l.position),
  CASE WHEN count(l.owner) = 0 AND ? - g.last_seen > g.orphan_after AND ? - g.last_seen > {2 * SIGN_EVERY}
    THEN 'orphaned' ELSE g.state END
FROM tidings_groups g JOIN tidings_lanes l ON l.group_name = g.name GROUP BY g.name"""
_PARKED = """
SELECT p.position, g.name FROM tidings_groups g JOIN tidings_parked p ON p.group_name = g.name
WHERE p.position > ? AND p.position <= ?"""
_STREAM = "SELECT min(stream_version), max(stream_version) FROM tidings_events WHERE stream = ?"
_TRIMMED = "SELECT value FROM tidings_meta WHERE name = 'trimmed'"
_COUNT_TRIMMED = """
INSERT INTO tidings_meta VALUES ('trimmed', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"""


def survey(connection: Connection, epoch: Epoch, after: int, events: int, head: int) -> Survey:
    """How much of what the next so many events are, up to `head`."""
    first = connection.execute(_NEXT, (after,)).fetchone()[0]
    begin = max(after, head if first is None else min(first - 1, head))
    upto = max(_end(connection, begin, head, events), begin)
    rows = connection.execute(_KINDS, (begin, upto)).fetchall()
    kinds = {
        Kind(type_, bool(in_stream)): Tally(events, size, oldest) for type_, in_stream, events, size, oldest in rows
    }
    return Survey(epoch.position(begin), epoch.position(upto), upto >= head, kinds, _trimmed(connection))


def plan(
    connection: Connection, epoch: Epoch, cuts: Mapping[str, Cut], after: int, limit: int, now: float, head: int
) -> tuple[list[int], Trimmed]:
    """What would go, and what that comes to; the newest event, at `head`, never."""
    last = min(max((cut.upto for cut in cuts.values()), default=0), head - 1)
    upto = max(after, _end(connection, after, last, _SPAN))
    sql = _CANDIDATES.format(marks=marks(len(cuts)))
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


def trim(
    session: Session, epoch: Epoch, cuts: Mapping[str, Cut], after: int, limit: int, now: float, head: int
) -> Trimmed:
    """Remove what may go; see `Log.trim`."""
    session.flush()
    orders, trimmed = plan(session.connection, epoch, cuts, after, limit, now, head)
    if orders:
        session.remove(orders)
        session.execute(_COUNT_TRIMMED, (str(trimmed.total),))
    return trimmed


def _end(connection: Connection, after: int, upto: int, events: int) -> int:
    """Where so many events past `after` end; `upto` where there are fewer."""
    end, count = connection.execute(_END, (after, upto, events)).fetchone()
    return upto if count < events else int(end)


def _floors(connection: Connection, now: float) -> Floors:
    return Floors(Reading(*_decoded(row)) for row in connection.execute(_GROUPS, (now, now)))


def _decoded(row: Any) -> tuple[str, list[str], str, int]:
    name, patterns, order, state = row
    return name, msgspec.json.decode(patterns), state, order


def _trimmed(connection: Connection) -> int:
    row = connection.execute(_TRIMMED).fetchone()
    return int(row[0]) if row else 0
