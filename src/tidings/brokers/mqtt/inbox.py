"""`MqttInbox`: what has come over the sessions that a member has, and what became of it."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from tidings.brokers.interface import Arrival
from tidings.brokers.mqtt.part import Part, Place
from tidings.brokers.mqtt.wire import Wire
from tidings.errors import BrokerUnreachable, Fenced, NotSupported
from tidings.events import PatternSet

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

_UNASKED: Final = 10_000  # messages sent without asking for an acknowledgement that wait here; what is more is let go


class MqttInbox:
    """One member's part of a group. An arrival's ticket is its place in the session it came from."""

    def __init__(
        self, wire: Wire, patterns: Sequence[str], *, url: str, group: str, member: str, prefetch: int
    ) -> None:
        self._wire = wire
        self._hears = PatternSet(patterns)
        self._url = url
        self._group = group
        self._member = member
        self._prefetch = prefetch
        self._buffer: deque[tuple[Place, MQTTMessage]] = deque()
        self._parts: set[Part] = set()  # those with something in hand
        self._in_hand = 0
        self._news = asyncio.Event()
        self.failure: Exception | None = None
        self.when_idle: Callable[[], None] = lambda: None  # called when a part that is to be let go of has no more

    async def receive(self, at_most: int = 500) -> list[Arrival]:
        """What has come, or what comes next."""
        while True:
            if self.failure is not None:
                raise self.failure
            room = min(at_most, self._prefetch - self._in_hand)
            if room > 0 and self._buffer and (arrivals := self._next(room)):
                return arrivals
            self._news.clear()
            await self._news.wait()

    async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
        """Acknowledge each session up to its first message that is not settled; returns when the server knows."""
        if arrivals is None:
            places = [place for part in self._parts for place in part.outstanding()]
        else:
            places = [arrival.ticket for arrival in arrivals]
        is_late, parts = False, set[Part]()
        for place in places:
            if not place.settled:
                is_late = is_late or place.part.is_over
                self._in_hand -= place.in_hand
                place.part.settle(place)
                parts.add(place.part)
        told = self._acknowledge(parts)
        self._news.set()
        if is_late:
            raise self.failure or Fenced(self._group, self._member)
        await self._confirm(told)

    async def retry(self, arrival: Arrival, seconds: float) -> None:
        """MQTT hands nothing over later."""
        raise NotSupported(self._url, "hand an event over later")

    async def reject(self, arrival: Arrival, reason: str, detail: str = "") -> None:
        """MQTT keeps nothing that a group gave up."""
        raise NotSupported(self._url, "keep dead letters")

    def take(self, place: Place, message: "MQTTMessage") -> None:
        """A message has come."""
        if place.mid or len(self._buffer) < _UNASKED:
            self._buffer.append((place, message))
            self._news.set()

    def fail(self, failure: Exception) -> None:
        """There is nothing more to come: whoever receives is told why."""
        self.failure = self.failure or failure
        self._news.set()

    def _next(self, room: int) -> list[Arrival]:
        buffer, arrival_of, hears = self._buffer, self._wire.arrival, self._hears.matches
        found: list[Arrival] = []
        passed = set[Part]()
        while buffer and len(found) < room:
            place, message = buffer.popleft()
            part = place.part
            if part.is_leaving:
                continue  # who has its session next is handed it
            arrival = arrival_of(message, place)
            if arrival.failure is None and not hears(arrival.notice.type):
                part.settle(place)
                passed.add(part)
                continue
            place.in_hand = True
            part.in_hand += 1
            self._parts.add(part)
            found.append(arrival)
        self._in_hand += len(found)
        self._acknowledge(passed)
        return found

    def _acknowledge(self, parts: set[Part]) -> list[Part]:
        """Those of which the server was told something."""
        told = [part for part in parts if part.acknowledge()]
        for part in parts:
            if not part.in_hand:
                self._parts.discard(part)
                if part.is_leaving:
                    self.when_idle()
        return told

    async def _confirm(self, told: Sequence[Part]) -> None:
        """An acknowledgement has no answer, and one that waits in a connection is lost with it."""
        answers = await asyncio.gather(*(part.confirm() for part in told), return_exceptions=True)
        for part, failure in zip(told, answers, strict=True):
            if isinstance(failure, BrokerUnreachable) and part.is_over:
                raise self.failure or Fenced(self._group, self._member)
            if failure is not None:
                raise failure
