"""How the members of a group share out the partitions of Redis, and what becomes of one that was taken for dead."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.brokers.another import RedisClient
from tests.brokers.carriers import REDIS
from tests.brokers.crew import Crew
from tests.brokers.words import going_on, numbered, own_name, received_of, url_of
from tests.servers.redis import RedisServer
from tidings.brokers import Broker, connect
from tidings.brokers.redis.inbox import StreamInbox
from tidings.errors import Fenced
from tidings.events import Event
from tidings.testing.broker_conformance.words import arrived_ids, ids_of, within

KEYS = 12


@pytest.fixture
def prefix() -> str:
    return f"{own_name()}:"


@pytest.fixture
def url(redis_server: RedisServer, prefix: str) -> str:
    return url_of(redis_server, prefix=prefix, partitions=4, session=1)


@pytest.fixture
async def broker(url: str) -> AsyncIterator[Broker]:
    broker = await connect(url)
    yield broker
    await broker.close()


async def owners(server: RedisServer, prefix: str) -> Counter[bytes]:
    """How many partitions each member has."""
    owned = await RedisClient(server).hgetall(f"{prefix}owners:g")
    return Counter(member for stream, member in owned.items() if b"stream:" in stream)


async def shared_out(server: RedisServer, prefix: str, expected: list[int]) -> None:
    async with within(f"{expected} partitions"):
        while sorted((await owners(server, prefix)).values()) != expected:
            pass


async def test_a_read_that_was_under_way_when_its_member_froze_takes_nothing_from_its_successor(
    broker: Broker, url: str, redis_server: RedisServer, prefix: str, tmp_path: Path, seed: int
) -> None:
    await broker.publish(numbered(0, 1))
    async with Crew(REDIS, url, tmp_path / "members", random.Random(seed)) as crew, going_on(broker) as reader:
        await crew.joins()
        await shared_out(redis_server, prefix, [2, 2])
        crew.freezes()
        await shared_out(redis_server, prefix, [4])
        await broker.publish(numbered(100, 200))
        await reader.hears(ids_of(numbered(100, 200)))


async def test_partitions_are_shared_out_evenly_and_handed_over_when_a_member_leaves(
    broker: Broker, url: str, redis_server: RedisServer, prefix: str
) -> None:
    await broker.publish([Event(source="shop", type="order:created")])
    async with going_on(broker):
        await shared_out(redis_server, prefix, [4])
        async with going_on(broker):
            await shared_out(redis_server, prefix, [2, 2])
            async with going_on(broker):
                await shared_out(redis_server, prefix, [1, 1, 2])
        await shared_out(redis_server, prefix, [4])


async def test_what_the_group_has_again_takes_no_partitions_place(
    broker: Broker, url: str, redis_server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has it, and whatever the members are called."""
    names = iter(["b", "a"])
    monkeypatch.setattr("tidings.brokers.redis.membership.new_id", lambda: f"{prefix}{next(names)}")
    await broker.publish([Event(source="shop", type="order:created")])
    async with going_on(broker):
        await shared_out(redis_server, prefix, [4])
        async with going_on(broker):
            await shared_out(redis_server, prefix, [2, 2])
            async with within("an owner of what the group has again"):
                while await RedisClient(redis_server).hget(f"{prefix}owners:g", f"{prefix}again:g") is None:
                    pass


async def test_more_is_asked_for_unasked_behind_a_full_batch_alone(broker: Broker) -> None:
    """Behind another one nothing lies ready, and what came is to be handled first."""
    await broker.publish([Event(id=str(n), source="shop", type="order:created", key="k") for n in range(30)])
    async with broker.subscribe(["**"], group="g") as inbox, within("all of them"):
        assert isinstance(inbox, StreamInbox)
        got = arrived_ids(await inbox.receive(10))
        assert (len(got), inbox.is_asking) == (10, True)
        while len(got) < 30:
            got += arrived_ids(await inbox.receive(10))
        for number in (30, 31):
            await broker.publish([Event(id=str(number), source="shop", type="order:created", key="k")])
            got += arrived_ids(await inbox.receive(10))
            assert not inbox.is_asking

    assert got == [str(number) for number in range(32)]


async def test_who_was_taken_for_dead_settles_nothing_and_is_handed_nothing_more(
    broker: Broker, redis_server: RedisServer, prefix: str
) -> None:
    await broker.publish([Event(id=str(n), source="shop", type="order:created", key="k") for n in range(3)])
    async with broker.subscribe(["**"], group="g") as inbox, within("its end"):
        arrivals = await inbox.receive(1)
        other = RedisClient(redis_server)
        [guard] = await other.keys(f"{prefix}guard:*")
        assert await other.delete(guard) == 1
        with pytest.raises(Fenced):
            await inbox.reject(arrivals[0], "too late")
        with pytest.raises(Fenced):
            await received_of(inbox, 4)
    async with broker.subscribe(["**"], group="g") as inbox, within("all of it again"):
        again = await received_of(inbox, 3)

    assert arrived_ids(again) == ["0", "1", "2"]


async def test_a_read_under_way_ends_with_the_guard_and_takes_no_event_that_comes_then(
    broker: Broker, redis_server: RedisServer, prefix: str
) -> None:
    other = RedisClient(redis_server)
    await broker.publish([Event(id="0", source="shop", type="order:created", key="k")])
    async with broker.subscribe(["**"], group="g") as inbox, within("its end"):
        await inbox.settle(await inbox.receive())
        receiving = asyncio.ensure_future(inbox.receive())
        [guard] = await other.keys(f"{prefix}guard:*")
        while not any(each["cmd"] == "xreadgroup" and "b" in each["flags"] for each in await other.client_list()):
            pass
        assert await other.delete(guard) == 1
        await broker.publish([Event(id="1", source="shop", type="order:created", key="k")])
        with pytest.raises(Fenced):
            await receiving
        streams = await other.keys(f"{prefix}stream:*")
        pending = [(await other.xpending(stream, "g"))["pending"] for stream in streams]

    assert sum(pending) == 0, "who was taken for dead was handed an event"
