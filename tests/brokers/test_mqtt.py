"""MQTT keeps the promises of a broker."""

import itertools
import uuid
from asyncio import to_thread
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.servers.fixtures import FreshServer
from tests.servers.mosquitto import MosquittoServer
from tidings.brokers import Broker, Capabilities
from tidings.brokers import connect as connect_to
from tidings.testing.broker_conformance import *  # noqa: F403  # the suite is this file's content

_names = itertools.count()


@pytest.fixture
def server(request: pytest.FixtureRequest) -> MosquittoServer:
    if "restart" in request.fixturenames:
        fresh: FreshServer = request.getfixturevalue("fresh_server")
        return fresh(MosquittoServer)
    shared: MosquittoServer = request.getfixturevalue("mosquitto_server")
    return shared


@pytest.fixture
def url(server: MosquittoServer) -> str:
    return f"{server.url}?timeout=20&prefix=t{next(_names)}{uuid.uuid4().hex[:6]}"


@pytest.fixture
def capabilities() -> Capabilities:
    return Capabilities(
        durable=True,
        groups=True,
        replay=False,
        order="channel",
        delay=False,
        dead_letters=False,
        fsync=False,
        lag=False,
        acknowledgement="in the memory of the server, which writes it down as often as it is set up to",
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
def restart(server: MosquittoServer) -> Callable[[], Awaitable[None]]:
    async def restart() -> None:
        await to_thread(server.restart)

    return restart
