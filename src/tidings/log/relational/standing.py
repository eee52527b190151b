"""How groups stand: that they are there, who runs them, and since when nobody does.

Nobody writes down that a group is run: a member lives while it holds its lock, and gives a sign now and then. What is
kept is when the last member left, or was found dead; for logs closed without a word, also a sign of life an hour.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from tidings.log.balance import whole
from tidings.log.group import LANES, Group, GroupStatus, Report
from tidings.log.position import Epoch
from tidings.log.relational.session import Connection, Session

_JOINED_AFTER = 60.0
_KNOWN = "SELECT patterns, orphan_after, last_seen FROM tidings_groups WHERE name = ?"
_NEW = "INSERT INTO tidings_groups(name, patterns, orphan_after, created_at, last_seen) VALUES (?, ?, ?, ?, ?)"
_AGAIN = "UPDATE tidings_groups SET patterns = ?, orphan_after = ?, last_seen = ? WHERE name = ?"
_SEEN = """
UPDATE tidings_groups SET last_seen = CASE WHEN last_seen < ? THEN ? ELSE last_seen END
WHERE name IN (SELECT group_name FROM tidings_members WHERE member = ?)"""
_LANES = "INSERT INTO tidings_lanes(group_name, lane, position) VALUES (?, ?, ?)"
_GROUPS = """
SELECT g.name, g.patterns, g.state, g.why, g.note, g.last_seen, g.orphan_after,
  (SELECT min(position) FROM tidings_lanes WHERE group_name = g.name),
  (SELECT count(*) FROM tidings_parked WHERE group_name = g.name AND state = 'retry'),
  (SELECT count(*) FROM tidings_parked WHERE group_name = g.name AND state = 'blocked'),
  (SELECT count(*) FROM tidings_parked WHERE group_name = g.name AND state = 'dead')
FROM tidings_groups g WHERE g.patterns != '[]' ORDER BY g.name"""
_OWNERS = "SELECT DISTINCT group_name, owner FROM tidings_lanes WHERE owner IS NOT NULL"
_REPORTS = "SELECT group_name, report FROM tidings_members WHERE report != '' ORDER BY group_name, member"


class Signs(Protocol):
    """What a log knows of members' lives."""

    def is_alive(self, member: str) -> bool:
        """Does its process run, and get on with its work?"""

    def last_sign(self, member: str) -> float | None:
        """When it last gave a sign, in seconds since 1970 UTC; None when nothing is known of it any more."""


def join(session: Session, group: Group, start: int, now: float) -> None:
    """Record a group that is new, with its start; of one that is known, what has changed and that it is run again."""
    said = (msgspec.json.encode(group.patterns).decode(), group.orphan_after)
    known = session.connection.execute(_KNOWN, (group.name,)).fetchone()
    if known is None:
        session.execute(_NEW, (group.name, *said, now, now))
        session.connection.executemany(_LANES, [(group.name, lane, start) for lane in range(LANES)])
        session.control = True
    elif known[:2] != said or now - known[2] > _JOINED_AFTER:
        session.execute(_AGAIN, (*said, now, group.name))


def see(session: Session, members: Sequence[str], seen: float) -> None:
    """The groups of these members were run at that moment."""
    for member in members:
        session.execute(_SEEN, (seen, seen, member))


def statuses(
    connection: Connection, signs: Signs, epoch: Epoch, now: float, lag: Callable[[int], int]
) -> list[GroupStatus]:
    """Every group that reads, as operators see it; `lag` says how many events lie past an order."""
    rows = connection.execute(_GROUPS).fetchall()
    owners, reports = _by_group(connection, _OWNERS), _by_group(connection, _REPORTS)
    return [_status(row, owners[row[0]], reports[row[0]], epoch, signs, now, lag) for row in rows]


def _status(
    row: Any,
    owners: list[str],
    reports: list[str],
    epoch: Epoch,
    signs: Signs,
    now: float,
    lag: Callable[[int], int],
) -> GroupStatus:
    name, patterns, state, why, note, seen, orphan_after, position, retry, blocked, dead = row
    known = {whole(owner) for owner in owners}
    there = sorted(owner for owner in known if signs.is_alive(owner))
    last = [min(signs.last_sign(owner) or seen, now) for owner in known.difference(there)]
    seen = now if there else max([seen, *last])
    return GroupStatus(
        name,
        tuple(msgspec.json.decode(patterns)),
        "orphaned" if now - seen > orphan_after else state,
        epoch.position(position),
        lag(position),
        retry,
        blocked,
        dead,
        tuple(there),
        seen,
        why,
        note,
        tuple(msgspec.json.decode(report, type=Report) for report in reports),
    )


def _by_group(connection: Connection, sql: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for group, value in connection.execute(sql):
        found[group].append(value)
    return found
