"""What groups did with one event, made of the ledger's rows.

A passage says "handled", unless a row after it tells of this very event; an operator's reset begins the story anew.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from tidings.events import PatternSet
from tidings.handling.trace.model import Reception, State, Step
from tidings.log import Fate, Lineage, Parked
from tidings.log.group import LANES, GroupLanes
from tidings.log.record import Record, from_microseconds

_ANSWERS = frozenset({"handled", "retry", "blocked", "dead", "passed"})
_STATES: dict[str, State] = {"handled": "handled", "dropped": "dropped", "passed": "passed"}


def receptions(record: Record, lineage: Lineage) -> list[Reception]:
    """What each group did with the event that hears it, or once did."""
    known = {group.name: group for group in lineage.groups}
    fates = [fate for fate in lineage.fates if fate.group and fate.concerns(record.order, record.slot % LANES)]
    found = []
    for name in sorted(known.keys() | {fate.group for fate in fates}):
        group = known.get(name)
        steps = _steps(record, [fate for fate in fates if fate.group == name], group)
        if group is None and steps:
            found.append(Reception(name, "forgotten", steps[-1].at, steps=steps))
        elif group is not None and (steps or hears(group, record)):
            found.append(_reception(record, group, steps, lineage.parked))
    return found


def hears(group: GroupLanes, record: Record) -> bool:
    """Does the group hear such events now?"""
    return _matcher(group.patterns).matches(record.type)


def repeats(record: Record, fates: Sequence[Fate]) -> list[Step]:
    """When the event came again and was dropped."""
    return [
        _step(fate, record) for fate in fates if not fate.group and fate.concerns(record.order, record.slot % LANES)
    ]


def _steps(record: Record, fates: Sequence[Fate], group: GroupLanes | None) -> tuple[Step, ...]:
    """The story of one event in one group; empty when it never was the group's business."""
    steps: list[Step] = []
    passage: int | None = None  # where in `steps` the last one stands, until a row tells of this very event
    for fate in fates:
        if fate.is_passage:
            if not _was_heard(fate, record, group):
                continue
            passage = len(steps)
        elif fate.what in _ANSWERS and passage is not None:
            del steps[passage]
            passage = None
        steps.append(_step(fate, record))
    is_heard = group is not None and hears(group, record)
    return tuple(steps) if is_heard or any(step.what in _ANSWERS for step in steps) else ()


def _was_heard(passage: Fate, record: Record, group: GroupLanes | None) -> bool:
    """A group may have heard other names at that time than it hears now."""
    patterns = passage.patterns or (group.patterns if group is not None else ())
    return _matcher(patterns).matches(record.type)


def _reception(record: Record, group: GroupLanes, steps: tuple[Step, ...], parked: Sequence[Parked]) -> Reception:
    position = group.lanes[record.slot % LANES] if group.lanes else 0
    is_paused = group.state == "paused"
    for one in parked:
        if one.group == group.name and one.order == record.order:
            return _set_aside(one, steps, parked, is_paused=is_paused)
    if position < record.order:
        lag = record.order - position
        return Reception(group.name, "waiting", lag=lag, is_paused=is_paused, steps=steps)
    last = next((step for step in reversed(steps) if step.what != "reset"), None)
    state = _STATES.get(last.what, "unknown") if last is not None else "unknown"
    if last is None or state == "unknown":
        return Reception(group.name, "unknown", is_paused=is_paused, steps=steps)
    return Reception(group.name, state, last.at, last.member, last.calls, last.reason, is_paused=is_paused, steps=steps)


def _set_aside(one: Parked, steps: tuple[Step, ...], parked: Sequence[Parked], *, is_paused: bool) -> Reception:
    heads = [each for each in parked if (each.group, each.key) == (one.group, one.key) and each.order < one.order]
    is_blocked = one.state == "blocked" and heads
    return Reception(
        one.group,
        one.state,
        _moment(one.parked_at),
        steps[-1].member if steps else "",
        one.attempts,
        one.reason,
        due=_moment(one.due) if one.state == "retry" else None,
        behind=min(heads, key=lambda each: each.order).event_id if is_blocked else None,
        is_paused=is_paused,
        steps=steps,
    )


def _step(fate: Fate, record: Record) -> Step:
    if fate.is_passage:  # one may take a second, and no event is handled before it is there
        return Step("handled", from_microseconds(max(fate.began, record.recorded_at)), fate.member, 1)
    return Step(fate.what, from_microseconds(fate.began), fate.member, fate.attempts, fate.reason)


@lru_cache(maxsize=256)
def _matcher(patterns: tuple[str, ...]) -> PatternSet:
    return PatternSet(patterns)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
