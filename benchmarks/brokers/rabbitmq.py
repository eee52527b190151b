"""RabbitMQ: aiormq and aio-pika upon it, which acknowledge each; and FastStream upon both. Queues are quorum queues."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import aio_pika
import aiormq
from aiormq.abc import DeliveredMessage
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue

from benchmarks.brokers.client import AT_ONCE, CHANNEL, Client, all_of, cloud_messages, decode
from benchmarks.brokers.contest import Carrier, Goals
from benchmarks.brokers.peer import FastStream, Order
from benchmarks.orders import OrderCreated
from tests.servers.rabbitmq import RabbitmqServer

_PREFIX = "cloudEvents:"
_QUORUM = {"x-queue-type": "quorum"}


class Aiormq(Client):
    """One queue, and a channel with publisher confirms."""

    async def open(self) -> None:
        """Connect."""
        self._connection = await aiormq.connect(self.url)
        self._channel = await self._connection.channel()

    async def close(self) -> None:
        """Let go of the connection."""
        await self._connection.close()

    async def prepare(self) -> None:
        """The queue, which is the group."""
        await make_queue(self.url)

    def messages(self, orders: Sequence[OrderCreated]) -> list[Any]:
        """Properties and bodies."""
        made = cloud_messages(orders, _PREFIX)
        return [(aiormq.spec.Basic.Properties(headers=it.headers, delivery_mode=2), it.data) for it in made]

    async def publish(self, messages: Sequence[Any]) -> None:
        """So many calls together, each waiting for its confirm."""
        publish = self._channel.basic_publish
        await all_of([publish(data, routing_key=CHANNEL, properties=properties) for properties, data in messages])

    async def consume(self) -> None:
        """Until cancelled."""
        handle, channel = self.handle, self._channel
        assert handle is not None

        async def receive(message: DeliveredMessage) -> None:
            await handle(decode(message.body))
            await channel.basic_ack(message.delivery_tag, wait=False)

        await channel.basic_qos(prefetch_count=AT_ONCE)
        await channel.basic_consume(CHANNEL, receive)
        await asyncio.Event().wait()


class AioPika(Client):
    """The same, a floor higher."""

    async def open(self) -> None:
        """Connect."""
        self._connection = await aio_pika.connect(self.url)
        self._channel = await self._connection.channel()

    async def close(self) -> None:
        """Let go of the connection."""
        await self._connection.close()

    async def prepare(self) -> None:
        """The queue, which is the group."""
        await make_queue(self.url)

    def messages(self, orders: Sequence[OrderCreated]) -> list[Any]:
        """Its messages."""
        made = cloud_messages(orders, _PREFIX)
        return [aio_pika.Message(it.data, headers=dict(it.headers), delivery_mode=2) for it in made]

    async def publish(self, messages: Sequence[Any]) -> None:
        """So many calls together, each waiting for its confirm."""
        publish = self._channel.default_exchange.publish
        await all_of([publish(message, CHANNEL) for message in messages])

    async def consume(self) -> None:
        """Until cancelled."""
        handle = self.handle
        assert handle is not None

        async def receive(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            await handle(decode(message.body))
            await message.ack()

        await self._channel.set_qos(prefetch_count=AT_ONCE)
        await (await self._channel.get_queue(CHANNEL)).consume(receive)
        await asyncio.Event().wait()


class FastStreamOnRabbitmq(FastStream):
    """The same queue, with the same prefetch."""

    prefix = _PREFIX

    async def open(self) -> None:
        """Connect."""
        self.broker = RabbitBroker(self.url, logger=None, default_channel=Channel(prefetch_count=AT_ONCE))
        await super().open()
        if self.handle is None:
            await self.broker.start()

    async def prepare(self) -> None:
        """The queue, which is the group."""
        await make_queue(self.url)

    def subscriber(self) -> Any:
        """A member of the group."""
        return self.broker.subscriber(RabbitQueue(CHANNEL, queue_type=QueueType.QUORUM, durable=True, declare=False))

    def published(self, order: Order, headers: dict[str, str], key: str) -> Awaitable[Any]:
        """A queue has no keys."""
        return self.broker.publish(order, CHANNEL, headers=headers, persist=True)


async def make_queue(url: str) -> None:
    """The queue, on disk."""
    connection = await aiormq.connect(url)
    channel = await connection.channel()
    await channel.queue_declare(CHANNEL, durable=True, arguments=_QUORUM)
    await connection.close()


CARRIER = Carrier(
    "RabbitMQ", RabbitmqServer, {"aiormq": Aiormq, "aio-pika": AioPika}, FastStreamOnRabbitmq, Goals(1.8, 0.8)
)
