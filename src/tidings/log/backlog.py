"""How far behind a group is, counted in what it hears, and since when: a bounded look at what lies before it.

A position tells how many events of any kind lie between a group and the head, at no cost. What of these the group
hears has to be read. So a few thousand are looked at, which is exact for nearly every group that is at work, and for
the rest the distance is the answer: at most so many.
"""

import msgspec

from tidings.errors import LogDamaged
from tidings.events import PatternSet
from tidings.log.group import GroupStatus
from tidings.log.interface import Log
from tidings.log.position import Position, order_in
from tidings.log.slices import Where

_LOOKS = 3
_BATCH = 1000


class Backlog(msgspec.Struct, frozen=True):
    """The events a group hears and has yet to come to; those it has set aside are not among them."""

    events: int = 0  # exactly so many, or at most
    is_exact: bool = True
    since: float | None = None  # when the oldest of them was recorded, in the log's own time
    damaged: Position | None = None  # a record in its way that nobody can read
    first: int | None = None  # the order of the oldest


async def backlog(log: Log, status: GroupStatus) -> Backlog:
    """What lies before a group's slowest lane."""
    if not status.lag:
        return Backlog()
    try:
        return await _counted(log, status, frozenset())
    except LogDamaged as error:
        aside = {one.position: one.order for one in await log.ledger.parked(status.name, "dead")}
        broken = next((position for position in error.positions if position not in aside), None)
        if broken is not None or not error.positions:
            return Backlog(status.lag, is_exact=False, damaged=broken)
        return await _counted(log, status, frozenset(aside.values()))


async def _counted(log: Log, status: GroupStatus, passing: frozenset[int]) -> Backlog:
    hears = PatternSet(status.patterns)
    literal = all(pattern.literal for pattern in hears.patterns)
    where = Where(frozenset(status.patterns) if literal else None, passing=passing)
    after, events, since, first = status.position, 0, None, None
    for _ in range(_LOOKS):
        found = await log.scan(after, where, _BATCH)
        heard = [record for record in found.records if hears.matches(record.type)]
        events, after = events + len(heard), found.upto
        if heard and first is None:
            since, first = heard[0].recorded_at / 1e6, heard[0].order
        if found.at_head:
            return Backlog(events, True, since, first=first)
    passed = order_in(after) - order_in(status.position) if log.is_dense else events
    unseen = max(status.lag - passed, 0)
    return Backlog(events + unseen, False, since, first=first)
