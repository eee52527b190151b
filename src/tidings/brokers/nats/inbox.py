"""`GroupInbox`: what a member of a group receives, of the partitions it owns in turn."""

import asyncio
import contextlib
from collections.abc import Sequence

from tidings.brokers.interface import Arrival
from tidings.brokers.nats.carrier import Carrier
from tidings.brokers.nats.consumers import AGAIN, Consumers, Place, places_of, stream_of
from tidings.brokers.nats.link import Link
from tidings.brokers.nats.membership import Membership, delivered
from tidings.brokers.nats.names import consumer
from tidings.brokers.nats.part import Part, Ticket
from tidings.brokers.nats.receiving import Receiving
from tidings.brokers.nats.records import KNOWN, Records, note_known
from tidings.errors import Fenced, TidingsError

_BEATS = 4  # in a session
_LIST_EVERY = 4  # beats: channels are looked for, should the server have told of none


class GroupInbox(Receiving):
    """A member's part of a group. An arrival's ticket is where its message stands."""

    def __init__(
        self,
        carrier: Carrier,
        link: Link,
        group: str,
        heard: frozenset[str] | None,
        patterns: Sequence[str],
        prefetch: int,
    ) -> None:
        super().__init__(carrier, link, patterns, prefetch)
        self._group = group
        self._heard = heard
        self._records = Records(carrier.wire, link, carrier.names, group, self._ring)
        self._partitions: dict[str, int] = {}
        self._rung = asyncio.Event()  # somebody came, left, or let go of something
        self._has_new_channel = False
        self._beat = 0
        self._life: asyncio.Task[None] | None = None
        self._ear: bytes | None = None
        self.membership = Membership(carrier.wire, carrier.names, group, self._records)

    async def begin(self, start: str) -> None:
        """Join, and take the first turn."""
        await self.carrier.streams.own()
        self._ear = self.link.subscribe("$JS.EVENT.ADVISORY.STREAM.CREATED.>", self._hear_of_channel)
        await self._records.begin()
        await self.membership.beat(None if self._heard is None else sorted(self._heard))
        is_known = KNOWN in self._records.notes
        await self._find_channels("earliest" if is_known else start)
        if not is_known:
            await note_known(self.carrier.wire, self.carrier.names, self._group)
        await self._take_turns()
        self._life = asyncio.create_task(self._live(), name=f"{self._group}: signs of life")

    async def end(self) -> None:
        """Leave, if the server can be reached: what is in hand goes back, and others may take its partitions."""
        if self._life is not None:
            life, self._life = self._life, None
            life.cancel()
            await asyncio.wait([life])
        with contextlib.suppress(TidingsError, TimeoutError):  # else its session ends
            async with asyncio.timeout(self.link.timeout):
                await self._withdraw()
        self.fail(Fenced(self._group, self.membership.member))
        self.stop_hearing()

    async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
        """Acknowledge each."""
        await self._make_certain()
        await super().settle(arrivals)
        self._ring_if_leaving()

    async def retry(self, arrival: Arrival, seconds: float) -> None:
        """The server keeps it until then; how often it was called meanwhile stands in a note of the group."""
        await self._make_certain()
        ticket: Ticket = arrival.ticket
        if (beyond := arrival.attempt - ticket.attempt) > self._beyond(ticket):
            await self._records.note_calls(ticket.part.stream, int(ticket.sequence), beyond)
        await super().retry(arrival, seconds)
        self._ring_if_leaving()

    async def reject(self, arrival: Arrival, reason: str, detail: str = "") -> None:
        """Into the stream of dead letters, and then it is done with."""
        await self._make_certain()
        await self.carrier.letters.add(self._group, arrival, reason, detail)
        await self.settle([arrival])

    async def done_with(self, answered: Sequence[Sequence[Ticket]]) -> None:
        """What the group had again is needed no more, nor what was noted of any."""
        again = [ticket for tickets in answered for ticket in tickets if ticket.part.channel == AGAIN]
        if again:
            await self.carrier.letters.forget([int(ticket.sequence) for ticket in again])
        for tickets in answered:
            for ticket in tickets:
                if ticket.attempt > 1 and self._beyond(ticket):
                    await self._records.note_calls(ticket.part.stream, int(ticket.sequence), 0)

    def calls_of(self, ticket: Ticket) -> int:
        """As often as it was handed over, and those calls that were made on the spot."""
        return ticket.attempt + self._beyond(ticket)

    def _beyond(self, ticket: Ticket) -> int:
        return self._records.calls_beyond(ticket.part.stream, int(ticket.sequence))

    def may_hand_over(self) -> bool:
        """Not when others may have taken over meanwhile; the next beat tells."""
        if not self.membership.is_certain:
            self._rung.set()
        return self.membership.is_certain

    async def _make_certain(self) -> None:
        """May it answer for what it was handed, or has somebody else been given it?"""
        if self._failure is not None:
            raise self._failure
        if self.membership.is_certain:
            return
        await self.membership.beat(None if self._heard is None else sorted(self._heard))
        self._check()

    async def _live(self) -> None:
        """Beat several times a session, and whenever something changed."""
        interval = self.carrier.settings.session / _BEATS
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(interval):
                        await self._rung.wait()
                self._rung.clear()
                await self._pulse()
        except Exception as error:  # told to whoever receives
            self.fail(error)

    async def _pulse(self) -> None:
        self._beat += 1
        await self.membership.beat(None if self._heard is None else sorted(self._heard))
        self._check()  # who was replaced gives no more signs, which would keep from its heir what it left
        self.link.send(b"".join([part.signs(self._beat) for part in self.parts.values()]))
        if self._has_new_channel or not self._beat % _LIST_EVERY:
            self._has_new_channel = False
            await self._find_channels("earliest")
        await self._take_turns()
        if not self._beat % (_BEATS * 2):
            await self.membership.tidy()
        self.news()

    def _check(self) -> None:
        if self.membership.lost():
            raise Fenced(self._group, self.membership.member)

    async def _find_channels(self, start: str) -> None:
        """Channels that are there and heard, with a consumer for each of their partitions."""
        streams = self.carrier.streams
        heard = await streams.existing() if self._heard is None else self._heard
        new = {channel: await streams.partitions(channel) for channel in sorted(heard - self._partitions.keys())}
        if AGAIN not in self._partitions:
            new[AGAIN] = 1
        if new:
            await Consumers(self.carrier.wire, self.carrier.names, self._group).have(places_of(new), start)
            self._partitions |= new

    async def _take_turns(self) -> None:
        """Let go of what others should have, when nothing of it is open; take what is free; begin what is ready."""
        membership = self.membership
        wanted = membership.wanted(self._partitions)
        for place in membership.mine.keys() - wanted:
            part = self.parts.get(place)
            if part is not None and not part.is_leaving:
                part.leave()
        await self._let_go([place for place in membership.mine if self._is_left(place)])
        if places := sorted(wanted - membership.mine.keys()):
            await membership.take(places)
        for place in membership.mine:
            if place not in self.parts:
                part = self._part(place)
                if await membership.is_free(place, part):
                    part.begin()
                    part.beat = self._beat
                    self.parts[place] = part
        self._ask()

    def _is_left(self, place: Place) -> bool:
        part = self.parts.get(place)
        return part is not None and part.is_leaving and not part.open

    def _part(self, place: Place) -> Part:
        channel, number = place
        stream = stream_of(place, self.carrier.names)
        return Part(
            self.link, channel, stream, consumer(self._group, number), self.carrier.settings.session, self._news.set
        )

    async def _let_go(self, places: Sequence[Place]) -> None:
        if not places:
            return
        parts = [self.parts[place] for place in places]
        infos = await self.carrier.wire.api_all(
            [(f"CONSUMER.INFO.{part.stream}.{part.consumer}", None) for part in parts]
        )
        left = {
            place: (not info["num_waiting"] and delivered(info) <= part.last, delivered(info))
            for place, part, info in zip(places, parts, infos, strict=True)
        }
        given = self.give_back([part for place, part in zip(places, parts, strict=True) if self.membership.owns(place)])
        await self.confirmed(given, acknowledges=False)
        for place, part in zip(places, parts, strict=True):
            part.end()
            del self.parts[place]
        await self.membership.release(left)

    async def _withdraw(self) -> None:
        if self.link.lost is None:
            self.link.send(self._records.end())
            if self._ear is not None:
                self.link.unsubscribe(self._ear)
                self.link.forget(self._ear)
            for part in self.parts.values():
                part.leave()
            await self._let_go(list(self.parts))
        elif self.carrier.wire.is_closed:
            return  # nobody wants to be connected
        await self.membership.leave()

    def _ring(self) -> None:
        self._rung.set()

    def _ring_if_leaving(self) -> None:
        if any(part.is_leaving for part in self.parts.values()):
            self._rung.set()

    def _hear_of_channel(self, subject: bytes, reply: bytes, head: bytes, data: bytes) -> None:
        if self.carrier.names.channel(subject.decode().rpartition(".")[2]) is not None:
            self._has_new_channel = True
            self._rung.set()
