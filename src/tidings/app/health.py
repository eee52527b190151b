"""What an application says of itself, for probes and people."""

import msgspec

from tidings.app.running import Running
from tidings.app.sources import Sources, Supervised
from tidings.handling.groups import Groups
from tidings.log.interface import GroupStatus


class GroupHealth(msgspec.Struct, frozen=True):
    """One group, as this process and the ledger see it."""

    name: str
    state: str
    lag: int  # events of any kind between its slowest lane and the head
    lanes: int  # owned by this process
    retry: int
    blocked: int
    dead: int
    trouble: str | None = None
    waiting: int = 0  # events it hears and has yet to come to; at most so many
    seconds: float = 0.0  # age of the oldest of them, by the log's time
    reason: str | None = None  # what keeps it, in this process or another


class SourceHealth(msgspec.Struct, frozen=True):
    """One source of events in this process."""

    name: str
    is_done: bool
    restarts: int
    trouble: str | None = None


class Health(msgspec.Struct, frozen=True):
    """An application: healthy when every group, relay and source it runs gets on."""

    app: str
    healthy: bool
    running: bool
    groups: tuple[GroupHealth, ...] = ()
    troubles: tuple[str, ...] = ()
    sources: tuple[SourceHealth, ...] = ()


def _stuck(status: GroupStatus) -> str | None:
    """A group that waits for an operator is in trouble; one that an operator has paused is not."""
    if status.state != "paused" or not status.blocked:
        return None
    return f"{status.name} is paused, and {status.blocked} events wait behind dead letters: see 'tidings dead list'"


def _source(supervised: Supervised) -> SourceHealth:
    return SourceHealth(supervised.source.name, supervised.is_done, supervised.restarts, supervised.trouble)


async def health_of(app: str, seen: Groups, running: Running | None, supervision: Sources | None = None) -> Health:
    """What the ledger says of every group, and this process of those it runs."""
    groups = []
    for sight in await seen.list():
        status = sight.status
        readers = [each for each in running.readers if each.subscription.name == status.name] if running else []
        groups.append(
            GroupHealth(
                status.name,
                status.state,
                status.lag,
                sum(len(each.settling.lease.lanes) for each in readers if each.settling.lease),
                status.retry,
                status.blocked,
                status.dead,
                next((each.trouble.reason for each in readers if each.trouble.reason), _stuck(status)),
                sight.backlog.events,
                sight.seconds,
                sight.reason,
            )
        )
    inbound = running.inbound.trouble.reason if running and running.inbound else None
    chores = running.housekeeping.trouble.reason if running and running.housekeeping else None
    sources = tuple(map(_source, supervision.supervised)) if supervision else ()
    said = [*(each.trouble for each in groups), inbound, chores, *(each.trouble for each in sources)]
    troubles = tuple(filter(None, said))
    return Health(app, not troubles, running is not None, tuple(groups), troubles, sources)
