"""`KafkaInbox`: one member's part of a group, or what a listener without one hears."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tidings.brokers.interface import Arrival
from tidings.brokers.kafka.names import AGAIN
from tidings.brokers.kafka.progress import Ticket
from tidings.brokers.kafka.reading import Reading
from tidings.brokers.kafka.wire import Wire
from tidings.errors import BrokerUnreachable, NotSupported
from tidings.events import PatternSet

Bury = Callable[[Arrival, str, str], Awaitable[None]]
_LOOK = 1.0  # seconds between looks at whether the thread that reads still gets on


class KafkaInbox:
    """What has come for a member. An arrival's ticket is its partition's progress, its offset and the message."""

    def __init__(
        self,
        reading: Reading,
        wire: Wire,
        patterns: Sequence[str],
        *,
        url: str,
        prefetch: int,
        timeout: float,
        bury: Bury,
    ) -> None:
        self._reading = reading
        self._wire = wire
        self._hears = PatternSet(patterns)
        self._url = url
        self._prefetch = prefetch
        self._patience = 2 * timeout + _LOOK
        self._bury = bury
        self._bell = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        reading.ring = self._ring

    async def receive(self, at_most: int = 500) -> list[Arrival]:
        """The next events of its partitions."""
        while True:
            self._bell.clear()
            self._check()
            room = min(at_most, self._prefetch - self._reading.held.unsettled)
            if room > 0 and (arrivals := self._arrivals(room)):
                return arrivals
            if room > 0 and self._reading.buffer:
                await asyncio.sleep(0)  # what came was for others
            else:
                await self._wait()

    async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
        """Returns when it is committed; what is another member's now is left to it."""
        is_behind = self._reading.settle(None if arrivals is None else [each.ticket for each in arrivals])
        self._bell.set()  # there may be room for more
        if not is_behind:
            return
        asked = self._reading.ask_commit()
        while self._reading.committed < asked:
            self._check()
            await self._wait()
            self._bell.clear()

    async def retry(self, arrival: Arrival, seconds: float) -> None:
        """Kafka hands over in order, and nothing later.

        Raises:
            NotSupported: always.
        """
        raise NotSupported(self._url, "hand an event over again later")

    async def reject(self, arrival: Arrival, reason: str, detail: str = "") -> None:
        """Write it to the group's dead letters, then settle it."""
        await self._bury(arrival, reason, detail)
        await self.settle([arrival])

    def _arrivals(self, room: int) -> list[Arrival]:
        wire, hears = self._wire, self._hears.matches
        arrivals: list[Arrival] = []
        others: list[Ticket] = []
        for ticket in self._reading.take(room):
            arrival = wire.arrival(ticket[2], ticket)
            if arrival.failure is not None or hears(arrival.event.type) or ticket[0].topic.endswith(AGAIN):
                arrivals.append(arrival)
            else:
                others.append(ticket)
        if others:
            self._reading.settle(others)
        return arrivals

    def _check(self) -> None:
        reading = self._reading
        if reading.failed is not None:
            raise reading.failed
        if reading.silence > self._patience:
            raise BrokerUnreachable(self._url, "its client has not come back for a long time")

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_LOOK):
                await self._bell.wait()
        except TimeoutError:
            pass

    def _ring(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._bell.set)
        except RuntimeError:  # the loop is closed: nobody waits any more
            pass
