"""Why a group is behind, in one sentence: a pure function from what is known of it.

What the ledger knows comes first, then what the members at work say of themselves, then what was measured.
"""

import msgspec

from tidings.log.backlog import Backlog
from tidings.log.balance import whole
from tidings.log.group import GroupStatus, Report
from tidings.log.parked import Parked

_FRESH = 30.0  # seconds that what a member has measured is believed
_UNITS = ((86_400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


class Facts(msgspec.Struct, frozen=True):
    """What there is to know of a group at one moment."""

    status: GroupStatus
    backlog: Backlog
    now: float
    obstacle: Parked | None = None  # the parked event that others wait behind, else the next to be tried again
    reports: tuple[Report, ...] = ()  # what its members say, those of this process at first hand


def reason(facts: Facts) -> str | None:
    """What keeps a group, and what to do about it where somebody has to; None when nothing does."""
    status = facts.status
    if facts.backlog.damaged is not None:
        where = facts.backlog.damaged
        return f"the record at {where} is damaged: 'tidings dead add {status.name} {where}' passes over it"
    if status.state == "orphaned":
        return f"orphaned: nobody has run it for {span(facts.now - status.last_seen)}, and nothing is kept for it"
    if status.state == "paused":
        return f"paused: {status.why}" if status.why else "paused"
    if not status.members:
        return f"nobody runs it: last seen {span(facts.now - status.last_seen)} ago"
    hindrances = dict.fromkeys(each.hindrance for each in facts.reports if each.hindrance)
    said = [*hindrances, _kept(facts), None if hindrances else _pace(facts)]
    return "; ".join(filter(None, said)) or None


def _kept(facts: Facts) -> str | None:
    """What a parked event holds up."""
    one = facts.obstacle
    if one is None:
        return None
    if one.state == "dead":
        waiting = f", and {facts.status.blocked:,} wait" if facts.status.blocked > 1 else ""
        letter = f"key {one.key} blocked by dead letter {one.event_id} ({one.type})"
        return f"{letter}{waiting}: tidings dead show {one.event_id}"
    error = one.reason.partition(":")[0]
    due = f"next in {span(one.due - facts.now)}" if one.due > facts.now else "due now"
    return f"retrying {one.event_id} ({one.type}): {error}, {due}"


def _pace(facts: Facts) -> str | None:
    """How it gets on with what lies before it."""
    backlog = facts.backlog
    if not backlog.events:
        return None
    fresh = [each for each in facts.reports if facts.now - each.at <= _FRESH]
    handled, arriving = sum(each.handled for each in fresh), sum(each.arriving for each in fresh)
    if facts.reports and not fresh:
        waits = 0.0 if backlog.since is None else facts.now - backlog.since
        return f"no event was answered for {span(_FRESH)}: does its handler hang?" if waits > _FRESH else None
    if not handled:
        return None  # it has only begun
    if handled > arriving:
        return f"catching up: {rate(handled)}, about {span(backlog.events / (handled - arriving))} left"
    seconds = sum(each.seconds * each.handled for each in fresh) / handled
    return f"slow handler: {span(seconds)} an event, {rate(arriving)} in, {rate(handled)} out"


def members_alive(status: GroupStatus) -> tuple[Report, ...]:
    """What is said by members that are still there."""
    return tuple(each for each in status.reports if whole(each.member) in status.members)


def span(seconds: float) -> str:
    """`340 ms`, `20 s`, `3 min`, `2 h`, `8 days`."""
    if seconds < 0.9995:
        return f"{max(seconds, 0.0) * 1000:.0f} ms"
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size * (2 if size > 1 else 1)), _UNITS[-1])
    return f"{seconds / size:.0f} {unit}"


def rate(each_second: float) -> str:
    """`0.3/s`, `12/s`, `45 k/s`."""
    if each_second >= 10_000:
        return f"{each_second / 1000:.0f} k/s"
    return f"{each_second:.0f}/s" if each_second >= 10 else f"{each_second:.2g}/s"
