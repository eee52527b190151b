"""How events get into the streams: packed by the hundred, and sent without waiting for the last answer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tidings.brokers.channels import Channels, partition_of
from tidings.brokers.redis import scripts
from tidings.brokers.redis.entries import fields_of
from tidings.brokers.redis.keys import Keys
from tidings.brokers.redis.link import Answers, Link, checked
from tidings.brokers.redis.settings import LARGEST
from tidings.brokers.redis.trimming import Trimming
from tidings.brokers.redis.wire import Wire
from tidings.errors import BrokerError, EventRefused
from tidings.events import Event

_AT_ONCE: Final = 500  # events that are packed before the event loop has its turn
_TRIES: Final = 3  # times that streams are made again which somebody removed meanwhile

_Streams = dict[str, list[str]]  # channel -> the streams of its partitions


class Publishing:
    """The way into the streams of one connection. Which partitions a channel has is asked once a connection."""

    def __init__(self, wire: Wire, keys: Keys, channels: Channels) -> None:
        self._wire = wire
        self._keys = keys
        self._channels = channels
        self._link: Link | None = None  # on which the streams were learned
        self._streams: _Streams = {}
        self._trimming = Trimming(wire)

    async def publish(self, events: Sequence[Event]) -> None:
        """Add them, and return when all were acknowledged.

        Raises:
            EventRefused: one is larger than the server takes.
            BrokerError: some or none of them were taken.
        """
        for _ in range(_TRIES):
            events = await self._send(events)
            if not events:
                return
            self._link = None  # what was learned on it is no longer so
        told = f"the stream of event {events[0].id!r} is removed again and again"
        raise BrokerError(f"{self._wire.settings.shown}: {told}")

    async def _send(self, events: Sequence[Event]) -> Sequence[Event]:
        """Returns those whose stream is not there any more."""
        link = await self._wire.link()
        if link is not self._link:
            self._link, self._streams = link, {}
        streams = self._streams
        sent: list[tuple[Sequence[Event], Answers]] = []
        for first in range(0, len(events), _AT_ONCE):
            some = events[first : first + _AT_ONCE]
            await self._learn(some, streams)
            commands = b"".join([self._adding(event, streams, link) for event in some])
            sent.append((some, link.ask(commands, len(some))))
            await link.drain()
        missed: list[Event] = []
        for some, answers in sent:
            taken = checked(await link.wait(answers), self._wire.settings.shown)
            if None in taken:
                missed += [event for event, id in zip(some, taken, strict=True) if id is None]
        self._trimming.look(key for partitions in streams.values() for key in partitions)
        return missed

    async def _learn(self, events: Iterable[Event], streams: _Streams) -> None:
        """Make the channels that are new, with the groups that hear them; and note how many partitions each has."""
        for channel in {self._channels.of(event.type) for event in events} - streams.keys():
            _, partitions = await self._wire.run(scripts.CHANNEL, channel, self._wire.settings.partitions)
            streams[channel] = [self._keys.stream(channel, number) for number in range(partitions)]

    def _adding(self, event: Event, streams: Mapping[str, list[str]], link: Link) -> bytes:
        partitions = streams[self._channels.of(event.type)]
        key = partitions[partition_of(event.delivery_key, len(partitions))]
        fields = fields_of(event)
        largest = link.largest or LARGEST
        if len(fields[-1]) > largest:
            raise EventRefused(event.id, f"its data has {len(fields[-1])} bytes, and the server takes {largest}")
        return link.pack(("XADD", key, "NOMKSTREAM", "*", *fields))
