"""JetStream: nats-py, which fetches by the batch and acknowledges each; and FastStream upon it."""

from collections.abc import Awaitable, Sequence
from typing import Any

import nats
from faststream.nats import JStream, NatsBroker, PullSub
from nats.errors import TimeoutError as NothingThere
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig

from benchmarks.brokers.client import AT_ONCE, CHANNEL, GROUP, Client, all_of, cloud_messages, decode
from benchmarks.brokers.contest import Carrier, Goals
from benchmarks.brokers.peer import FastStream, Order
from benchmarks.orders import OrderCreated
from tests.servers.nats import NatsServer

_SUBJECT = f"{CHANNEL}.created"


class NatsPy(Client):
    """One stream with one subject, on disk, and one pull consumer."""

    async def open(self) -> None:
        """Connect."""
        self._nats = await nats.connect(self.url)
        self._stream = self._nats.jetstream()

    async def close(self) -> None:
        """Let go of the connection."""
        await self._nats.close()

    async def prepare(self) -> None:
        """The stream and its consumer."""
        await make_consumer(self._stream)

    def messages(self, orders: Sequence[OrderCreated]) -> list[Any]:
        """Headers and data; the server drops what has an id that it knows, for tidings too."""
        return [(it.headers | {"Nats-Msg-Id": it.id}, it.data) for it in cloud_messages(orders, "ce-")]

    async def publish(self, messages: Sequence[Any]) -> None:
        """Send all, then wait for all."""
        publish = self._stream.publish_async
        await all_of([await publish(_SUBJECT, data, headers=headers) for headers, data in messages])

    async def consume(self) -> None:
        """Until cancelled."""
        handle = self.handle
        assert handle is not None
        subscription = await self._stream.pull_subscribe_bind(GROUP, CHANNEL)
        while True:
            try:
                messages = await subscription.fetch(AT_ONCE, timeout=1)
            except NothingThere:
                continue
            for message in messages:
                await handle(decode(message.data))
                await message.ack()


class FastStreamOnNats(FastStream):
    """A pull consumer as well, with the same batch."""

    prefix = "ce-"

    async def open(self) -> None:
        """Connect."""
        self.broker = NatsBroker(self.url, logger=None)
        await super().open()

    async def prepare(self) -> None:
        """The stream and its consumer."""
        connection = await nats.connect(self.url)
        await make_consumer(connection.jetstream())
        await connection.close()

    def subscriber(self) -> Any:
        """A member of the group."""
        stream, pull = JStream(CHANNEL, declare=False), PullSub(AT_ONCE, timeout=1)
        return self.broker.subscriber(_SUBJECT, stream=stream, durable=GROUP, pull_sub=pull)

    def published(self, order: Order, headers: dict[str, str], key: str) -> Awaitable[Any]:
        """A subject has no keys."""
        return self.broker.publish(order, _SUBJECT, headers=headers, stream=CHANNEL, timeout=30)


async def make_consumer(stream: JetStreamContext) -> None:
    """The stream and the group's consumer, whose messages are acknowledged one by one."""
    await stream.add_stream(name=CHANNEL, subjects=[f"{CHANNEL}.>"])
    consumer = ConsumerConfig(
        durable_name=GROUP, filter_subject=_SUBJECT, ack_policy=AckPolicy.EXPLICIT, max_ack_pending=2 * AT_ONCE
    )
    await stream.add_consumer(CHANNEL, consumer)


CARRIER = Carrier("JetStream", NatsServer, {"nats-py": NatsPy}, FastStreamOnNats, Goals(3, 0.75))
