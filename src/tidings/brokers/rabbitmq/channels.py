"""Channels of a connection, with less to do for each message than the client library's: no task, future or lock.

`Deliveries` hands what is delivered to a function; `Confirmed` publishes many messages at a time and waits for their
confirmations together. Both take over one step of `aiormq.Channel`; the rest of the protocol is left to it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from tidings.brokers.rabbitmq.library import ChannelFrame, ContentHeader, Properties, aiormq, commands, marshal
from tidings.errors import BrokerError, EventRefused

_AT_A_TIME: Final = 128  # messages that are written in one piece
_REMEMBERED: Final = 4096

Sink = Callable[[Any, ContentHeader, bytes], None]


class Deliveries(aiormq.Channel):
    """A channel whose deliveries are given to `sink` as they come."""

    sink: Sink

    async def consume(self, queue: str, sink: Sink, *, prefetch: int, no_ack: bool = False) -> None:
        """Have a queue's messages from now on."""
        self.sink = sink
        if not no_ack:
            await self.basic_qos(prefetch_count=min(prefetch, 65535))
        await self.basic_consume(queue, _unused, no_ack=no_ack)

    async def acknowledge(self, upto: int | None, others: Sequence[int]) -> None:
        """All up to this tag, and these; returns when it is out of this process, which may be killed then."""
        acks = [] if upto is None else [commands.Basic.Ack(upto, multiple=True)]
        acks += [commands.Basic.Ack(tag) for tag in others]
        if self.is_closed:
            raise why_closed(self)
        written = self.create_future()
        await self.write_queue.put(ChannelFrame.marshall(self.number, acks, written))
        await written

    async def _on_deliver_frame(self, frame: Any) -> None:
        header: Any = await self._get_frame()
        body, left = b"", header.body_size
        while left > 0:
            piece: Any = await self._get_frame()
            body = body + piece.value if body else piece.value
            left -= len(piece.value)
        self.sink(frame, header, body)


class Parcel(msgspec.Struct):
    """A message to be published."""

    routing_key: str
    properties: Properties
    body: bytes
    event_id: str
    exchange: str = ""  # the one that knows each queue by its name
    mandatory: bool = False  # it must have reached a queue


class _Batch:
    """Messages of one publish that are confirmed together."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.failure: BrokerError | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def confirmed(self) -> None:
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(None)


class Confirmed(aiormq.Channel):
    """A channel that publishes, each message confirmed once it is safe in all queues that it belongs to."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._number = 0
        self._waiting: OrderedDict[int, _Batch] = OrderedDict()
        self._writing = asyncio.Lock()
        self._starts: dict[tuple[str, str, bool], bytes] = {}

    async def publish(self, parcels: Sequence[Parcel]) -> None:
        """Returns when all are confirmed.

        Raises:
            EventRefused: one does not fit into the protocol; none was sent.
            BrokerError: one was not taken.
        """
        payloads = [self._payload(each) for each in parcels]
        batch, closing = _Batch(len(payloads)), self.closing
        for start in range(0, len(payloads), _AT_A_TIME):
            await self._write(payloads[start : start + _AT_A_TIME], batch)
        await asyncio.wait([batch.done, closing], return_when=asyncio.FIRST_COMPLETED)
        if not batch.done.done():
            raise why_closed(self)
        if closing is not self._closing:
            closing.cancel()
        if batch.failure is not None:
            raise batch.failure

    async def _write(self, payloads: Sequence[bytes], batch: _Batch) -> None:
        async with self._writing:  # messages are confirmed by their numbers, so these go in the order of writing
            if self.is_closed:
                raise why_closed(self)
            await self.write_queue.put(ChannelFrame(b"".join(payloads), should_close=False))
            for _ in payloads:
                self._number += 1
                self._waiting[self._number] = batch

    def _payload(self, parcel: Parcel) -> bytes:
        try:
            header = marshal(ContentHeader(0, len(parcel.body), parcel.properties), self.number)
        except (ValueError, TypeError, UnicodeError) as error:
            raise EventRefused(parcel.event_id, f"its headers cannot be written for AMQP: {error}") from None
        if len(header) > self.max_content_size:
            raise EventRefused(parcel.event_id, f"its headers have more than {self.max_content_size} bytes")
        bodies = [marshal(each, self.number) for each in self._split_body(parcel.body)]
        return b"".join([self._start(parcel), header, *bodies])

    def _start(self, parcel: Parcel) -> bytes:
        which = (parcel.exchange, parcel.routing_key, parcel.mandatory)
        found = self._starts.get(which)
        if found is None:
            method = commands.Basic.Publish(0, *which)
            found = marshal(method, self.number)
            if len(self._starts) < _REMEMBERED:
                self._starts[which] = found
        return found

    async def _on_confirm_frame(self, frame: Any) -> None:
        waiting, number = self._waiting, frame.delivery_tag
        failure = None if isinstance(frame, commands.Basic.Ack) else BrokerError("the server could not keep an event")
        numbers = [number]
        if frame.multiple:
            numbers = []
            for each in waiting:
                if each > number:
                    break
                numbers.append(each)
        for each in numbers:
            batch = waiting.pop(each)
            batch.failure = failure or batch.failure
            batch.confirmed()

    async def _on_return_frame(self, frame: Any) -> None:
        """A message that had to reach a queue, and did not; it is confirmed right behind."""
        header: Any = await self._get_frame()
        await self._read_content(frame, header)
        for batch in set(self._waiting.values()):
            batch.failure = BrokerError(f"the queue {frame.routing_key!r} is gone: subscribe again")


def why_closed(channel: aiormq.Channel) -> Exception:
    """What has ended a channel."""
    closing = channel.closing
    reason = closing.exception() if closing.done() and not closing.cancelled() else None
    return reason if isinstance(reason, Exception) else ConnectionError("the connection was closed")


async def _unused(message: object) -> None:
    """The client library asks for a function; what is delivered goes past it."""
