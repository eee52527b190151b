"""What only a Redis server does to its clients: it has many databases, runs out of room, and is emptied by somebody."""

from asyncio import to_thread

import pytest

from tests.brokers.another import RedisClient
from tests.brokers.words import going_on, own_name, until, url_of
from tests.servers.fixtures import FreshServer
from tests.servers.redis import RedisServer
from tidings.brokers import Arrival, connect
from tidings.errors import BrokerError
from tidings.testing.broker_conformance.words import arrived_ids, new_event, within


async def test_the_database_is_the_one_that_is_said(redis_server: RedisServer) -> None:
    url, other = url_of(redis_server, prefix=own_name()), RedisClient(redis_server)
    await other.execute_command("SELECT", 3)
    await other.flushdb()
    broker = await connect(url.replace("?", "/3?"))
    await broker.publish([new_event(0)])
    await broker.close()

    assert (await other.info("keyspace")).keys() >= {"db3"}


async def test_a_server_without_room_says_so_and_takes_events_again_later(fresh_server: FreshServer) -> None:
    server = await to_thread(fresh_server, RedisServer)
    broker, other = await connect(url_of(server, prefix="")), RedisClient(server)
    await broker.publish([new_event(0)])
    await other.config_set("maxmemory", "1")

    with pytest.raises(BrokerError, match="refused: OOM"):
        await broker.publish([new_event(1)])
    await other.config_set("maxmemory", "0")
    await broker.publish([new_event(1)])
    arrived: list[Arrival] = []
    async with broker.subscribe(["**"], group="g") as inbox, within("both"):
        while len(arrived) < 2:
            arrived += await inbox.receive()
    await broker.close()

    assert sorted(arrived_ids(arrived)) == ["id-0", "id-1"]


async def test_what_somebody_emptied_is_made_again(fresh_server: FreshServer) -> None:
    server = await to_thread(fresh_server, RedisServer)
    broker = await connect(url_of(server, prefix=""))
    async with going_on(broker) as reader:
        await broker.publish([new_event(0)])
        await reader.hears(["id-0"])
        await RedisClient(server).flushall()
        await until(lambda: reader.failures, "the notice of it")
        await broker.publish([new_event(1)])
        await reader.hears(["id-1"])
    await broker.close()
