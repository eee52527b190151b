"""How groups stand: that they are there, who runs them, and since when nobody does.

Nobody writes down that a group is run: a member lives while its file is locked, and touches it twice a second. What is
kept is when the last member left, or was found dead; for logs closed without a word, also a sign of life an hour.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from tidings.log.balance import whole
from tidings.log.group import Group, GroupStatus, Report
from tidings.log.position import Epoch
from tidings.log.sqlite.members import Members
from tidings.log.sqlite.reading import before_first
from tidings.log.sqlite.schema import create_lanes, tip_of
from tidings.log.sqlite.session import Session

SIGN_EVERY = 3600.0  # seconds
_JOINED_AFTER = 60.0
_KNOWN = "SELECT patterns, orphan_after, last_seen FROM tidings_groups WHERE name = ?"
_NEW = "INSERT INTO tidings_groups(name, patterns, orphan_after, created_at, last_seen) VALUES (?, ?, ?, ?, ?)"
_AGAIN = "UPDATE tidings_groups SET patterns = ?, orphan_after = ?, last_seen = ? WHERE name = ?"
_SEEN = """
UPDATE tidings_groups SET last_seen = max(last_seen, ?)
WHERE name IN (SELECT group_name FROM tidings_members WHERE member = ?)"""
_GROUPS = """
SELECT g.name, g.patterns, g.state, g.why, g.note, g.last_seen, g.orphan_after,
  (SELECT min(position) FROM tidings_lanes WHERE group_name = g.name),
  (SELECT count(*) FROM tidings_parked WHERE group_name = g.name AND state = 'retry'),
  (SELECT count(*) FROM tidings_parked WHERE group_name = g.name AND state = 'blocked'),
  (SELECT count(*) FROM tidings_parked WHERE group_name = g.name AND state = 'dead'),
  (SELECT group_concat(DISTINCT owner) FROM tidings_lanes WHERE group_name = g.name AND owner IS NOT NULL),
  (SELECT json_group_array(report) FROM tidings_members WHERE group_name = g.name AND report != '')
FROM tidings_groups g WHERE g.patterns != '[]' ORDER BY g.name"""


def join(session: Session, group: Group, start: int, now: float) -> None:
    """Record a group that is new, with its start; of one that is known, what has changed and that it is run again."""
    said = (msgspec.json.encode(group.patterns).decode(), group.orphan_after)
    known = session.connection.execute(_KNOWN, (group.name,)).fetchone()
    if known is None:
        session.execute(_NEW, (group.name, *said, now, now))
        create_lanes(session.connection, group.name, start)
        session.control = True
    elif known[:2] != said or now - known[2] > _JOINED_AFTER:
        session.execute(_AGAIN, (*said, now, group.name))


def see(session: Session, members: Sequence[str], seen: float) -> None:
    """The groups of these members were run at that moment."""
    for member in members:
        session.execute(_SEEN, (seen, member))


def statuses(connection: sqlite3.Connection, members: Members, epoch: Epoch, now: float) -> list[GroupStatus]:
    """Every group that reads, as operators see it."""
    tip, first = tip_of(connection), before_first(connection)
    rows = connection.execute(_GROUPS).fetchall()
    owners = {whole(owner) for row in rows for owner in _owners(row)}
    alive = {member for member in owners if members.is_alive(member)}
    return [_status(row, first, tip, epoch, members, alive, now) for row in rows]


def _status(row: Any, first: int, tip: int, epoch: Epoch, members: Members, alive: set[str], now: float) -> GroupStatus:
    name, patterns, state, why, note, seen, orphan_after, position, retry, blocked, dead, _, reports = row
    owners = {whole(owner) for owner in _owners(row)}
    there = sorted(owners & alive)
    signs = [min(members.last_sign(owner) or seen, now) for owner in owners - alive]
    seen = now if there else max([seen, *signs])
    return GroupStatus(
        name,
        tuple(msgspec.json.decode(patterns)),
        "orphaned" if now - seen > orphan_after else state,
        epoch.position(position),
        tip - max(position, first),
        retry,
        blocked,
        dead,
        tuple(there),
        seen,
        why,
        note,
        tuple(msgspec.json.decode(report, type=Report) for report in msgspec.json.decode(reports)),
    )


def _owners(row: Any) -> list[str]:
    owners = row[11]
    return owners.split(",") if owners else []
