"""Publishing: all events of a call go out at once, and their acknowledgements are counted as they come."""

import asyncio
from collections.abc import Sequence

from tidings.brokers.channels import partition_of
from tidings.brokers.nats.carrier import Carrier
from tidings.brokers.nats.link import Link
from tidings.brokers.nats.messages import written
from tidings.brokers.nats.wire import Wire, command, nobody_there
from tidings.errors import BrokerError, EventRefused, InvalidEvent
from tidings.events import Event

Outgoing = tuple[bytes, bytes, bytes]  # subject, headers and data of a message
_AT_ONCE = 2000  # events, or ...
_BYTES = 8 * 1024 * 1024  # ... on their way before the first of them is acknowledged
_TAKEN = b'{"stream":'  # what an acknowledgement begins with


class Tally:
    """Counts acknowledgements until all are there, or one is none."""

    def __init__(self, wire: Wire, missing: int) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.future.add_done_callback(_seen)
        self._wire = wire
        self._missing = missing

    def hear(self, head: bytes, data: bytes) -> None:
        """One of them."""
        if not data.startswith(_TAKEN):
            self.fail(self._reason(head, data))
        self._missing -= 1
        if not self._missing and not self.future.done():
            self.future.set_result(None)

    def fail(self, error: Exception) -> None:
        """Some of them do not come."""
        if not self.future.done():
            self.future.set_exception(error)

    def _reason(self, head: bytes, data: bytes) -> BrokerError:
        if head:
            return nobody_there(self._wire.settings.shown)
        refused = self._wire.understood(data)
        return refused if isinstance(refused, BrokerError) else BrokerError(f"{self._wire.settings.shown}: {data!r}")


class Publishing:
    """The way of events to JetStream."""

    def __init__(self, carrier: Carrier) -> None:
        self._wire = carrier.wire
        self._names = carrier.names
        self._streams = carrier.streams
        self._channels = carrier.channels

    async def publish(self, events: Sequence[Event]) -> None:
        """Hand them over; returns when all are acknowledged."""
        link = await self._wire.link()
        for name in {event.type for event in events}:
            await self._streams.partitions(self._channels.of(name))
        messages = [self._message(event, link) for event in events]
        try:
            for batch in _batches(messages):
                await self._send(link, batch)
        except BrokerError:
            self._streams.forget()  # a stream that was removed is made again
            raise

    def _message(self, event: Event, link: Link) -> Outgoing:
        subject, head, data = self.addressed(event)
        most = link.info.get("max_payload", 0)
        if most and len(head) + len(data) > most:
            told = f"with its headers it has {len(head) + len(data)} bytes, and the server takes {most}"
            raise EventRefused(event.id, told)
        return subject, head, data

    def addressed(self, event: Event) -> Outgoing:
        """Subject, headers and data of an event's message."""
        channel = self._channels.of(event.type)
        partition = partition_of(event.delivery_key, self._streams.known(channel) or self._wire.settings.partitions)
        try:
            subject = self._names.subject(channel, partition, event.type).encode()
            return subject, *written(event)
        except UnicodeEncodeError as error:
            raise InvalidEvent("", f"it cannot be written as UTF-8 ({error})", event_id=event.id) from error

    async def _send(self, link: Link, batch: Sequence[Outgoing]) -> None:
        tally = Tally(self._wire, len(batch))
        reply = link.expect(tally)
        try:
            link.send(b"".join([command(subject, data, reply=reply, head=head) for subject, head, data in batch]))
            async with asyncio.timeout(link.timeout):
                await tally.future
        except TimeoutError:
            raise link.silent() from None
        finally:
            link.expect_no_more(reply)


def _batches(messages: list[Outgoing]) -> list[list[Outgoing]]:
    cut: list[list[Outgoing]] = []
    size = _BYTES + 1
    for message in messages:
        size += len(message[1]) + len(message[2])
        if size > _BYTES or len(cut[-1]) == _AT_ONCE:
            cut.append([])
            size = 0
        cut[-1].append(message)
    return cut


def _seen(future: "asyncio.Future[None]") -> None:
    if not future.cancelled():
        future.exception()
