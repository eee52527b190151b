"""RabbitMQ keeps the promises of a broker."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.brokers.rabbitmq_words import mortal_server
from tests.servers.rabbitmq import RabbitmqServer
from tidings.brokers import Broker, Capabilities
from tidings.brokers import connect as connect_to
from tidings.testing.broker_conformance import *  # noqa: F403  # the suite is this file's content

LARGEST = 1_000_000


@pytest.fixture
def server(request: pytest.FixtureRequest) -> RabbitmqServer:
    if "restart" in request.fixturenames:
        return mortal_server()
    shared: RabbitmqServer = request.getfixturevalue("rabbitmq_server")
    return shared


@pytest.fixture
def url(server: RabbitmqServer) -> str:
    return f"{server.url}?timeout=20&prefix={uuid.uuid4().hex[:8]}.&partitions=2&session=2&max_size={LARGEST}"


@pytest.fixture
def capabilities() -> Capabilities:
    return Capabilities(
        durable=True,
        groups=True,
        replay=False,
        order="channel",
        delay=True,
        dead_letters=True,
        fsync=True,
        max_size=LARGEST,
        acknowledgement="on disk on a majority of the servers that keep each group's queue",
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
    await asyncio.gather(*(broker.close() for broker in connections))


@pytest.fixture
def restart(server: RabbitmqServer) -> Callable[[], Awaitable[None]]:
    async def restart() -> None:
        await asyncio.to_thread(server.restart)

    return restart
