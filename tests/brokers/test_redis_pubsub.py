"""Redis publish/subscribe keeps the promises of a broker that keeps nothing."""

import itertools
import os
from asyncio import to_thread
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.brokers.redis_words import AnotherClient
from tests.servers.fixtures import FreshServer
from tests.servers.redis import RedisServer
from tidings.brokers import Broker, Capabilities, Wanted
from tidings.brokers import connect as connect_to
from tidings.brokers.redis import pubsub
from tidings.errors import NotSupported
from tidings.testing.broker_conformance import *  # noqa: F403  # the suite is this file's content
from tidings.testing.broker_conformance.words import ids_of, new_event, take, take_arrivals

_names = itertools.count()


@pytest.fixture
def server(request: pytest.FixtureRequest, redis_server: RedisServer) -> RedisServer:
    """The shared server; for who restarts it, one of its own."""
    if "restart" not in request.fixturenames:
        return redis_server
    fresh: FreshServer = request.getfixturevalue("fresh_server")
    return fresh(RedisServer)


@pytest.fixture
def url(server: RedisServer) -> str:
    return f"{server.url.replace('redis:', 'redis+pubsub:')}?timeout=20&prefix=suite-{os.getpid()}-{next(_names)}:"


@pytest.fixture
def capabilities() -> Capabilities:
    return Capabilities(
        durable=False,
        groups=False,
        replay=False,
        order="total",
        delay=False,
        dead_letters=False,
        fsync=False,
        lag=False,
        acknowledgement=pubsub.CAPABILITIES.acknowledgement,
    )


@pytest.fixture
async def connect(url: str, capabilities: Capabilities) -> AsyncIterator[Callable[[], Awaitable[Broker]]]:
    connections: list[Broker] = []

    async def connect() -> Broker:
        broker = await connect_to(url)
        assert broker.capabilities == capabilities
        connections.append(broker)
        return broker

    yield connect
    for broker in connections:
        await broker.close()


@pytest.fixture
def restart(server: RedisServer) -> Callable[[], Awaitable[None]]:
    async def restart() -> None:
        await to_thread(server.restart)

    return restart


async def test_members_of_a_group_each_hear_everything_and_what_nobody_heard_is_gone(
    connect: Callable[[], Awaitable[Broker]],
) -> None:
    broker = await connect()
    await broker.publish([new_event(0)])

    async with broker.subscribe(["**"], group="g") as first, broker.subscribe(["order:*"], group="g") as second:
        await broker.publish([new_event(1), new_event(2)])
        heard = [await take(inbox, ["id-1", "id-2"]) for inbox in (first, second)]

    assert [ids_of(events) for events in heard] == [["id-1", "id-2"]] * 2


async def test_what_it_cannot_do_it_says_in_a_sentence(connect: Callable[[], Awaitable[Broker]]) -> None:
    broker = await connect()
    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish([new_event(0)])
        [arrival] = await inbox.receive()
        for refused in (
            inbox.retry(arrival, 1),
            inbox.reject(arrival, "no"),
            broker.letters(),
            broker.groups(),
        ):
            with pytest.raises(NotSupported, match="cannot"):
                await refused
    assert await broker.setup(Wanted(("order",)), apply=True) == []


async def test_a_reader_that_is_slow_misses_nothing_while_the_server_can_wait_for_it(
    connect: Callable[[], Awaitable[Broker]],
) -> None:
    broker = await connect()
    text = "x" * 1000
    async with broker.subscribe(["**"], group="g", prefetch=10) as inbox:
        for start in range(0, 4000, 500):
            await broker.publish([new_event(number, data=text) for number in range(start, start + 500)])
        arrived = ids_of(await take(inbox, [f"id-{number}" for number in range(4000)]))

    assert arrived == [f"id-{number}" for number in range(4000)]


async def test_a_message_nobody_can_read_is_handed_over_as_such_and_stops_nothing(
    connect: Callable[[], Awaitable[Broker]], server: RedisServer, url: str
) -> None:
    broker, prefix = await connect(), url.partition("prefix=")[2]
    async with broker.subscribe(["order:created"], group="g") as inbox:
        await AnotherClient(server).publish(f"{prefix}order", b"\xff")
        await broker.publish([new_event(1)])
        arrivals = await take_arrivals(inbox, ["id-1"])

    assert [(each.event.type, each.event.data) for each in arrivals[:1]] == [("tidings:unreadable", b"\xff")]
    assert arrivals[0].failure is not None
