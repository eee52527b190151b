"""`Sight`: a group as people want to see it: how far behind, since when, and why."""

import asyncio
from collections.abc import Iterable

import msgspec

from tidings.handling.oversight.reason import Facts, members_alive, reason
from tidings.log.backlog import Backlog, backlog
from tidings.log.group import GroupStatus, Report
from tidings.log.interface import Log
from tidings.log.parked import Parked


class Sight(msgspec.Struct, frozen=True):
    """One group at one moment."""

    status: GroupStatus
    backlog: Backlog
    seconds: float  # age of the oldest event it hears and has yet to come to
    reason: str | None


async def sight_of(log: Log, status: GroupStatus, now: float, reports: Iterable[Report] = ()) -> Sight:
    """Look at one group; `reports` are those of this process, which count in place of what it last wrote down."""
    behind = await _behind(log, status)
    own = {each.member: each for each in reports}
    said = {each.member: each for each in members_alive(status)} | own
    facts = Facts(status, behind, now, await _obstacle(log, status), tuple(said.values()))
    seconds = 0.0 if behind.since is None else max(now - behind.since, 0.0)
    return Sight(status, behind, seconds, reason(facts))


async def _behind(log: Log, status: GroupStatus) -> Backlog:
    try:
        return await backlog(log, status)
    except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # the readers meet the same, and say so; what the ledger knows can be told all the same
        return Backlog(status.lag, is_exact=False)


async def _obstacle(log: Log, status: GroupStatus) -> Parked | None:
    """What the oldest blocked event waits behind; without one, the retry that is due first."""
    if status.blocked:
        for first in await log.ledger.parked(status.name, "blocked", 1):
            dead = await log.ledger.parked(status.name, "dead")
            found = next((one for one in dead if one.blocks and one.key == first.key), None)
            if found is not None:
                return found
    if not status.retry:
        return None
    waiting = await log.ledger.parked(status.name, "retry", 100)
    return min(waiting, key=lambda one: one.due, default=None)
