"""`MqttInbox`: what has come over the sessions that a member has, and what became of it."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
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
        self._parts: set[Part] = set()  # those with something in hand, or settled and not known to the server
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
            parts = self._parts.copy()
            places = [place for part in parts for place in part.outstanding()]
        else:
            places = [arrival.ticket for arrival in arrivals]
            parts = {place.part for place in places}
        for place in places:
            if not place.settled:
                self._in_hand -= place.in_hand
                place.part.settle(place)
        self._acknowledge(parts)
        self._news.set()
        await self._confirm([part for part in parts if not part.is_known])

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

    def _acknowledge(self, parts: set[Part]) -> None:
        """Tell the server what is settled of these, and whoever waits for them which have nothing in hand any more."""
        for part in parts:
            part.acknowledge()
            if not part.in_hand and part.is_leaving:
                self.when_idle()
        self._forget(parts)

    async def _confirm(self, parts: Sequence[Part]) -> None:
        """An acknowledgement has no answer, and one that waits in a connection is lost with it: so the server is asked.

        It is asked again by whoever settles the same again, or meanwhile, until it has answered.
        """
        answers = await asyncio.gather(*(part.confirm() for part in parts), return_exceptions=True)
        self._forget(parts)
        failures = [(part, failure) for part, failure in zip(parts, answers, strict=True) if failure is not None]
        self._parts -= {part for part, _ in failures if part.is_over}  # who settled it is told once
        for part, failure in failures:
            if part.is_over and isinstance(failure, BrokerUnreachable):
                raise self.failure or part.failure or Fenced(self._group, self._member)
            raise failure

    def _forget(self, parts: Iterable[Part]) -> None:
        self._parts -= {part for part in parts if not part.in_hand and part.is_known}
