"""`PulsarInbox`: one member's part of a group."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from heapq import heappop, heappush
from typing import Any, Final

from tidings.brokers.interface import Arrival
from tidings.brokers.pulsar.failures import failure
from tidings.brokers.pulsar.reading import Reading
from tidings.brokers.pulsar.wire import ATTEMPTS, DUE, Outgoing, Wire, properties_of
from tidings.clock import Clock
from tidings.errors import BrokerError
from tidings.events import PatternSet

Send = Callable[[Outgoing], Awaitable[object]]
Bury = Callable[[Arrival, str, str], Awaitable[None]]
_AT_ONCE: Final = 1000  # messages looked at without letting others have a turn
_REMEMBERED: Final = 5000  # settled ones that are known when they come again
_LOOK: Final = 1.0  # seconds


class PulsarInbox:
    """What has come for a member. An arrival's ticket is its message's id and the message.

    After a short loss of the connection the client is sent all again that it has not acknowledged: what is unsettled,
    or was settled here just before, is known by its id and passed over.
    """

    def __init__(
        self, url: str, consumer: Any, wire: Wire, patterns: Sequence[str], prefetch: int, clock: Clock, again: str
    ) -> None:
        self._url = url
        self._consumer = consumer
        self._wire = wire
        self._hears = PatternSet(patterns)
        self._prefetch = prefetch
        self._clock = clock
        self._again = again  # the topic of what is to be heard again
        self._failed: BrokerError | None = None
        self._open: dict[bytes, Any] = {}  # handed over and not settled
        self._settled: set[bytes] = set()
        self._settled_before: set[bytes] = set()
        self._early: list[tuple[float, bytes, Any]] = []  # a heap of what the server sent before it was due
        self._bell = asyncio.Event()
        self._reading = Reading(url, consumer, prefetch, self._bell.set)
        self.send: Send
        self.bury: Bury

    async def receive(self, at_most: int = 500) -> list[Arrival]:
        """The next messages that the group's subscription has for this member."""
        while True:
            self._bell.clear()
            self._check()
            room = min(at_most, self._prefetch - len(self._open))
            if room > 0 and (arrivals := self._due(room) or self._next(room)):
                return arrivals
            if room > 0 and self._reading.buffer:
                await asyncio.sleep(0)  # what came was for others
            else:
                await self._wait()

    async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
        """Acknowledge them. The client tells the server within a tenth of a second, or when it is closed."""
        keys = list(self._open) if arrivals is None else [each.ticket[0] for each in arrivals]
        for key in keys:
            message = self._open.get(key)
            if message is not None:
                self._acknowledge(message)
                del self._open[key]
                self._settled.add(key)
        if len(self._settled) > _REMEMBERED:
            self._settled, self._settled_before = set(), self._settled
        self._bell.set()  # there may be room for more

    async def retry(self, arrival: Arrival, seconds: float) -> None:
        """Put it on the group's own topic, to be delivered then."""
        said = {ATTEMPTS: str(arrival.attempt), DUE: repr(self._clock.now() + seconds)}
        message = self._wire.copied(arrival.ticket[1], self._again, said)
        message.delay = seconds
        await self.send(message)
        await self.settle([arrival])

    async def reject(self, arrival: Arrival, reason: str, detail: str = "") -> None:
        """Write it to the dead letters, then settle it."""
        await self.bury(arrival, reason, detail)
        await self.settle([arrival])

    def fail(self, error: BrokerError) -> None:
        """The link failed: who receives has to know."""
        self._failed = self._failed or error
        self._reading.stop()
        self._bell.set()

    async def end(self) -> None:
        """Read no more; then its consumer can be closed."""
        await self._reading.end()

    def _next(self, room: int) -> list[Arrival]:
        arrivals: list[Arrival] = []
        draw, arrival_of, hears = self._reading.buffer.popleft, self._wire.arrival, self._hears.matches
        for _ in range(min(len(self._reading.buffer), _AT_ONCE)):
            message = draw()
            key: bytes = message.message_id().serialize()
            if self._is_known(key, message):
                continue
            arrival = arrival_of(message, (key, message))
            if arrival.attempt > 1:  # only what is on the group's own topic was tried before
                if self._is_early(key, message):
                    continue
            elif arrival.failure is None and not hears(arrival.notice.type):
                self._acknowledge(message)
                continue
            self._open[key] = message
            arrivals.append(arrival)
            if len(arrivals) == room:
                break
        self._reading.go_on()
        return arrivals

    def _is_known(self, key: bytes, message: Any) -> bool:
        if key in self._settled or key in self._settled_before:
            self._acknowledge(message)
            return True
        return key in self._open

    def _is_early(self, key: bytes, message: Any) -> bool:
        """Servers send what is delayed up to a second before it is due."""
        due = _moment(properties_of(message).get(DUE, ""))
        if due <= self._clock.now():
            return False
        heappush(self._early, (due, key, message))
        return True

    def _due(self, room: int) -> list[Arrival]:
        arrivals: list[Arrival] = []
        while self._early and len(arrivals) < room and self._early[0][0] <= self._clock.now():
            _, key, message = heappop(self._early)
            if not self._is_known(key, message):
                self._open[key] = message
                arrivals.append(self._wire.arrival(message, (key, message)))
        return arrivals

    def _acknowledge(self, message: Any) -> None:
        results: set[Any] = set()
        self._consumer.acknowledge_async(message, results.add)  # it answers at once
        for result in results:
            if result.name != "Ok":
                raise failure(self._url, result, "settling")

    def _check(self) -> None:
        failed = self._failed or self._reading.failed
        if failed is not None:
            raise failed

    async def _wait(self) -> None:
        left = self._early[0][0] - self._clock.now() if self._early else _LOOK
        try:
            async with asyncio.timeout(min(max(left, 0.0), _LOOK)):
                await self._bell.wait()
        except TimeoutError:
            pass


def _moment(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
