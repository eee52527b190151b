"""What became of events, written in the transaction that settles them, and read a part of the table at a time."""

from collections.abc import Iterable, Sequence
from itertools import starmap

import msgspec

from tidings.log.group import LANES, GroupLanes, Lease
from tidings.log.lineage import (
    COALESCE,
    EVERYWHERE,
    GROUP_WIDE,
    LONGEST_REASON,
    Fate,
    Outcome,
    Places,
    What,
    heard,
    runs,
)
from tidings.log.parked import Parked
from tidings.log.record import Draft
from tidings.log.relational import parked
from tidings.log.relational.session import Connection, Session
from tidings.log.settlement import Settlement

ALL_LANES = (1 << LANES) - 1
_SPAN = 20_000  # rows of one look: no question may keep the reader's thread for long
_TRIMMED = 1_000  # rows of one transaction
_ADD = """
INSERT INTO tidings_lineage(group_name, what, after, upto, lanes, began, ended, member, attempts, reason)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number"""
_EXTEND = """
UPDATE tidings_lineage SET upto = ?, ended = ?
WHERE number = ? AND group_name = ? AND member = ? AND lanes = ? AND upto = ? AND reason = ? AND attempts = 0
AND what = 'handled' AND began > ?"""
_PLACES = """
SELECT position, sum(1 << lane) FROM tidings_lanes
WHERE group_name = ? AND owner = ? AND fence = ? GROUP BY position"""
_OWNED = """
SELECT l.group_name, l.position, sum(1 << l.lane) FROM tidings_lanes l JOIN tidings_groups g ON g.name = l.group_name
WHERE l.owner = ? AND l.position < ? AND g.patterns != '[]' GROUP BY l.group_name, l.position"""
_GROUPS = "SELECT name, patterns, state FROM tidings_groups WHERE patterns != '[]' ORDER BY name"
_LANES = "SELECT position FROM tidings_lanes WHERE group_name = ? ORDER BY lane"
_WIDE = ",".join(f"'{what}'" for what in GROUP_WIDE)
_FATES = f"""
SELECT number, group_name, what, after, upto, lanes, began, ended, member, attempts, reason FROM tidings_lineage
WHERE number > ? AND number <= ? AND ((upto >= ? AND after < ?) OR what IN ({_WIDE})) ORDER BY number"""
_OLDEST = "SELECT min(number), max(number) FROM tidings_lineage"
_FRESH = "SELECT min(number) FROM tidings_lineage WHERE number < ? AND ended >= ?"
_TRIM = "DELETE FROM tidings_lineage WHERE number < ?"


class Passages:
    """Writes how far groups have come: the last row of a member is made longer, as long as it is young."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[int, int]] = {}  # (group, member) -> fence and row; only ever a guess

    def note(self, session: Session, settlement: Settlement, order: int, places: Sequence[tuple[int, int]]) -> None:
        """The lanes of the settlement's lease move on to `order` from these places, given as (order, lanes)."""
        lease, patterns = settlement.lease, heard(settlement.patterns)
        for after, lanes in places:
            if after >= order or self._extend(session, lease, after, lanes, order, patterns):
                continue
            row = add(session, lease.group, "handled", after, order, lanes, member=lease.member, reason=patterns)
            self._last[lease.group, lease.member] = lease.fence, row

    def _extend(self, session: Session, lease: Lease, after: int, lanes: int, order: int, patterns: str) -> bool:
        fence, row = self._last.get((lease.group, lease.member), (0, 0))
        if fence != lease.fence:  # what another owner or an operator did meanwhile has its place between the two
            return False
        now = session.recorded_at
        known = (row, lease.group, lease.member, lanes, after, patterns)  # the row may have been rolled back since
        return session.execute(_EXTEND, (order, now, *known, now - COALESCE)).rowcount == 1


def places(session: Session, lease: Lease) -> list[tuple[int, int]]:
    """How far the lanes of a lease are, where that is not the same for all: (order, lanes) each."""
    found: list[tuple[int, int]] = session.connection.execute(
        _PLACES, (lease.group, lease.member, lease.fence)
    ).fetchall()
    return found


def add(
    session: Session,
    group: str,
    what: What,
    after: int,
    upto: int,
    lanes: int,
    *,
    member: str = "",
    attempts: int = 0,
    reason: str = "",
) -> int:
    """One row; returns its number."""
    now = session.recorded_at
    row = (group, what, after, upto, lanes, now, now, member, attempts, reason)
    number: int = session.execute(_ADD, row).fetchone()[0]
    return number


def tell(session: Session, group: str, member: str, outcomes: Iterable[Outcome]) -> None:
    """A row for each of these."""
    for one in outcomes:
        lanes = 1 << one.slot % LANES
        attempts, reason = one.attempts, one.reason[:LONGEST_REASON]
        add(session, group, one.what, one.order - 1, one.order, lanes, member=member, attempts=attempts, reason=reason)


def is_kept(connection: Connection) -> bool:
    """Does an application keep its lineage here? Then what operators do belongs to it."""
    return connection.execute("SELECT 1 FROM tidings_lineage LIMIT 1").fetchone() is not None


def lost(session: Session, members: Sequence[str]) -> None:
    """These members are buried with lanes of theirs: they may have called handlers and settled nothing."""
    tip = session.tip
    for member in members:
        for group, position, lanes in session.connection.execute(_OWNED, (member, tip)).fetchall():
            add(session, group, "lost", position, tip, lanes, member=member)


def duplicates(session: Session, drafts: Sequence[Draft]) -> None:
    """Those of the drafts that are recorded came again."""
    for after, upto in runs(session.recorded(drafts)):
        add(session, "", "duplicate", after, upto, ALL_LANES)


def retry(session: Session, group: str, orders: Sequence[int] | None) -> int:
    """Parked events made due by an operator."""
    if is_kept(session.connection):
        known = parked.places(session.connection, group)
        chosen = [order for order in known if known[order][1] != "blocked" and (orders is None or order in orders)]
        tell(session, group, "", [Outcome(order, known[order][0], "retried") for order in sorted(chosen)])
    return parked.retry(session, group, orders)


def discard(session: Session, group: str, orders: Sequence[int] | None, *, followers: bool) -> int:
    """Dead events, and with `followers` what waits behind them, given up by an operator."""
    known = parked.places(session.connection, group) if is_kept(session.connection) else {}
    count = parked.discard(session, group, orders, followers=followers)
    gone = sorted(known.keys() - parked.places(session.connection, group).keys()) if known else []
    tell(session, group, "", [Outcome(order, known[order][0], "dropped") for order in gone])
    return count


def group_wide(session: Session, group: str, what: What, after: int = 0) -> None:
    """An operator moved the group to `after`, or deleted it."""
    if is_kept(session.connection):
        add(session, group, what, after, EVERYWHERE, ALL_LANES)


def standing(connection: Connection, orders: Sequence[int]) -> tuple[list[GroupLanes], list[Parked], int]:
    """Every group that reads, what is parked of these events, and the number of the newest row."""
    newest = connection.execute(_OLDEST).fetchone()[1] or 0
    groups = [
        GroupLanes(name, tuple(msgspec.json.decode(patterns)), state, _lanes(connection, name))
        for name, patterns, state in connection.execute(_GROUPS).fetchall()
    ]
    return groups, parked.concerning(connection, orders), newest


def fates(connection: Connection, places: Places, after: int) -> tuple[list[Fate], int]:
    """Rows past the number `after` that speak of these events, and how far it looked."""
    rows = connection.execute(_FATES, (after, after + _SPAN, *places.span))
    return [fate for fate in starmap(Fate, rows) if places.concerned(fate)], after + _SPAN


def trimmable(connection: Connection, before: int, keep: int) -> int:
    """The number below which a part of the rows can go; 0 when none can."""
    first, last = connection.execute(_OLDEST).fetchone()
    if first is None:
        return 0
    end = min(first + _TRIMMED, last + 1)
    fresh = connection.execute(_FRESH, (end, before)).fetchone()[0]
    below = max(end if fresh is None else fresh, min(last - keep + 1, end))
    return below if below > first else 0


def trim(session: Session, below: int) -> int:
    """Forget all rows with lower numbers."""
    return session.execute(_TRIM, (below,)).rowcount


def _lanes(connection: Connection, group: str) -> tuple[int, ...]:
    return tuple(row[0] for row in connection.execute(_LANES, (group,)))
