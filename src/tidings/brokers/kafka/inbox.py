"""`KafkaInbox`: one member's part of a group, or what a listener without one hears."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from tidings.brokers.interface import Arrival
from tidings.brokers.kafka.names import AGAIN
from tidings.brokers.kafka.tray import Tray
from tidings.brokers.kafka.wire import Wire
from tidings.errors import BrokerUnreachable, NotSupported
from tidings.events import PatternSet

Bury = Callable[[Arrival, str, str], Awaitable[None]]
_LOOK = 1.0  # seconds between looks at whether the thread of its group still gets on


class KafkaInbox:
    """What has come for a member. An arrival's ticket is its message."""

    def __init__(
        self,
        tray: Tray,
        wire: Wire,
        patterns: Sequence[str],
        *,
        url: str,
        prefetch: int,
        patience: float,
        bury: Bury,
    ) -> None:
        self._tray = tray
        self._wire = wire
        self._hears = PatternSet(patterns)
        self._url = url
        self._prefetch = prefetch
        self._patience = patience
        self._bury = bury
        self._news = asyncio.Event()  # for who receives
        self._commits = asyncio.Event()  # for those who settle, so that they are not woken by each other
        self._loop = asyncio.get_running_loop()
        tray.ring = partial(self._wake, self._news)
        tray.tell = partial(self._wake, self._commits)

    async def receive(self, at_most: int = 500) -> list[Arrival]:
        """The next events of its partitions."""
        while True:
            self._news.clear()
            self._check()
            drawn = self._tray.draw(min(at_most, self._prefetch - self._tray.held.unsettled))
            heard = self._heard(self._wire.arrivals(drawn))
            if heard:
                return heard
            if not drawn:
                await _within_a_look(self._news)
            else:
                await asyncio.sleep(0)  # what came was for others

    async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
        """Returns when it is committed; what is another member's now is left to it."""
        is_behind = self._tray.settle(None if arrivals is None else [each.ticket for each in arrivals])
        self._news.set()  # there may be room for more
        if not is_behind:
            return
        tray, asked = self._tray, self._tray.ask_commit()
        while tray.answered < asked:
            self._check()
            await _within_a_look(self._commits)
            self._commits.clear()

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

    def _heard(self, arrivals: list[Arrival]) -> list[Arrival]:
        """Those for this group; the others are done with."""
        if all(map(self._hears.matches, {arrival.notice.type for arrival in arrivals})):
            return arrivals
        heard: list[Arrival] = []
        others: list[Arrival] = []
        for arrival in arrivals:
            (heard if self._is_heard(arrival) else others).append(arrival)
        self._tray.settle([arrival.ticket for arrival in others])
        return heard

    def _is_heard(self, arrival: Arrival) -> bool:
        """What nobody can read is for everybody; and what a group is to hear again, whatever else it hears by now."""
        is_named = self._hears.matches(arrival.notice.type)
        return is_named or arrival.failure is not None or arrival.ticket.topic.endswith(AGAIN)

    def _check(self) -> None:
        tray = self._tray
        if tray.failed is not None:
            raise tray.failed
        if tray.silence > self._patience:
            raise BrokerUnreachable(self._url, "its client has not come back for a long time")

    def _wake(self, event: asyncio.Event) -> None:
        """Called in any thread."""
        try:
            self._loop.call_soon_threadsafe(event.set)
        except RuntimeError:  # the loop is closed: nobody waits any more
            pass


async def _within_a_look(event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_LOOK):
            await event.wait()
    except TimeoutError:
        pass
