"""What one group has set aside: retries, events that wait behind one, dead letters."""

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from tidings.log.group import LANES, Lease
from tidings.log.memory.group import KnownGroup
from tidings.log.parked import Held, Parked


def every(group: KnownGroup) -> list[Parked]:
    """All of it, in the order of the log."""
    return [group.parked[order] for order in sorted(group.parked)]


def in_lanes(group: KnownGroup, lease: Lease) -> list[Parked]:
    """What lies in the lease's lanes, in the order of the log."""
    return [one for one in every(group) if one.slot % LANES in lease.lanes]


def ahead(group: KnownGroup) -> frozenset[int]:
    """What an operator has set aside before the group came to it."""
    return frozenset(order for order, one in group.parked.items() if order > group.lanes[one.slot % LANES].position)


def held(parked: Sequence[Parked], ahead: frozenset[int]) -> Held:
    """How many events of each key are parked, and when the next retry is due."""
    heads: dict[str, Parked] = {}
    counts: dict[str, int] = {}
    blocked = 0
    waits: list[float] = []
    for one in parked:
        if one.key is not None and one.blocks:
            heads.setdefault(one.key, one)
            counts[one.key] = counts.get(one.key, 0) + 1
            blocked += one.state == "blocked"
        elif one.state == "retry":
            waits.append(one.due)
    waits += [0.0 if head.state == "blocked" else head.due for head in heads.values() if head.state != "dead"]
    return Held(counts, min(waits, default=None), blocked, ahead)


def keep(group: KnownGroup, name: str, one: Parked, now: float, change: int) -> None:
    """Set an event aside, or change what is known of one that is."""
    known = group.parked.get(one.order)
    parked_at = now if known is None else known.parked_at
    changed_at = now
    if known is not None and known.state == one.state:
        changed_at, change = known.changed_at, known.change
    group.parked[one.order] = replace(
        one, group=name, parked_at=parked_at, changed_at=changed_at, change=change, record=None
    )


def retry(group: KnownGroup, orders: Sequence[int] | None, now: float, change: int) -> int:
    """Make dead or waiting events due now; their attempts start again."""
    chosen = [one for one in _chosen(group, orders) if one.state != "blocked"]
    for one in chosen:
        group.parked[one.order] = replace(one, state="retry", due=0.0, attempts=0, changed_at=now, change=change)
    return len(chosen)


def discard(group: KnownGroup, orders: Sequence[int] | None, *, followers: bool = False) -> int:
    """Drop dead events, and with `followers` those that wait behind them; how many in all."""
    chosen = [one for one in _chosen(group, orders) if one.state == "dead"]
    if followers:
        chosen += _behind(group, chosen)
    for one in chosen:
        del group.parked[one.order]
    return len(chosen)


def expire(group: KnownGroup, before: float, types: Collection[str]) -> int:
    """Drop dead events of these names set aside before a moment."""
    old = [one for one in every(group) if one.state == "dead" and one.parked_at < before and one.type in types]
    for one in old:
        del group.parked[one.order]
    return len(old)


def _chosen(group: KnownGroup, orders: Sequence[int] | None) -> list[Parked]:
    return [one for one in every(group) if orders is None or one.order in orders]


def _behind(group: KnownGroup, dead: Sequence[Parked]) -> list[Parked]:
    heads: dict[str | None, int] = {one.key: one.order for one in reversed(dead) if one.blocks and one.key is not None}
    return [one for one in every(group) if one.state == "blocked" and one.order > heads.get(one.key, one.order)]
