"""Kafka: aiokafka and confluent-kafka, which take thousands and commit them at once; and FastStream upon the first."""

import asyncio
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import Consumer
from faststream.kafka import KafkaBroker

from benchmarks.brokers.client import CHANNEL, GROUP, PARTITIONS, Client, all_of, cloud_messages, decode
from benchmarks.brokers.contest import Carrier, Goals
from benchmarks.brokers.peer import FastStream, Order
from benchmarks.orders import OrderCreated
from tests.servers.kafka import KafkaServer

_MOST = 5000  # taken and committed at once: few commits, and little that lay ready before the first was handled
_LOOK = 0.1  # seconds that librdkafka waits for so many


class WarmKafka(KafkaServer):
    """As in production: all of Java's compilers, and not only the one that starts soon."""

    machine = ()


class AioKafka(Client):
    """A topic of as many partitions as tidings has; each key in one of them."""

    async def open(self) -> None:
        """Who publishes connects; who consumes joins the group later, and is given its partitions."""
        self._producer = None
        if self.handle is None:
            self._producer = AIOKafkaProducer(
                bootstrap_servers=server_of(self.url), acks="all", enable_idempotence=True
            )
            await self._producer.start()

    async def close(self) -> None:
        """Let go of the connection."""
        if self._producer is not None:
            await self._producer.stop()

    async def prepare(self) -> None:
        """The topic."""
        await make_topic(self.url)

    def messages(self, orders: Sequence[OrderCreated]) -> list[Any]:
        """Keys, headers and values in bytes."""
        made = cloud_messages(orders, "ce_")
        return [
            (it.key.encode(), [(name, value.encode()) for name, value in it.headers.items()], it.data) for it in made
        ]

    async def publish(self, messages: Sequence[Any]) -> None:
        """Send all, then wait for all."""
        assert self._producer is not None
        send = self._producer.send
        await all_of([await send(CHANNEL, data, key=key, headers=headers) for key, headers, data in messages])

    async def consume(self) -> None:
        """Until cancelled."""
        handle = self.handle
        assert handle is not None
        joined = AIOKafkaConsumer(
            CHANNEL,
            bootstrap_servers=server_of(self.url),
            group_id=GROUP,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        async with joined as consumer:
            while True:
                for messages in (await consumer.getmany(timeout_ms=1000, max_records=_MOST)).values():
                    for message in messages:
                        await handle(decode(message.value))
                await consumer.commit()


class Confluent(AioKafka):
    """The same topic, consumed with librdkafka: batches from a thread, as `consume` blocks, and a commit for each."""

    async def consume(self) -> None:
        """Until cancelled. The headers are looked at, as whoever wants an event's type has to."""
        handle, loop = self.handle, asyncio.get_running_loop()
        assert handle is not None
        settings = {"bootstrap.servers": server_of(self.url), "group.id": GROUP, "enable.auto.commit": False}
        consumer = Consumer(settings | {"auto.offset.reset": "earliest"})
        consumer.subscribe([CHANNEL])
        try:
            while True:
                messages = await loop.run_in_executor(None, consumer.consume, _MOST, _LOOK)
                for message in messages:
                    message.headers()
                    await handle(decode(message.value()))
                if messages:
                    await loop.run_in_executor(None, partial(consumer.commit, asynchronous=False))
        finally:
            consumer.close()


class FastStreamOnKafka(FastStream):
    """As it comes: it commits now and then, by itself; with a commit an event it would be far slower."""

    async def open(self) -> None:
        """Connect."""
        self.broker = KafkaBroker(server_of(self.url), logger=None, acks="all", enable_idempotence=True)
        await super().open()
        if self.handle is None:
            await self.broker.start()

    async def prepare(self) -> None:
        """The topic."""
        await make_topic(self.url)

    def subscriber(self) -> Any:
        """A member of the group."""
        return self.broker.subscriber(CHANNEL, group_id=GROUP, auto_offset_reset="earliest")

    def published(self, order: Order, headers: dict[str, str], key: str) -> Awaitable[Any]:
        """By its key."""
        return self.broker.publish(order, CHANNEL, key=key.encode(), headers=headers)


def server_of(url: str) -> str:
    """Host and port."""
    return url.removeprefix("kafka://")


async def make_topic(url: str) -> None:
    """The topic; a group need not be made, as it begins with what is there."""
    admin = AIOKafkaAdminClient(bootstrap_servers=server_of(url))
    await admin.start()
    await admin.create_topics([NewTopic(CHANNEL, num_partitions=PARTITIONS, replication_factor=1)])
    await admin.close()


CARRIER = Carrier(
    "Kafka",
    WarmKafka,
    {"aiokafka": AioKafka},
    FastStreamOnKafka,
    Goals(10, 0.4, 3),
    consumers={"confluent-kafka": Confluent},
)
