"""`RabbitmqBroker`: the carrier of `amqp://` and `amqps://`."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

from tidings.brokers.channels import Channels, partition_of
from tidings.brokers.foreign import Foreign
from tidings.brokers.interface import Capabilities, DeadLetter, Difference, Standing, Wanted
from tidings.brokers.rabbitmq.inbox import RabbitmqInbox
from tidings.brokers.rabbitmq.link import Link
from tidings.brokers.rabbitmq.message import Messages
from tidings.brokers.rabbitmq.names import routing_key
from tidings.brokers.rabbitmq.outlet import Outlet
from tidings.brokers.rabbitmq.records import Records
from tidings.brokers.rabbitmq.settings import settings_of
from tidings.brokers.rabbitmq.topology import Topology
from tidings.clock import Clock, SystemClock
from tidings.errors import BrokerError, EventRefused
from tidings.events import Event

UNHEARD: Final = 0.5  # seconds within which the server has taken what it was told


class RabbitmqBroker:
    """RabbitMQ, connected when it is first needed: once to publish, and once to receive and to ask.

    Events of one key stay in order, in a queue that one member of the group receives at a time. A queue hears what
    comes after it was bound, so a new group begins with what is published from then on; `setup` makes it beforehand.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, channels: Channels | None = None) -> None:
        settings = self._settings = settings_of(url)
        self.url = settings.url
        self.capabilities = Capabilities(
            durable=True,
            groups=True,
            replay=False,
            order="channel",
            delay=True,
            dead_letters=True,
            fsync=True,
            max_size=settings.max_size,
            acknowledgement="on disk on a majority of the servers that keep each group's queue",
            settlement=f"said to the server, which does not answer: some of the last {UNHEARD:g} s before it was"
            " killed, or the connection was cut, may come again",
        )
        self._clock = clock or SystemClock()
        self._channels = channels or Channels()
        self._messages = Messages(Foreign(self.url, self._channels.decoders), settings.max_size)
        self._publishing = Link(settings)  # apart, as a server short of memory or disk stops those that publish
        self._receiving = Link(settings)
        self._topology = Topology(self._receiving, self._channels)
        self._outlet = Outlet(self._publishing)
        self._answers = Outlet(self._publishing)
        self._records = Records(self._receiving, self._publishing, self._topology, self._messages, self._answers)

    async def publish(self, events: Sequence[Event]) -> None:
        """Returns when each event is on disk in the queues of all groups that hear it."""
        if not events:
            return
        partitions = self._topology.partitions or await self._topology.known()
        exchange, channel_of, parcel = self._topology.events, self._channels.of, self._messages.parcel
        parcels = []
        for event in events:
            partition = partition_of(event.delivery_key, partitions)
            parcels.append(parcel(event, exchange, routing_key(partition, channel_of(event.type), event.type)))
        try:
            await self._outlet.send(parcels)
        except EventRefused:
            raise
        except BrokerError:
            self._topology.forget()
            raise

    @contextlib.asynccontextmanager
    async def subscribe(
        self, patterns: Sequence[str], *, group: str | None, start: str = "earliest", prefetch: int = 500
    ) -> AsyncIterator[RabbitmqInbox]:
        """Join a group: it hears what is published from the first time on that this is called."""
        inbox = RabbitmqInbox(
            self._receiving,
            self._publishing,
            self._topology,
            self._messages,
            self._answers,
            tuple(patterns),
            group,
            prefetch,
            self._clock,
        )
        try:
            await inbox.join()
            yield inbox
        except BrokerError:
            self._topology.forget()
            raise
        finally:
            await inbox.leave()

    async def groups(self) -> list[Standing]:
        """All groups under this prefix."""
        return await self._records.standings()

    async def letters(self, group: str | None = None) -> list[DeadLetter]:
        """What lies in the queues of dead letters, at most 10,000 of a group."""
        groups = [group] if group is not None else await self._records.groups()
        return [letter for each in groups for letter in await self._records.letters(each)]

    async def resolve(self, letter: DeadLetter, *, again: bool) -> None:
        """Put it into the queue it came from, or drop it."""
        await self._records.resolve(letter, again=again)

    async def setup(self, wanted: Wanted, *, apply: bool) -> list[Difference]:
        """The exchange, with the number of its partitions, and the queues of groups, which hear from then on."""
        return await self._topology.differences(wanted, apply=apply)

    async def close(self) -> None:
        """End both connections."""
        await self._publishing.close()
        await self._receiving.close()
