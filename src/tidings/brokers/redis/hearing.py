"""`Hearing`: a subscriber's messages. The server pushes them; while nobody takes them, the socket is not read."""

import asyncio
import re
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from tidings.brokers.foreign import STRUCTURED, Foreign, Message
from tidings.brokers.interface import Arrival
from tidings.brokers.redis.link import Link, packed
from tidings.brokers.redis.settings import Settings
from tidings.errors import BrokerUnreachable, NotSupported
from tidings.events import PatternSet, new_id

_QUIET: Final = 1.0  # seconds without a message, after which the server is asked whether it is there
_GLOB = re.compile(r"([\\*?\[\]^-])")


class Hearing:
    """What everybody who is subscribed hears. An arrival's ticket is its number."""

    def __init__(
        self, link: Link, settings: Settings, patterns: Sequence[str], prefetch: int, foreign: Foreign
    ) -> None:
        self._link = link
        self._settings = settings
        self._hears = PatternSet(patterns)
        self._prefetch = prefetch
        self._foreign = foreign
        self._came: deque[tuple[bytes, bytes]] = deque()  # channel, message
        self._open: set[int] = set()
        self._number = 0
        self._changed = asyncio.Event()
        self._unconfirmed = 0
        self._heard_of = 0.0  # when the server said something

    async def begin(self, heard: frozenset[str] | None) -> None:
        """Subscribe, and wait until the server has confirmed it."""
        prefix = self._settings.prefix
        names = [_GLOB.sub(r"\\\1", prefix) + "*"] if heard is None else [prefix + each for each in sorted(heard)]
        self._unconfirmed = len(names)
        self._link.listen(self._hear)
        self._link.send(packed("PSUBSCRIBE" if heard is None else "SUBSCRIBE", *names))
        while self._unconfirmed > 0:
            await self._something()

    async def end(self) -> None:
        """The server forgets a subscriber with its connection."""
        await self._link.close()
        self._changed.set()

    async def receive(self, at_most: int = 500) -> list[Arrival]:
        """What comes next."""
        while True:
            room = min(at_most, self._prefetch - len(self._open))
            arrivals = self._take(room)
            if arrivals:
                return arrivals
            if room > 0:
                await self._something()
            else:
                self._changed.clear()
                await self._changed.wait()

    async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
        """There is room for as many more."""
        if arrivals is None:
            self._open.clear()
        else:
            self._open.difference_update(arrival.ticket for arrival in arrivals)
        self._changed.set()

    async def retry(self, arrival: Arrival, seconds: float) -> None:
        """Nothing is kept."""
        raise NotSupported(self._settings.shown, "hand an event over later")

    async def reject(self, arrival: Arrival, reason: str, detail: str = "") -> None:
        """Nothing is kept."""
        raise NotSupported(self._settings.shown, "keep dead letters")

    def _take(self, room: int) -> list[Arrival]:
        arrivals: list[Arrival] = []
        while self._came and len(arrivals) < room:
            arrival = self._arrival(*self._came.popleft())
            if self._hears.matches(arrival.notice.type) or arrival.failure is not None:
                arrivals.append(arrival)
                self._open.add(arrival.ticket)
        if len(self._came) < self._prefetch:
            self._link.hold(False)
        return arrivals

    def _arrival(self, name: bytes, data: bytes) -> Arrival:
        self._number += 1
        channel = name.decode(errors="backslashreplace").removeprefix(self._settings.prefix)
        kind = STRUCTURED if data[:1] == b"{" and b'"specversion"' in data else None
        return self._foreign.arrival(Message(channel, data, f"{channel} {new_id()}", content_type=kind), self._number)

    def _hear(self, pushed: Any) -> None:
        self._heard_of = asyncio.get_running_loop().time()
        self._changed.set()
        if isinstance(pushed, Exception):  # it was refused, so nothing would ever come
            self._link.lose(f"it answers {pushed}")
        elif pushed[0] in (b"message", b"pmessage"):
            self._came.append((pushed[-2], pushed[-1]))
            if len(self._came) >= self._prefetch:
                self._link.hold(True)
        elif pushed[0] in (b"subscribe", b"psubscribe"):
            self._unconfirmed -= 1

    async def _something(self) -> None:
        """Wait until the server says something; in the quiet it is asked to.

        Raises:
            BrokerUnreachable: the connection was lost, or the server is silent.
        """
        asked = asyncio.get_running_loop().time()
        self._changed.clear()
        while not self._changed.is_set():
            if self._link.lost is not None:
                raise BrokerUnreachable(self._link.lost.url, self._link.lost.reason)
            try:
                async with asyncio.timeout(min(_QUIET, self._settings.timeout)):
                    await self._changed.wait()
            except TimeoutError:
                if asyncio.get_running_loop().time() - max(asked, self._heard_of) > self._settings.timeout:
                    raise self._link.silent() from None
                self._link.send(packed("PING"))
