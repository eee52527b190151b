"""How the groups of a log look from outside, to whoever only looks at its tables and changes nothing."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import msgspec

from tidings.log.balance import whole
from tidings.log.relational.session import Connection

_GROUPS = """
SELECT g.name, g.patterns, g.state,
  (SELECT min(position) FROM tidings_lanes WHERE group_name = g.name),
  (SELECT count(*) FROM tidings_parked WHERE group_name = g.name AND state = 'blocked'),
  (SELECT count(*) FROM tidings_parked WHERE group_name = g.name AND state = 'dead'),
  (SELECT count(DISTINCT key) FROM tidings_parked WHERE group_name = g.name AND state = 'blocked'),
  (SELECT min(due) FROM tidings_parked WHERE group_name = g.name AND state = 'retry')
FROM tidings_groups g WHERE g.patterns != '[]' ORDER BY g.name"""
_MEMBERS = "SELECT DISTINCT group_name, member FROM tidings_members"


class GroupSight(msgspec.Struct, frozen=True):
    """A group as the tables have it."""

    name: str
    patterns: tuple[str, ...]
    state: str
    lag: int  # events
    blocked: int
    dead: int
    keys: int  # that have events waiting
    next_retry: float | None  # seconds since 1970 UTC
    members: tuple[str, ...]  # alive
    parts: int  # readers of those members; each takes lanes for itself


def sights(
    connection: Connection, lag: Callable[[int], int], is_alive: Callable[[str], bool]
) -> tuple[GroupSight, ...]:
    """Every group that reads; `lag` counts the events past an order, `is_alive` tells if a member's process runs."""
    readers: dict[str, list[str]] = defaultdict(list)
    for group, member in connection.execute(_MEMBERS).fetchall():
        if is_alive(whole(member)):
            readers[group].append(member)
    return tuple(_sight(row, lag, readers[row[0]]) for row in connection.execute(_GROUPS).fetchall())


def _sight(row: Any, lag: Callable[[int], int], readers: list[str]) -> GroupSight:
    name, patterns, state, position, blocked, dead, keys, due = row
    known, members = tuple(msgspec.json.decode(patterns)), tuple(sorted({whole(each) for each in readers}))
    return GroupSight(name, known, state, lag(position), blocked, dead, keys, due, members, len(readers))
