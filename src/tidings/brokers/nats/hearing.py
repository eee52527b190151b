"""`Hearing`: what is heard of a server without JetStream, while it is connected."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from tidings.brokers.interface import Arrival
from tidings.brokers.nats.link import Link
from tidings.brokers.nats.messages import Reading
from tidings.brokers.nats.names import Names, plain
from tidings.errors import NotSupported
from tidings.events import PatternSet, new_id

_MOST: Final = 10_000  # messages that wait here, before no more are read and the server keeps them for a while


class Hearing:
    """An inbox that nothing comes to again: its tickets are numbers, to count what is unsettled."""

    def __init__(self, link: Link, reading: Reading, names: Names, patterns: Sequence[str], prefetch: int) -> None:
        self._link = link
        self._reading = reading
        self._names = names
        self._hears = PatternSet(patterns)
        self._prefetch = prefetch
        self._waiting: deque[tuple[bytes, bytes, bytes]] = deque()
        self._open: set[int] = set()
        self._count = 0
        self._place = new_id()  # where messages lie: nowhere, so they are numbered as they come
        self._failure: Exception | None = None
        self._news = asyncio.Event()

    async def begin(self, subjects: Sequence[str], group: str | None) -> None:
        """Listen; returns when the server knows."""
        self._link.mourn(self._fail)
        for subject in subjects:
            self._link.subscribe(subject, self._hear, queue="" if group is None else self._names.queue(group))
        await self._link.flushed()

    def end(self) -> None:
        """Hear no more."""
        self._link.lose("the connection was closed")

    async def receive(self, at_most: int = 500) -> list[Arrival]:
        """What comes next."""
        while True:
            self._news.clear()
            if arrivals := self._take(min(at_most, self._prefetch - len(self._open))):
                return arrivals
            if self._failure is not None:
                raise self._failure
            await self._news.wait()

    async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
        """There is room for as many more."""
        if arrivals is None:
            self._open.clear()
        else:
            self._open.difference_update([arrival.ticket for arrival in arrivals])
        self._news.set()

    async def retry(self, arrival: Arrival, seconds: float) -> None:
        """Nobody keeps it until then."""
        raise NotSupported(self._reading.shown, "hand an event over later")

    async def reject(self, arrival: Arrival, reason: str, detail: str = "") -> None:
        """Nobody keeps it."""
        raise NotSupported(self._reading.shown, "keep dead letters")

    def _take(self, room: int) -> list[Arrival]:
        arrivals: list[Arrival] = []
        while self._waiting and len(arrivals) < room:
            subject, head, data = self._waiting.popleft()
            self._count += 1
            channel = plain(subject.decode(errors="replace").split(".")[1])
            arrival = self._reading.arrival(head, data, channel, f"{self._place}/{self._count}", self._count, 1)
            if arrival.failure is not None or self._hears.matches(arrival.notice.type):
                self._open.add(self._count)
                arrivals.append(arrival)
        if len(self._waiting) < _MOST // 2:
            self._link.hold(False)
        return arrivals

    def _hear(self, subject: bytes, reply: bytes, head: bytes, data: bytes) -> None:
        self._waiting.append((subject, head, data))
        if len(self._waiting) >= _MOST:
            self._link.hold(True)
        self._news.set()

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._news.set()
