"""Kafka keeps the promises of a broker."""

import itertools
import uuid
from asyncio import to_thread
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.servers.fixtures import FreshServer
from tests.servers.kafka import KafkaServer
from tidings.brokers import Broker, Capabilities
from tidings.brokers import connect as connect_to
from tidings.testing.broker_conformance import *  # noqa: F403  # the suite is this file's content

SHORT = "timeout=20&session=2&discovery=0.1"
_names = itertools.count()


@pytest.fixture
def restarts(request: pytest.FixtureRequest) -> bool:
    return "restart" in request.fixturenames


@pytest.fixture
def server(request: pytest.FixtureRequest, restarts: bool) -> KafkaServer:
    if restarts:
        fresh: FreshServer = request.getfixturevalue("fresh_server")
        return fresh(KafkaServer)
    shared: KafkaServer = request.getfixturevalue("kafka_server")
    return shared


@pytest.fixture
def url(server: KafkaServer) -> str:
    return f"{server.url}?prefix=t{next(_names)}{uuid.uuid4().hex[:6]}.&partitions=4&{SHORT}"


@pytest.fixture
def capabilities() -> Capabilities:
    return Capabilities(
        durable=True,
        groups=True,
        replay=True,
        order="channel",
        delay=False,
        dead_letters=True,
        fsync=False,
        max_size=1_000_000,
        acknowledgement="in the memory of all in-sync copies, which write it to disk in their own time",
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
def restart(server: KafkaServer) -> Callable[[], Awaitable[None]]:
    async def restart() -> None:
        await to_thread(server.restart)

    return restart
