"""One thing told to each kind of server by its ordinary client, and asked for again: what has to outlive a kill."""

import asyncio
from collections.abc import Callable, Mapping

import aiomqtt
import aiormq
import confluent_kafka
import nats
import psycopg
import pulsar  # type: ignore[import-untyped]  # it has no types
import redis
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.servers.kafka import KafkaServer
from tests.servers.mosquitto import MosquittoServer
from tests.servers.nats import NatsServer
from tests.servers.postgres import PostgresServer
from tests.servers.pulsar import PulsarServer
from tests.servers.rabbitmq import RabbitmqServer
from tests.servers.redis import RedisServer
from tests.servers.server import Server

WITHIN = 30  # seconds an answer may take
WORD = b"kept"
_TOPIC = "persistent://public/default/told"


def tell(server: Server) -> None:
    """Have it keep `WORD`, and wait until it says that it does."""
    _CLIENTS[type(server)][0](server)


def told(server: Server) -> bytes | None:
    """What it kept."""
    return _CLIENTS[type(server)][1](server)


def _tell_redis(server: Server) -> None:
    with redis.Redis(port=server.port) as client:
        client.set("told", WORD)


def _told_redis(server: Server) -> bytes | None:
    with redis.Redis(port=server.port) as client:
        kept = client.get("told")
    return kept if isinstance(kept, bytes) else None


def _tell_postgres(server: Server) -> None:
    with psycopg.connect(server.url) as connection:
        connection.execute("create table told as select %s::bytea as word", (WORD,))


def _told_postgres(server: Server) -> bytes | None:
    with psycopg.connect(server.url) as connection:
        row = connection.execute("select word from told").fetchone()
    return row[0] if row else None


def _tell_nats(server: Server) -> None:
    async def run() -> None:
        client = await nats.connect(server.url, connect_timeout=WITHIN)
        await client.jetstream(timeout=WITHIN).add_stream(name="told", subjects=["told"])
        await client.jetstream(timeout=WITHIN).publish("told", WORD)
        await client.close()

    asyncio.run(run())


def _told_nats(server: Server) -> bytes | None:
    async def run() -> bytes | None:
        client = await nats.connect(server.url, connect_timeout=WITHIN)
        kept = await client.jetstream(timeout=WITHIN).get_last_msg("told", "told")
        await client.close()
        return kept.data

    return asyncio.run(run())


def _tell_rabbitmq(server: Server) -> None:
    async def run() -> None:
        async with aiormq.Connection(server.url) as connection:
            channel = await connection.channel(publisher_confirms=True)
            await channel.queue_declare("told", durable=True)
            properties = aiormq.spec.Basic.Properties(delivery_mode=2)
            await channel.basic_publish(WORD, routing_key="told", properties=properties)

    asyncio.run(run())


def _told_rabbitmq(server: Server) -> bytes | None:
    async def run() -> bytes | None:
        async with aiormq.Connection(server.url) as connection:
            channel = await connection.channel()
            return (await channel.basic_get("told")).body

    return asyncio.run(run())


def _tell_mosquitto(server: Server) -> None:
    async def run() -> None:
        async with aiomqtt.Client("127.0.0.1", server.port) as client:
            await client.publish("told", WORD, qos=1, retain=True)

    asyncio.run(run())


def _told_mosquitto(server: Server) -> bytes | None:
    async def run() -> bytes | None:
        async with asyncio.timeout(WITHIN), aiomqtt.Client("127.0.0.1", server.port) as client:
            await client.subscribe("told", qos=1)
            kept = (await anext(aiter(client.messages))).payload
            return kept if isinstance(kept, bytes) else None

    return asyncio.run(run())


def _tell_kafka(server: Server) -> None:
    administration = AdminClient({"bootstrap.servers": f"127.0.0.1:{server.port}"})
    administration.create_topics([NewTopic("told", num_partitions=1)])["told"].result(WITHIN)
    producer = confluent_kafka.Producer({"bootstrap.servers": f"127.0.0.1:{server.port}", "acks": "all"})
    producer.produce("told", WORD)
    assert producer.flush(WITHIN) == 0


def _told_kafka(server: Server) -> bytes | None:
    consumer = confluent_kafka.Consumer({"bootstrap.servers": f"127.0.0.1:{server.port}", "group.id": "told"})
    consumer.assign([confluent_kafka.TopicPartition("told", 0, 0)])
    kept = consumer.poll(WITHIN)
    consumer.close()
    value = kept.value() if kept else None
    return value if isinstance(value, bytes) else None


def _quiet(server: Server) -> pulsar.Client:
    return pulsar.Client(server.url, logger=pulsar.FileLogger(pulsar.LoggerLevel.Error, "/dev/null"))


def _tell_pulsar(server: Server) -> None:
    client = _quiet(server)
    client.create_producer(_TOPIC).send(WORD)
    client.close()


def _told_pulsar(server: Server) -> bytes | None:
    client = _quiet(server)
    kept: bytes = client.create_reader(_TOPIC, pulsar.MessageId.earliest).read_next(WITHIN * 1000).data()
    client.close()
    return kept


_CLIENTS: Mapping[type[Server], tuple[Callable[[Server], None], Callable[[Server], bytes | None]]] = {
    RedisServer: (_tell_redis, _told_redis),
    PostgresServer: (_tell_postgres, _told_postgres),
    NatsServer: (_tell_nats, _told_nats),
    RabbitmqServer: (_tell_rabbitmq, _told_rabbitmq),
    MosquittoServer: (_tell_mosquitto, _told_mosquitto),
    KafkaServer: (_tell_kafka, _told_kafka),
    PulsarServer: (_tell_pulsar, _told_pulsar),
}
