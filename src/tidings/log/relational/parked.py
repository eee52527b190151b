"""What groups have set aside: retries, events that wait behind one, dead letters.

The order of a key is kept by its *head*, the oldest of its parked events that blocks. A head that is waiting for its
retry, or dead, holds the rest; when it is gone the next becomes the head. Nothing needs to be marked for that.
"""

from collections.abc import Collection, Sequence
from typing import Any

from tidings.log.group import LANES, Lease
from tidings.log.parked import Held, Parked, ParkedList
from tidings.log.position import Position
from tidings.log.record import Record
from tidings.log.refusals import answered, nothing_there
from tidings.log.relational.marks import marks
from tidings.log.relational.session import Connection, Session
from tidings.log.turn import in_turn

_PARKED = (
    "p.position, p.slot, p.key, p.event_id, p.type, p.state, p.attempts,"
    " p.due, p.reason, p.detail, p.parked_at, p.changed_at, p.group_name, p.blocks, p.change"
)
_RECORD = "e.type, e.version, e.data, e.checksum, e.slot, e.recorded_at, e.stream, e.stream_version, e.envelope"
_JOIN = f"""
SELECT {_PARKED}, {_RECORD}
FROM tidings_parked p LEFT JOIN tidings_events e ON e.position = p.position"""
_BARE = f"""
SELECT {_PARKED} FROM tidings_parked p
WHERE p.group_name IN (SELECT name FROM tidings_groups)"""
_HEAD = f"{_BARE} AND p.group_name = ? AND p.key = ? AND p.blocks ORDER BY p.position LIMIT 1"
_NO_RECORD = (None,) * 9
_HEADS = """
SELECT key, position, state, due FROM (
  SELECT key, position, state, due, row_number() OVER (PARTITION BY key ORDER BY position) AS place
  FROM tidings_parked WHERE group_name = ? AND key IS NOT NULL AND blocks {lanes}) AS waiting
WHERE place = 1 ORDER BY position"""
_FREE = """
SELECT min(due) FROM tidings_parked WHERE group_name = ? AND state = 'retry' AND (key IS NULL OR NOT blocks) {lanes}"""
_KEEP = """
INSERT INTO tidings_parked(group_name, position, slot, key, event_id, type, state, attempts, due, reason, detail,
  parked_at, blocks, changed_at, change) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (group_name, position) DO UPDATE SET state = excluded.state, attempts = excluded.attempts,
  due = excluded.due, reason = excluded.reason, detail = excluded.detail, blocks = excluded.blocks,
  changed_at = CASE WHEN tidings_parked.state = excluded.state THEN tidings_parked.changed_at
    ELSE excluded.changed_at END,
  change = CASE WHEN tidings_parked.state = excluded.state THEN tidings_parked.change ELSE excluded.change END"""
_CHANGE = """
INSERT INTO tidings_meta VALUES ('change', '1')
ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(tidings_meta.value AS bigint) + 1 AS TEXT) RETURNING value"""
_LISTED = "WHERE p.change > ?"
_AHEAD = f"""
SELECT p.position FROM tidings_parked p JOIN tidings_lanes l
ON l.group_name = p.group_name AND l.lane = p.slot % {LANES} AND l.position < p.position WHERE p.group_name = ?"""

_FOLLOWERS = """
DELETE FROM tidings_parked AS p WHERE group_name = ? AND state = 'blocked' AND EXISTS (
  SELECT 1 FROM tidings_parked AS head WHERE head.group_name = p.group_name AND head.key = p.key AND head.blocks
  AND head.state = 'dead' AND head.position < p.position {chosen})"""


def due(connection: Connection, lease: Lease, now: float, limit: int) -> list[Parked]:
    """Retries that are due and, behind each that has its turn, the events of its key up to one that must wait."""
    lanes = _in_lanes(lease)
    heads = connection.execute(_HEADS.format(lanes=lanes), (lease.group,)).fetchall()
    keys = [key for key, _, state, when in heads if state == "blocked" or (state == "retry" and when <= now)]
    sql = f"""{_JOIN} WHERE p.group_name = ? AND (
      (p.key IN ({marks(len(keys[:limit]))}) AND p.blocks)
      OR ((p.key IS NULL OR NOT p.blocks) AND p.state = 'retry' AND p.due <= ?))
      {lanes.replace("slot", "p.slot")} ORDER BY p.position LIMIT ?"""
    rows = connection.execute(sql, (lease.group, *keys[:limit], now, limit))
    return in_turn(map(_parked, rows), now)


def held(connection: Connection, lease: Lease) -> Held:
    """How many events of each key are parked, and when the next retry is due."""
    lanes = _in_lanes(lease)
    heads = connection.execute(_HEADS.format(lanes=lanes), (lease.group,)).fetchall()
    counts = f"""
    SELECT key, count(*), count(*) FILTER (WHERE state = 'blocked') FROM tidings_parked
    WHERE group_name = ? AND key IS NOT NULL AND blocks {lanes} GROUP BY key"""
    rows = connection.execute(counts, (lease.group,)).fetchall()
    free = connection.execute(_FREE.format(lanes=lanes), (lease.group,)).fetchone()[0]
    waits = [0.0 if state == "blocked" else when for _, _, state, when in heads if state != "dead"]
    if free is not None:
        waits.append(free)
    ahead = frozenset(order for (order,) in connection.execute(_AHEAD, (lease.group,)))
    counted = {key: count for key, count, _ in rows}
    return Held(counted, min(waits, default=None), sum(row[2] for row in rows), ahead)


def deferred(connection: Connection, lease: Lease) -> list[Parked]:
    """Retries that hold nobody up, without their records."""
    lanes = _in_lanes(lease)
    sql = f"""
    SELECT {_PARKED}, NULL FROM tidings_parked p
    WHERE p.group_name = ? AND p.state = 'retry' AND NOT p.blocks {lanes} ORDER BY p.position"""
    return [_parked(row) for row in connection.execute(sql, (lease.group,))]


def listed(connection: Connection, group: str | None, state: str | None, limit: int, since: int) -> ParkedList:
    """What is set aside, of one group or all, in one state or any."""
    listed: str = _LISTED
    asked: list[Any] = [since]
    for column, wanted in (("group_name", group), ("state", state)):
        if wanted is not None:
            listed += f" AND p.{column} = ?"
            asked.append(wanted)
    sql = f"{_JOIN} {listed} ORDER BY p.position, p.group_name LIMIT ?"
    rows = connection.execute(sql, (*asked, limit)).fetchall()
    if len(rows) < limit:
        return ParkedList(map(_parked, rows))
    sql = f"SELECT count(*), max(p.change) FROM tidings_parked p {listed}"
    count, latest = connection.execute(sql, asked).fetchone()
    return ParkedList(map(_parked, rows), count - limit, latest)


def set_aside(session: Session, group: str, order: int, position: Position, reason: str) -> None:
    """Make an event that the group has not answered a dead letter.

    Raises:
        ConfigurationError: there is none, or it is answered.
    """
    sql = "SELECT slot, key, id, type FROM tidings_events WHERE position = ?"
    found = session.connection.execute(sql, (order,)).fetchone()
    if found is None:
        raise nothing_there(position)
    slot, key, event_id, type_ = found
    sql = "SELECT attempts, detail FROM tidings_parked WHERE group_name = ? AND position = ?"
    known = session.connection.execute(sql, (group, order)).fetchone()
    done = session.connection.execute(
        "SELECT position >= ? FROM tidings_lanes WHERE group_name = ? AND lane = ?", (order, group, slot % LANES)
    ).fetchone()
    if known is None and done[0]:
        raise answered(group, position)
    attempts, detail = known or (0, "")
    one = Parked(order, slot, key, event_id, type_, "dead", attempts, 0.0, reason, detail, blocks=False)
    keep(session, group, [one], session.recorded_at / 1e6)


def concerning(connection: Connection, orders: Sequence[int]) -> list[Parked]:
    """What is set aside of the events with these orders, and the heads of the keys they wait for; without records."""
    sql = f"{_BARE} AND p.position IN ({marks(len(orders))}) ORDER BY p.position"
    found = [_parked((*row, *_NO_RECORD)) for row in connection.execute(sql, orders)]
    heads = {(one.group, one.key) for one in found if one.state == "blocked"}
    rows = [connection.execute(_HEAD, head).fetchone() for head in sorted(heads)]
    known = {(one.group, one.order) for one in found}
    return found + [
        one for one in (_parked((*row, *_NO_RECORD)) for row in rows) if (one.group, one.order) not in known
    ]


def places(connection: Connection, group: str) -> dict[int, tuple[int, str]]:
    """Order -> slot and state of all that a group has set aside."""
    sql = "SELECT position, slot, state FROM tidings_parked WHERE group_name = ?"
    return {order: (slot, state) for order, slot, state in connection.execute(sql, (group,))}


def keep(session: Session, group: str, parked: Sequence[Parked], now: float) -> None:
    """Set events aside, or change what is known of those that are."""
    change = _next_change(session)
    for one in parked:
        session.execute(
            _KEEP,
            (
                group,
                one.order,
                one.slot,
                one.key,
                one.event_id,
                one.type,
                one.state,
                one.attempts,
                one.due,
                one.reason,
                one.detail,
                now,
                one.blocks,
                session.recorded_at / 1e6,
                change,
            ),
        )


def clear(session: Session, group: str, orders: Sequence[int]) -> None:
    """Forget events that are done."""
    for order in orders:
        session.execute("DELETE FROM tidings_parked WHERE group_name = ? AND position = ?", (group, order))


def retry(session: Session, group: str, orders: Sequence[int] | None) -> int:
    """Make dead or waiting events due now; their attempts start again."""
    sql = f"""
    UPDATE tidings_parked SET state = 'retry', due = 0, attempts = 0,
      changed_at = {session.recorded_at / 1e6!r}, change = {_next_change(session)}
    WHERE group_name = ? AND state != 'blocked'"""
    return _each(session, sql, group, orders)


def discard(session: Session, group: str, orders: Sequence[int] | None, *, followers: bool = False) -> int:
    """Drop dead events, and with `followers` those that wait behind them; how many in all."""
    behind = _drop_followers(session, group, orders) if followers else 0
    return behind + _each(session, "DELETE FROM tidings_parked WHERE group_name = ? AND state = 'dead'", group, orders)


def expire(session: Session, before: float, types: Collection[str]) -> int:
    """Drop dead events of these names set aside before a moment."""
    sql = f"""
    SELECT group_name, position FROM tidings_parked
    WHERE state = 'dead' AND parked_at < ? AND type IN ({marks(len(types))})"""
    old = session.connection.execute(sql, (before, *types)).fetchall()
    for group, order in old:
        clear(session, group, [order])
    return len(old)


def _next_change(session: Session) -> int:
    """The number of a change; none is given twice, whatever is dropped."""
    return int(session.execute(_CHANGE).fetchone()[0])


def _drop_followers(session: Session, group: str, orders: Sequence[int] | None) -> int:
    if orders is None:
        return session.execute(_FOLLOWERS.format(chosen=""), (group,)).rowcount
    sql = _FOLLOWERS.format(chosen="AND head.position = ?")
    return sum(session.execute(sql, (group, order)).rowcount for order in orders)


def _each(session: Session, sql: str, group: str, orders: Sequence[int] | None) -> int:
    if orders is None:
        return session.execute(sql, (group,)).rowcount
    return sum(session.execute(f"{sql} AND position = ?", (group, order)).rowcount for order in orders)


def _in_lanes(lease: Lease) -> str:
    if len(lease.lanes) == LANES:
        return ""
    return f"AND slot % {LANES} IN ({','.join(map(str, lease.lanes)) or 'NULL'})"


def _parked(row: Sequence[Any]) -> Parked:
    order, slot, key, event_id, type_, state, attempts, when, reason, detail, at, changed, group, blocks = row[:14]
    change, *recorded = row[14:]
    record = Record(order, *recorded) if recorded[0] is not None else None
    known = (order, slot, key, event_id, type_, state, attempts, when, reason, detail, at, group)
    return Parked(*known, bool(blocks), record, changed, change)
