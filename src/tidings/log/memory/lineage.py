"""What became of events, kept beside the groups in memory: the same rows that a log on disk has."""

from collections.abc import Iterable, Sequence

from tidings.log.group import LANES, GroupLanes, Lease
from tidings.log.interface import Lineage
from tidings.log.lineage import COALESCE, EVERYWHERE, LONGEST_REASON, Fate, Outcome, Places, What, runs
from tidings.log.memory.group import KnownGroup, Lane
from tidings.log.parked import Parked
from tidings.log.record import Draft

ALL_LANES = (1 << LANES) - 1
_TRIMMED = 1_000  # rows at a time


class Fates:
    """The rows of one log, by number."""

    def __init__(self) -> None:
        self.rows: list[Fate] = []
        self._last: dict[tuple[str, str], tuple[int, Fate]] = {}  # (group, member) -> fence and its last passage
        self._number = 0

    def add(
        self,
        group: str,
        what: What,
        after: int,
        upto: int,
        lanes: int,
        now: int,
        *,
        member: str = "",
        attempts: int = 0,
        reason: str = "",
    ) -> Fate:
        """One more row."""
        self._number += 1
        row = Fate(self._number, group, what, after, upto, lanes, now, now, member, attempts, reason)
        self.rows.append(row)
        return row

    def passage(self, lease: Lease, group: KnownGroup, order: int, patterns: str, now: int) -> None:
        """All lanes of a lease move on to `order`; call it before they do."""
        behind: dict[int, int] = {}
        for number in lease.lanes:
            position = group.lanes[number].position
            if position < order:
                behind[position] = behind.get(position, 0) | 1 << number
        for after, lanes in behind.items():
            fence, last = self._last.get((lease.group, lease.member), (0, None))
            young = last is not None and last.began > now - COALESCE
            known = None if last is None else (fence, last.upto, last.lanes, last.reason)
            if last is not None and young and known == (lease.fence, after, lanes, patterns):
                last.upto, last.ended = order, now
                continue
            row = self.add(lease.group, "handled", after, order, lanes, now, member=lease.member, reason=patterns)
            self._last[lease.group, lease.member] = lease.fence, row

    def tell(self, group: str, member: str, outcomes: Iterable[Outcome], now: int) -> None:
        """A row for each of these."""
        for one in outcomes:
            lanes = 1 << one.slot % LANES
            attempts, reason = one.attempts, one.reason[:LONGEST_REASON]
            place = (one.order - 1, one.order, lanes)
            self.add(group, one.what, *place, now, member=member, attempts=attempts, reason=reason)

    def lost(self, name: str, group: KnownGroup, member: str, tip: int, now: int) -> None:
        """A member is buried with lanes of this group: it may have called its handler and settled nothing."""
        owned = [(number, lane) for number, lane in enumerate(group.lanes) if lane.owner == member]
        for position in sorted({lane.position for _, lane in owned if lane.position < tip}):
            self.add(name, "lost", position, tip, _at(owned, position), now, member=member)

    def operated(self, group: str, what: What, chosen: Iterable[Parked], now: int) -> None:
        """An operator's change to parked events, where a lineage is kept."""
        if self.rows:
            ordered = sorted(chosen, key=lambda one: one.order)
            self.tell(group, "", [Outcome(one.order, one.slot, what) for one in ordered], now)

    def group_wide(self, group: str, what: What, after: int, now: int) -> None:
        """An operator moved the group to `after`, or deleted it."""
        if self.rows:
            self.add(group, what, after, EVERYWHERE, ALL_LANES, now)

    def duplicates(self, by_id: dict[tuple[str, str], int], drafts: Sequence[Draft], now: int) -> None:
        """Those of the drafts that are recorded came again."""
        known = [by_id[draft.id, draft.source] for draft in drafts if (draft.id, draft.source) in by_id]
        for after, upto in runs(known):
            self.add("", "duplicate", after, upto, ALL_LANES, now)

    def concerning(self, places: Sequence[tuple[int, int]]) -> list[Fate]:
        """Rows that speak of the events with these orders and slots."""
        known = Places((order, slot % LANES) for order, slot in places)
        return [row for row in self.rows if places and known.concerned(row)]

    def trim(self, before: int, keep: int) -> int:
        """Forget the oldest rows, a thousand at most."""
        oldest = self.rows[:_TRIMMED]
        aged = next((index for index, row in enumerate(oldest) if row.ended >= before), len(oldest))
        count = max(aged, min(len(self.rows) - keep, len(oldest)))
        del self.rows[:count]
        return count


def lineage(groups: dict[str, KnownGroup], fates: Fates, places: Sequence[tuple[int, int]]) -> Lineage:
    """What is known of the events with these orders and slots."""
    orders = {order for order, _ in places}
    parked = [one for group in groups.values() for one in _concerning(group, orders)]
    readers = [
        GroupLanes(name, group.patterns, group.state, tuple(lane.position for lane in group.lanes))
        for name, group in sorted(groups.items())
        if group.patterns
    ]
    return Lineage(readers if places else [], fates.concerning(places), parked)


def _concerning(group: KnownGroup, orders: set[int]) -> list[Parked]:
    found = [group.parked[order] for order in sorted(orders & group.parked.keys())]
    keys = sorted({one.key for one in found if one.state == "blocked" and one.key is not None})
    behind = [[one for one in group.parked.values() if one.key == key and one.blocks] for key in keys]
    heads = [min(each, key=lambda one: one.order) for each in behind if each]
    return found + [head for head in heads if head.order not in orders]


def _at(owned: Sequence[tuple[int, Lane]], position: int) -> int:
    return sum(1 << number for number, lane in owned if lane.position == position)
