"""`KafkaInbox`: one member's part of a group, or what a listener without one hears."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from tidings.brokers.interface import Arrival
from tidings.brokers.kafka.names import AGAIN
from tidings.brokers.kafka.progress import Ticket
from tidings.brokers.kafka.tray import Tray
from tidings.brokers.kafka.wire import Wire
from tidings.errors import BrokerUnreachable, NotSupported
from tidings.events import PatternSet

Bury = Callable[[Arrival, str, str], Awaitable[None]]
_AHEAD = 1000  # arrivals made ready at most
_LITTLE = 200  # and at a time, while something else is waited for
_BREATH = 0.001  # seconds between those times
_LOOK = 1.0  # seconds between looks at whether the thread that reads still gets on


class KafkaInbox:
    """What has come for a member. An arrival's ticket is its partition's progress, its offset and the message."""

    def __init__(
        self,
        tray: Tray,
        wire: Wire,
        patterns: Sequence[str],
        *,
        url: str,
        prefetch: int,
        timeout: float,
        bury: Bury,
    ) -> None:
        self._tray = tray
        self._wire = wire
        self._hears = PatternSet(patterns)
        self._url = url
        self._prefetch = prefetch
        self._patience = 2 * timeout + _LOOK
        self._bury = bury
        self._ready: deque[tuple[Ticket, Arrival | None]] = deque()  # read, and not handed over; None is for others
        self._bell = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        tray.ring = self._ring

    async def receive(self, at_most: int = 500) -> list[Arrival]:
        """The next events of its partitions."""
        while True:
            self._bell.clear()
            self._check()
            room = min(at_most, self._prefetch - self._tray.held.unsettled)
            if room <= 0 or not self._prepare(room):
                await self._wait()
            elif arrivals := self._tray.hand_over(self._ready.popleft() for _ in range(min(room, len(self._ready)))):
                return arrivals
            else:
                await asyncio.sleep(0)  # what came was for others

    async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
        """Returns when it is committed; what is another member's now is left to it."""
        is_behind = self._tray.settle(arrivals)
        self._bell.set()  # there may be room for more
        if not is_behind:
            return
        tray, asked = self._tray, self._tray.ask_commit()
        while tray.answered < asked:
            self._check()
            has_more = bool(tray.buffer) and len(self._ready) < self._prefetch
            await self._wait(_BREATH if has_more else _LOOK)
            self._bell.clear()
            if has_more and tray.answered < asked:  # the time is used, a little at a time: the thread needs its own
                self._prepare(len(self._ready) + _LITTLE)

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

    def _prepare(self, at_most: int) -> bool:
        """Make so many ready to be handed over, as far as they have come; are there any?"""
        arrival_of, hears, ready = self._wire.arrival, self._hears.matches, self._ready
        for ticket in self._tray.draw(max(min(at_most, _AHEAD) - len(ready), 0)):
            arrival = arrival_of(ticket[2], ticket)
            is_heard = arrival.failure is not None or hears(arrival.event.type) or ticket[0].topic.endswith(AGAIN)
            ready.append((ticket, arrival if is_heard else None))
        return bool(ready)

    def _check(self) -> None:
        tray = self._tray
        if tray.failed is not None:
            raise tray.failed
        if tray.silence > self._patience:
            raise BrokerUnreachable(self._url, "its client has not come back for a long time")

    async def _wait(self, seconds: float = _LOOK) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            pass

    def _ring(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._bell.set)
        except RuntimeError:  # the loop is closed: nobody waits any more
            pass
