"""`RabbitmqInbox`: what one member of a group receives and answers."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from tidings.brokers.interface import Arrival
from tidings.brokers.rabbitmq.channels import Deliveries
from tidings.brokers.rabbitmq.link import Link, in_our_words
from tidings.brokers.rabbitmq.membership import Membership
from tidings.brokers.rabbitmq.message import ATTEMPT, Messages, Received, given_up, later
from tidings.brokers.rabbitmq.names import STEPS, dead_of
from tidings.brokers.rabbitmq.outlet import Outlet
from tidings.brokers.rabbitmq.reader import Reader
from tidings.brokers.rabbitmq.topology import Topology
from tidings.clock import Clock
from tidings.errors import BrokerError, BrokerUnreachable, EventRefused
from tidings.events import PatternSet, new_id

Queue = Callable[[Deliveries], Awaitable[str]]


class RabbitmqInbox:
    """A member's readers, one for each queue of its group, and what it has handed over of them."""

    def __init__(
        self,
        link: Link,
        publishing: Link,
        topology: Topology,
        messages: Messages,
        outlet: Outlet,
        patterns: Sequence[str],
        group: str | None,
        prefetch: int,
        clock: Clock,
    ) -> None:
        self._link = link
        self._topology = topology
        self._messages = messages
        self._outlet = outlet
        self._hears = PatternSet(patterns)
        self._patterns = patterns
        self._group = group
        self._prefetch = prefetch
        self._clock = clock
        name = group or f"listening.{new_id()}"
        self._membership = Membership(link, publishing, topology.presence, name, self._asked)
        self._queues: list[str] = []
        self._readers: list[Reader] = []
        self._again: list[Arrival] = []  # held here for a moment, and due now
        self._early: list[Received] = []  # come back before they are due
        self._passed: list[Received] = []  # not for this group
        self._timers: set[asyncio.TimerHandle] = set()
        self._news = asyncio.Event()
        self._yields = asyncio.Event()
        self._is_asked = False
        self._is_leaving = False
        self._failure: BrokerError | None = None
        self._tending: asyncio.Task[None] | None = None

    async def join(self) -> None:
        """Stand in line for every queue of the group.

        Raises:
            BrokerError: the server refuses.
        """
        await self._topology.known()
        if self._group is not None:
            self._queues = await self._topology.found(self._group, self._patterns)
        await self._membership.join()
        async with asyncio.TaskGroup() as joining:
            for number in range(len(self._queues) or 1):
                joining.create_task(self._begin(number))
        if self._failure is not None:
            raise self._failure
        self._tending = asyncio.create_task(self._tend())

    async def leave(self) -> None:
        """Give the queues back. What is not settled goes to others."""
        self._is_leaving = True  # the client library may swallow the cancelling while it opens a channel
        self._yields.set()
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.wait([self._tending], timeout=self._link.settings.timeout)
        for timer in self._timers:
            timer.cancel()
        self._fail(BrokerError("this inbox is closed: subscribe again"))
        for reader in self._readers:
            reader.is_closed = True
        await asyncio.gather(*(reader.leave() for reader in self._readers), self._membership.leave())

    async def receive(self, at_most: int = 500) -> list[Arrival]:
        """What has come."""
        while True:
            self._news.clear()
            if self._failure is not None:
                raise self._failure
            if arrivals := self._gathered(at_most):
                return arrivals
            if not await self._attended():
                await self._news.wait()

    async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
        """Acknowledge them, all that is contiguous in a queue at once."""
        if self._failure is not None:
            raise self._failure
        if arrivals is None:
            for reader in list(self._readers):
                await reader.settle(None)
        else:
            await self._settle([arrival.ticket for arrival in arrivals])
        self._answered()

    async def retry(self, arrival: Arrival, seconds: float) -> None:
        """Send it on the way round, or hold it here where nobody else would hear of it."""
        if self._failure is not None:
            raise self._failure
        received: Received = arrival.ticket
        if self._group is None:
            self._hold(Arrival(arrival.notice, received, arrival.attempt + 1, arrival.failure), seconds)
        else:
            await self._postpone(received, self._clock.now() + seconds, arrival.attempt)
            self._answered()

    async def reject(self, arrival: Arrival, reason: str, detail: str = "") -> None:
        """Put it among the group's dead letters, then acknowledge it. Of who has no group nothing is kept."""
        if self._failure is not None:
            raise self._failure
        received: Received = arrival.ticket
        if self._group is not None:
            dead, queue = dead_of(self._link.settings.prefix, self._group), self._queues[received.reader.number]
            await self._bury(received, dead, queue, arrival.attempt, reason, detail)
        await self._settle([received])
        self._answered()

    async def _bury(self, received: Received, *said: Any) -> None:
        try:
            await self._outlet.send([given_up(received, *said)])
        except EventRefused:  # with its own headers and ours together it is more than one frame can hold
            await self._outlet.send([given_up(received, *said, bare=True)])

    async def _begin(self, number: int) -> None:
        try:
            self._readers.append(await self._stand_in_line(number))
        except BrokerError as failure:
            self._fail(failure)

    async def _stand_in_line(self, number: int) -> Reader:
        reader = Reader(self._link, number, self._news.set, self._fail)
        queue: Queue = partial(self._topology.passing, patterns=self._patterns)
        if self._queues:
            queue = partial(_named, self._queues[number])
        await reader.join(queue, self._prefetch)
        return reader

    def _gathered(self, at_most: int) -> list[Arrival]:
        again, self._again = self._again[:at_most], self._again[at_most:]
        if again:
            return again
        room = min(at_most, self._prefetch - sum(reader.open_count for reader in self._readers))
        arrivals: list[Arrival] = []
        for reader in self._readers:
            if room <= len(arrivals):
                break
            arrivals += self._fitting(reader.take(room - len(arrivals)))
        self._readers_in_turn()
        return arrivals

    def _readers_in_turn(self) -> None:
        """Who comes last this time comes first next time, so that none is left out."""
        self._readers.append(self._readers.pop(0))

    def _fitting(self, taken: list[Received]) -> list[Arrival]:
        arrivals: list[Arrival] = []
        matches, arrival_of = self._hears.matches, self._messages.arrival
        for received in taken:
            due = received.due
            if due is not None and due > self._clock.now():
                self._early.append(received)
                continue
            arrival = arrival_of(received)
            if arrival.failure is not None or matches(arrival.notice.type):
                arrivals.append(arrival)
            else:
                self._passed.append(received)
        return arrivals

    async def _attended(self) -> bool:
        """Was there anything that nobody else has to know of?"""
        if not self._early and not self._passed:
            return False
        passed, self._passed = self._passed, []
        await self._settle(passed)
        while self._early:
            received = self._early[-1]  # taken away when it is done, as this may be cut short
            due = received.due or 0.0
            if due - self._clock.now() < STEPS[0] / 1000:
                self._hold(self._messages.arrival(received), due - self._clock.now())
            else:
                await self._postpone(received, due, _attempts(received))
            with contextlib.suppress(ValueError):
                self._early.remove(received)
        return True

    async def _postpone(self, received: Received, due: float, attempt: int) -> None:
        """On the way round by the longest step that is not too long; who comes too early goes round again."""
        left = max((due - self._clock.now()) * 1000, 1)
        step = next((each for each in reversed(STEPS) if each <= left), STEPS[0])
        group, queue = self._group or "", self._queues[received.reader.number]
        await self._topology.waiting(group, step)
        await self._outlet.send([later(received, self._topology.later, queue, group, due, step, attempt)])
        await self._settle([received])

    def _hold(self, arrival: Arrival, seconds: float) -> None:
        def come() -> None:
            self._timers.discard(timer)
            self._again.append(arrival)
            self._news.set()

        timer = asyncio.get_running_loop().call_later(max(seconds, 0.0), come)
        self._timers.add(timer)

    async def _settle(self, received: Sequence[Received]) -> None:
        tags: dict[int, list[int]] = defaultdict(list)
        readers: dict[int, Reader] = {}
        for each in received:
            readers[id(each.reader)] = each.reader
            tags[id(each.reader)].append(each.tag)
        for which, reader in readers.items():
            await reader.settle(tags[which])

    def _answered(self) -> None:
        self._news.set()  # there may be room for more
        self._yields.set()

    def _fail(self, failure: BrokerError) -> None:
        self._failure = self._failure or failure
        self._news.set()

    def _asked(self) -> None:
        self._is_asked = True
        self._yields.set()

    async def _tend(self) -> None:
        """Show signs of life, and give queues back that are others' to read."""
        beat, loop = self._link.settings.beat, asyncio.get_running_loop()
        try:
            while not self._is_leaving:
                self._is_asked = False
                await self._membership.beat(sum(reader.unacknowledged_count for reader in self._readers))
                self._share()
                until = loop.time() + beat
                while not (self._is_asked or self._is_leaving) and (left := until - loop.time()) > 0:
                    await self._give_back()
                    await self._woken(left)
        except Exception as error:
            self._fail(in_our_words(self._link.settings.url, error))
            if isinstance(self._failure, BrokerUnreachable):
                await self._link.drop()

    async def _woken(self, limit: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._yields.wait()
        self._yields.clear()

    def _share(self) -> None:
        if len(self._queues) < 1:
            return
        mine = self._membership.turns(len(self._queues))
        for reader in self._readers:
            reader.is_yielding = reader.is_active and reader.number not in mine
        self._news.set()

    async def _give_back(self) -> None:
        """Go to the end of the line where nothing is unsettled any more."""
        for reader in [each for each in self._readers if each.is_yielding and not each.open_count]:
            await reader.leave()
            heir = await self._stand_in_line(reader.number)
            self._readers[self._readers.index(reader)] = heir


async def _named(queue: str, channel: Deliveries) -> str:
    return queue


def _attempts(received: Received) -> int:
    said = received.headers.get(ATTEMPT)
    return said if isinstance(said, int) else 0
