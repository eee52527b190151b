"""What an application says of itself, for probes and people."""

import contextlib
from collections.abc import Sequence

import msgspec

from tidings.app.hearing import Hearing
from tidings.app.running import Running
from tidings.app.sources import Sources, Supervised
from tidings.brokers import Broker, Standing
from tidings.errors import TidingsError
from tidings.handling.direct import DirectReader
from tidings.handling.flow.circuit import Circuit
from tidings.handling.flow.circuit_breaker import CircuitBreaker
from tidings.handling.oversight.groups import Groups
from tidings.handling.oversight.sight import Sight
from tidings.handling.reader import Reader
from tidings.log.group import GroupStatus


class BreakerHealth(msgspec.Struct, frozen=True):
    """A circuit breaker in this process: a group's own, or one included in the application."""

    name: str
    state: str  # closed, open, or half-open: one call may try
    until: float | None = None  # when the next call may try, in seconds since 1970 UTC
    trouble: str = ""  # why calls are not made


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
    breaker: BreakerHealth | None = None


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
    breakers: tuple[BreakerHealth, ...] = ()  # those included in it


def _stuck(status: GroupStatus) -> str | None:
    """A group that waits for an operator is in trouble; one that an operator has paused is not."""
    if status.state != "paused" or not status.blocked:
        return None
    return f"{status.name} is paused, and {status.blocked} events wait behind dead letters: see 'tidings dead list'"


def _source(supervised: Supervised) -> SourceHealth:
    return SourceHealth(supervised.source.name, supervised.is_done, supervised.restarts, supervised.trouble)


async def health_of(
    app: str,
    seen: Groups | None,
    running: Running | None,
    hearing: Hearing | None = None,
    broker: Broker | None = None,
    supervision: Sources | None = None,
    included: Sequence[CircuitBreaker] = (),
) -> Health:
    """What the ledger and the broker say of every group, and this process of those it runs."""
    groups = [] if hearing is None or broker is None else await _direct(hearing, broker)
    groups += [_read(sight, running) for sight in ([] if seen is None else await seen.list())]
    inbound = running.inbound.trouble.reason if running and running.inbound else None
    chores = running.housekeeping.reason if running and running.housekeeping else None
    sources = tuple(map(_source, supervision.supervised)) if supervision else ()
    breakers = tuple(_seen(each.circuit) for each in included)
    said = [*(each.trouble for each in groups), inbound, chores, *_silent(running), *_silent(hearing)]
    said += [*(each.trouble for each in sources), *(each.trouble for each in breakers)]
    troubles = tuple(filter(None, said))
    at_work = running is not None or hearing is not None
    return Health(app, not troubles, at_work, tuple(groups), troubles, sources, breakers)


def _read(sight: Sight, running: Running | None) -> GroupHealth:
    """A group that reads the log, and how it is with its readers in this process."""
    status = sight.status
    readers = [each for each in running.readers if each.subscription.name == status.name] if running else []
    breaker = _breaker(readers)
    trouble = next((each.trouble.reason for each in readers if each.trouble.reason), None)
    return GroupHealth(
        status.name,
        status.state,
        status.lag,
        sum(len(each.settling.lease.lanes) for each in readers if each.settling.lease),
        status.retry,
        status.blocked,
        status.dead,
        trouble or (breaker and breaker.trouble) or _stuck(status),
        sight.backlog.events,
        sight.seconds,
        sight.reason,
        breaker,
    )


async def _direct(hearing: Hearing, broker: Broker) -> list[GroupHealth]:
    """Groups that hear the broker, as far as it tells of them."""
    standings: dict[str, Standing] = {}
    if broker.capabilities.lag:
        with contextlib.suppress(TidingsError):  # a carrier that is away is its readers' trouble
            standings = {each.group: each for each in await broker.groups()}
    return [_heard(reader, standings.get(reader.subscription.name)) for reader in hearing.readers]


def _heard(reader: DirectReader, standing: Standing | None) -> GroupHealth:
    lag, dead = (standing.lag or 0, standing.dead or 0) if standing is not None else (0, 0)
    state = "live" if reader.stopped is None else "stopped"
    return GroupHealth(reader.subscription.name, state, lag, 0, 0, 0, dead, reader.trouble.reason, waiting=lag)


def _silent(at_work: Running | Hearing | None) -> list[str]:
    """Consumers that get nothing although there is something to get."""
    return [] if at_work is None or at_work.vigil is None else list(at_work.vigil.silent.values())


def _breaker(readers: Sequence[Reader]) -> BreakerHealth | None:
    """That of a group, which its readers share."""
    circuits = [each.controls.circuit for each in readers if each.controls is not None]
    return next((_seen(each) for each in circuits if each is not None), None)


def _seen(circuit: Circuit) -> BreakerHealth:
    return BreakerHealth(circuit.name, circuit.state, circuit.until, circuit.trouble)
