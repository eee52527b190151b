"""Redis Streams keep the promises of a broker."""

import itertools
import os
from asyncio import to_thread
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.servers.fixtures import FreshServer
from tests.servers.redis import RedisServer
from tidings.brokers import Broker, Capabilities
from tidings.brokers import connect as connect_to
from tidings.brokers.redis import streams
from tidings.testing.broker_conformance import *  # noqa: F403  # the suite is this file's content

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
    return f"{server.url}?timeout=20&prefix=suite-{os.getpid()}-{next(_names)}:"


@pytest.fixture
def capabilities() -> Capabilities:
    return Capabilities(
        durable=True,
        groups=True,
        replay=True,
        order="channel",
        delay=True,
        dead_letters=True,
        fsync=True,
        acknowledgement=streams.CAPABILITIES.acknowledgement,
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
