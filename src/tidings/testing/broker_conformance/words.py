"""The words the promises are written in: connections, events made up, and what an inbox shows within a limit.

They are no promises themselves, so the package hands out none of them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import msgspec

from tidings.brokers import Arrival, Broker, Inbox
from tidings.events import Event

Connect = Callable[[], Awaitable[Broker]]
Restart = Callable[[], Awaitable[None]]
LIMIT = 20.0  # seconds for what should take milliseconds, and a second when a member has died


def new_event(number: int, *, type: str = "order:created", **attributes: Any) -> Event:
    """The event `id-<number>`; its data says the number unless `attributes` say otherwise."""
    return Event(id=f"id-{number}", source="shop", type=type, **{"data": {"number": number}, **attributes})


def new_events(first: int, end: int, **attributes: Any) -> list[Event]:
    """One event for each number from `first` to before `end`."""
    return [new_event(number, **attributes) for number in range(first, end)]


def ids_of(events: Iterable[Event]) -> list[str]:
    """The events' ids."""
    return [event.id for event in events]


def arrived_ids(arrivals: Iterable[Arrival]) -> list[str]:
    """The ids of events as an inbox hands them over."""
    return [arrival.event.id for arrival in arrivals]


def content_of(event: Event) -> Any:
    """An event's data, which carriers hand over raw, as plain values."""
    return msgspec.json.decode(event.data) if isinstance(event.data, msgspec.Raw) else event.data


@contextlib.asynccontextmanager
async def within(what: str, seen: Callable[[], object] = tuple) -> AsyncIterator[None]:
    """The block has to end within the limit, or `what` did not come about; `seen` says what did."""
    try:
        async with asyncio.timeout(LIMIT):
            yield
    except TimeoutError:
        raise AssertionError(f"{what} did not come about within {LIMIT:g} s: {seen()}") from None


async def take(inbox: Inbox, ids: Iterable[str], *, settles: bool = True, at_most: int = 500) -> list[Event]:
    """All events received until these ids are among them; more than those, when more came with them."""
    return [each.event for each in await take_arrivals(inbox, ids, settles=settles, at_most=at_most)]


async def take_arrivals(
    inbox: Inbox, ids: Iterable[str], *, settles: bool = False, at_most: int = 500, at_least: int = 0
) -> list[Arrival]:
    """The same as they are handed over; with `at_least`, until so many have come."""
    taken: list[Arrival] = []
    missing = set(ids)
    async with within("the receipt of all events", lambda: f"still missing are {sorted(missing)[:5]}"):
        while missing or len(taken) < at_least:
            arrivals = await inbox.receive(at_most)
            assert arrivals, "receive() has returned no event, and has to wait for one"
            taken += arrivals
            missing -= set(arrived_ids(arrivals))
            if settles:
                await inbox.settle(arrivals)
    return taken


async def take_until_marked(broker: Broker, inbox: Inbox, *, type: str = "order:created") -> list[Event]:
    """What is received before an event that is published now; a carrier without order may hand over more behind it."""
    mark = Event(source="shop", type=type, data="mark")
    await broker.publish([mark])
    return [event for event in await take(inbox, [mark.id]) if event.id != mark.id]
