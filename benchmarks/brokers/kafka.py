"""Kafka: aiokafka, which takes thousands that were fetched and commits them at once; and FastStream upon it."""

from collections.abc import Awaitable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from faststream.kafka import KafkaBroker

from benchmarks.brokers.client import CHANNEL, GROUP, PARTITIONS, Client, all_of, cloud_messages, decode
from benchmarks.brokers.contest import Carrier, Goals
from benchmarks.brokers.peer import FastStream, Order
from benchmarks.orders import OrderCreated
from tests.servers.kafka import KafkaServer

_MOST = 5000  # taken and committed at once: few commits, and little that lay ready before the first was handled


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


CARRIER = Carrier("Kafka", WarmKafka, {"aiokafka": AioKafka}, FastStreamOnKafka, Goals(10, 0.4, 3))
