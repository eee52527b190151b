"""The words the promises are written in: events made up, what a log shows of them, leases, and refusals met.

They are no promises themselves, so the package hands out none of them.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from tidings.events import Event
from tidings.log.group import Group, Lease
from tidings.log.interface import Log
from tidings.log.parked import Parked
from tidings.log.position import START
from tidings.log.record import Draft, draft, restore
from tidings.log.slices import Slice

Reopen = Callable[[], Awaitable[Log]]
Connect = Callable[[], Any]  # a driver's own connection, as the user chose it
LIMIT = 20.0  # seconds for what should take milliseconds
_ROUNDS = 40  # claims until the lanes must have settled
_Error = TypeVar("_Error", bound=Exception)


class Refused(Generic[_Error]):
    """What a `raises` block met."""

    error: _Error


@contextlib.contextmanager
def raises(kind: type[_Error]) -> Iterator[Refused[_Error]]:
    """The block must end with an error of this kind: `pytest.raises`, for those who run the suite without pytest."""
    refused: Refused[_Error] = Refused()
    try:
        yield refused
    except kind as error:
        refused.error = error
    else:
        raise AssertionError(f"{kind.__name__} was expected, and nothing was raised")


def new_event(number: int | str, *, source: str = "shop", type: str = "order:created", **attributes: Any) -> Event:
    """The event `id-<number>`; its data says the number unless `attributes` say otherwise."""
    return Event(id=f"id-{number}", source=source, type=type, **{"data": {"number": number}, **attributes})


def new_events(first: int, end: int) -> list[Event]:
    """One event for each number from `first` to before `end`."""
    return [new_event(number) for number in range(first, end)]


def new_drafts(first: int, end: int) -> list[Draft]:
    """The same, written down as a settlement wants them."""
    return [draft(event, public=True) for event in new_events(first, end)]


def parked_as(record: Any, state: Any, **attributes: Any) -> Parked:
    """`record` set aside in this state."""
    event = restore(record, "")
    return Parked(record.order, record.slot, event.key, event.id, record.type, state, **attributes)


async def append_keyed(log: Log, keys: Sequence[str | None]) -> list[Any]:
    """The records of new events with these keys, in an empty log."""
    await log.append([new_event(number, key=key) for number, key in enumerate(keys)])
    return (await log.scan(START)).records


async def position_of(log: Log, count: int) -> str:
    """The position of the event that is number `count` of the log."""
    return (await log.scan(START, limit=count)).upto


def ids_of(found: Slice) -> list[str]:
    """The ids of what a look has found."""
    return [restore(record, found.position(record)).id for record in found.records]


async def read_ids(log: Log) -> list[str]:
    """The ids of all that is recorded."""
    return ids_of(await log.scan(START, limit=10_000))


async def read_record(log: Log, index: int) -> Any:
    """The record that so many stand before."""
    return (await log.scan(START)).records[index]


async def read_stream(log: Log, name: str, **options: Any) -> list[Any]:
    """A stream's records, as `Log.read` gives them with these options."""
    return [record async for found in log.read(name, **options) for record in found.records]


def versions_of(records: Iterable[Any]) -> list[int]:
    """Where each record stands in its stream."""
    return [record.stream_version for record in records]


def closable(slices: AsyncIterator[Slice]) -> Any:
    """`aclosing` wants to know that it can be closed; every log's tail can."""
    return slices


async def take_lease(log: Log, group: str = "g") -> Lease:
    """All lanes of a group, for a new member."""
    await log.ledger.join(Group(group))
    return await log.ledger.claim(group, await log.ledger.enter())


async def settled_leases(log: Log, group: str, members: Sequence[str]) -> list[Lease]:
    """Claim in turns until nothing changes hands any more."""
    leases: list[Lease] = []
    for _ in range(_ROUNDS):
        before, leases = leases, [await log.ledger.claim(group, member) for member in members]
        if leases == before:
            return leases
    raise AssertionError(f"lanes still change hands after {_ROUNDS} rounds: {leases}")


async def read_cursor(log: Log, group: str = "g") -> str:
    """How far a group's slowest lane is."""
    return next(status.position for status in await log.ledger.groups() if status.name == group)


async def read_due(log: Log, lease: Lease, now: float, limit: int = 500) -> list[int]:
    """What may be handled again, by its number in the log."""
    return await numbers_of(log, await log.ledger.due(lease, now, limit))


async def numbers_of(log: Log, placed: Iterable[Any]) -> list[int]:
    """Which events of the log these are, counted from 1: orders rise, and may leave out any number."""
    known = [record.order for record in (await log.scan(START, limit=10_000)).records]
    return [known.index(one.order) + 1 for one in placed]


def orders_of(records: Sequence[Any], *numbers: int) -> list[int]:
    """The orders of the records with these numbers, counted from 1."""
    return [records[number - 1].order for number in numbers]
