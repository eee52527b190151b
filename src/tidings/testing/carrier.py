"""The broker of an application under test: one in memory, and what may go wrong on the way to it and from it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Container, Sequence

import msgspec

from tidings.brokers import Arrival, Broker, Capabilities, DeadLetter, Difference, Inbox, Standing, Wanted
from tidings.clock import Clock
from tidings.events import Event
from tidings.testing.activity import Activity
from tidings.testing.calls import Calls
from tidings.testing.faults import Faults, InjectedFault, Kind

HERE = "broker"


class Held:
    """What one group was not handed yet although it came: it follows with the next hand-over, or at its time."""

    def __init__(self) -> None:
        self.arrived: list[Arrival] = []  # from the carrier, and not looked at yet
        self.next: list[Arrival] = []
        self.delayed: list[tuple[float, Arrival]] = []  # with the monotonic time from which it may be handed over
        self.handed: list[Arrival] = []  # handed over, and not settled: held again when the inbox closes
        self._wake = asyncio.Event()

    def ring(self) -> None:
        """Have the receiver look again."""
        self._wake.set()

    def owing(self, now: float) -> int:
        """How many events are to be handed over or settled by now."""
        return len(self.arrived) + len(self.next) + len(self.handed) + sum(due <= now for due, _ in self.delayed)

    def take(self, now: float) -> list[Arrival]:
        """What is to be handed over by now."""
        due = [arrival for moment, arrival in self.delayed if moment <= now]
        self.delayed = [each for each in self.delayed if each[0] > now]
        taken, self.next = [*self.next, *due], []
        return taken

    def settled(self, arrivals: Sequence[Arrival] | None) -> None:
        """These, or all that was handed over, are safe with who received them."""
        safe = {id(each) for each in self.handed if arrivals is None} | {id(each) for each in arrivals or ()}
        self.handed = [each for each in self.handed if id(each) not in safe]

    def back(self) -> None:
        """Hold what was not settled for the next inbox."""
        self.next = [*self.handed, *self.next]
        self.handed = []

    async def rung(self) -> None:
        """Return at the next ring."""
        await self._wake.wait()
        self._wake.clear()


class Carrier:
    """A broker with faults. What it holds back outlives the inbox it was held back from.

    It can do no more for handlers than the carrier that it is `like`.
    """

    def __init__(
        self, broker: Broker, faults: Faults, clock: Clock, activity: Activity, calls: Calls, like: Broker | None
    ) -> None:
        self.url = broker.url if like is None else like.url
        self.capabilities = broker.capabilities if like is None else _as_of(broker.capabilities, like.capabilities)
        self.held: dict[str, Held] = {}
        self.members = Counter[str]()  # of each group, "" being who hears without one
        self._calls = calls
        self._listening: list[Held] = []  # of who has no group; it ends with them
        self._broker = broker
        self._faults = faults
        self._clock = clock
        self._activity = activity

    async def publish(self, events: Sequence[Event]) -> None:
        """Hand events over, or fail before or after."""
        if self._faults.among("fail_before", events, HERE):
            raise InjectedFault("the broker took nothing")
        await self._broker.publish(events)
        self._activity.note()
        if self._faults.among("fail_after", events, HERE):
            raise InjectedFault("the broker took the events, and its answer was lost")

    @contextlib.asynccontextmanager
    async def subscribe(
        self, patterns: Sequence[str], *, group: str | None, start: str = "earliest", prefetch: int = 500
    ) -> AsyncIterator["FaultyInbox"]:
        """Join a group."""
        held, name = Held() if group is None else self.held.setdefault(group, Held()), group or ""
        async with self._broker.subscribe(patterns, group=group, start=start, prefetch=prefetch) as inbox:
            faulty = FaultyInbox(inbox, group, held, self._faults, self._clock, self._activity, self._calls)
            self.members[name] += 1
            self._listening += [held] if group is None else []
            self._activity.note()
            try:
                yield faulty
            finally:
                await faulty.leave()
                self.members[name] -= 1
                self._listening = [each for each in self._listening if each is not held]

    async def groups(self) -> list[Standing]:
        """As the broker says."""
        return await self._broker.groups()

    async def letters(self, group: str | None = None) -> list[DeadLetter]:
        """As the broker says."""
        return await self._broker.letters(group)

    async def resolve(self, letter: DeadLetter, *, again: bool) -> None:
        """As the broker does."""
        await self._broker.resolve(letter, again=again)

    async def forget(self, group: str) -> None:
        """As the broker does."""
        await self._broker.forget(group)

    async def setup(self, wanted: Wanted, *, apply: bool) -> list[Difference]:
        """As the broker does."""
        return await self._broker.setup(wanted, apply=apply)

    async def close(self) -> None:
        """Close the broker."""
        await self._broker.close()

    def ring(self) -> None:
        """Have everybody look again: time has gone by."""
        for held in (*self.held.values(), *self._listening):
            held.ring()

    def owing(self, without: Container[str] = ()) -> int:
        """How many events are to be handed over or settled by now; not counting some groups."""
        there = [held for name, held in self.held.items() if name not in without]
        return sum(held.owing(self._clock.monotonic()) for held in (*there, *self._listening))

    def next_due(self) -> float | None:
        """The monotonic time at which the next delayed event may be handed over."""
        waiting = (*self.held.values(), *self._listening)
        return min((due for held in waiting for due, _ in held.delayed), default=None)


def _as_of(own: Capabilities, like: Capabilities) -> Capabilities:
    """What handlers may count on with the carrier that this one stands for."""
    return msgspec.structs.replace(own, delay=like.delay, dead_letters=like.dead_letters, order=like.order)


class FaultyInbox:
    """A group's events as they arrive when something goes wrong on the way."""

    def __init__(
        self,
        inbox: Inbox,
        group: str | None,
        held: Held,
        faults: Faults,
        clock: Clock,
        activity: Activity,
        calls: Calls,
    ) -> None:
        self._inbox = inbox
        self._group = group
        self._calls = calls
        self._held = held
        self._faults = faults
        self._clock = clock
        self._activity = activity
        self._fetching: asyncio.Task[None] | None = None

    async def receive(self, at_most: int = 500) -> list[Arrival]:
        """The next events, at least one."""
        while True:
            arrivals = self._held.take(self._clock.monotonic()) or self._spoilt(await self._arrived(at_most))
            if arrivals:
                self._held.handed += arrivals
                for each in arrivals:
                    self._calls.came(each.event, each.ticket.order)
                return arrivals

    async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
        """These are safe; to the carrier all that came is, as it is held here."""
        settled = self._held.handed if arrivals is None else arrivals
        self._calls.safe(self._group, {each.ticket.order for each in settled})
        self._held.settled(arrivals)
        self._activity.note()

    async def retry(self, arrival: Arrival, seconds: float) -> None:
        """Have it handed over again."""
        await self._inbox.retry(arrival, seconds)
        self._held.settled([arrival])
        self._activity.note()

    async def reject(self, arrival: Arrival, reason: str, detail: str = "") -> None:
        """Give it up."""
        await self._inbox.reject(arrival, reason, detail)
        self._held.settled([arrival])
        self._activity.note()

    async def leave(self) -> None:
        """Receive no more."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
            if not self._fetching.cancelled():
                self._fetching.exception()  # whoever comes next meets the trouble anew
        self._held.back()

    async def _arrived(self, at_most: int) -> list[Arrival]:
        """What has arrived; nothing when there is something held to be looked at instead."""
        if not self._held.arrived:
            await self._news(at_most)
        arrived, self._held.arrived = self._held.arrived, []
        return arrived

    async def _news(self, at_most: int) -> None:
        """Return when something has arrived, or the test has rung."""
        fetching = self._fetching = self._fetching or asyncio.create_task(self._fetch(at_most))
        rung = asyncio.create_task(self._held.rung())
        try:
            await asyncio.wait([fetching, rung], return_when=asyncio.FIRST_COMPLETED)
        finally:
            rung.cancel()
        if fetching.done():
            self._fetching = None
            fetching.result()

    async def _fetch(self, at_most: int) -> None:
        arrivals = await self._inbox.receive(at_most)
        self._held.arrived += arrivals  # not in one line: the list may be another one after the await
        await self._inbox.settle(arrivals)

    def _spoilt(self, arrivals: list[Arrival]) -> list[Arrival]:
        """What is handed over of these now."""
        held = self._held
        held.next += self._among("duplicate", arrivals)
        lost = self._among("drop", arrivals)
        held.next += lost
        there = [each for each in arrivals if each not in lost]
        late = self._among("delay", there)
        held.delayed += [(self._clock.monotonic() + self._faults.delay_by, each) for each in late]
        left = {id(each.event): each for each in there if each not in late}
        return [left[id(event)] for event in self._faults.shuffled([each.event for each in left.values()], HERE)]

    def _among(self, kind: Kind, arrivals: list[Arrival]) -> list[Arrival]:
        struck = {id(event) for event in self._faults.among(kind, [each.event for each in arrivals], HERE)}
        return [each for each in arrivals if id(each.event) in struck]
