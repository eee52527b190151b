"""Redis Streams: redis-py, which reads by the batch and acknowledges by the batch; and FastStream upon it."""

from collections.abc import Awaitable, Sequence
from typing import Any

from faststream.redis import RedisBroker, StreamSub
from redis.asyncio import Redis

from benchmarks.brokers.client import AT_ONCE, CHANNEL, GROUP, Client, all_of, cloud_messages, decode
from benchmarks.brokers.contest import Carrier, Goals
from benchmarks.brokers.peer import FastStream, Order
from benchmarks.orders import OrderCreated, batches
from tests.servers.redis import RedisServer

_CALLS = 50  # of FastStream at once; each takes a connection, and with 500 of them it was slower


class RelaxedRedis(RedisServer):
    """Flushed every second: waiting for the disk at each acknowledgement would hide what a library costs."""

    def __init__(self) -> None:
        super().__init__(appendfsync="everysec")


class RedisPy(Client):
    """One stream, XREADGROUP and one XACK for what it brought."""

    async def open(self) -> None:
        """Connect; answers stay bytes."""
        self._redis = Redis.from_url(self.url)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._redis.aclose()

    async def prepare(self) -> None:
        """The stream and its group."""
        await make_group(self._redis)

    def messages(self, orders: Sequence[OrderCreated]) -> list[Any]:
        """The fields of entries."""
        return [it.headers | {"data": it.data} for it in cloud_messages(orders, "ce_")]

    async def publish(self, messages: Sequence[Any]) -> None:
        """In one pipeline."""
        pipeline = self._redis.pipeline(transaction=False)
        for fields in messages:
            pipeline.xadd(CHANNEL, fields)
        await pipeline.execute()

    async def consume(self) -> None:
        """Until cancelled."""
        handle, redis = self.handle, self._redis
        assert handle is not None
        while True:
            for _, entries in await redis.xreadgroup(GROUP, "1", {CHANNEL: ">"}, count=AT_ONCE, block=1000):
                for _, fields in entries:
                    await handle(decode(fields[b"data"]))
                await redis.xack(CHANNEL, GROUP, *[id for id, _ in entries])


class FastStreamOnRedis(FastStream):
    """It reads by the batch as well, and acknowledges each."""

    async def open(self) -> None:
        """Connect."""
        self.broker = RedisBroker(self.url, logger=None)
        await super().open()

    async def prepare(self) -> None:
        """The stream and its group."""
        async with Redis.from_url(self.url) as redis:
            await make_group(redis)

    def subscriber(self) -> Any:
        """A member of the group."""
        return self.broker.subscriber(stream=StreamSub(CHANNEL, group=GROUP, consumer="1", max_records=AT_ONCE))

    def published(self, order: Order, headers: dict[str, str], key: str) -> Awaitable[Any]:
        """A stream has no keys."""
        return self.broker.publish(order, stream=CHANNEL, headers=headers)

    async def publish(self, messages: Sequence[Any]) -> None:
        """Fewer calls at once."""
        for some in batches(messages, _CALLS):
            await all_of([self.published(*message) for message in some])


async def make_group(redis: Redis) -> None:
    """The stream and its group, which hears it from its beginning."""
    await redis.xgroup_create(CHANNEL, GROUP, id="0", mkstream=True)


CARRIER = Carrier("Redis Streams", RelaxedRedis, {"redis-py": RedisPy}, FastStreamOnRedis, Goals(12, 0.5, 3))
