"""Pulsar keeps the promises of a broker."""

import itertools
import uuid
from asyncio import to_thread
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.servers.fixtures import FreshServer
from tests.servers.pulsar import PulsarServer
from tidings.brokers import Broker, Capabilities
from tidings.brokers import connect as connect_to
from tidings.testing.broker_conformance import *  # noqa: F403  # the suite is this file's content

_names = itertools.count()


@pytest.fixture
def server(request: pytest.FixtureRequest) -> PulsarServer:
    if "restart" in request.fixturenames:
        fresh: FreshServer = request.getfixturevalue("fresh_server")
        return fresh(PulsarServer)
    shared: PulsarServer = request.getfixturevalue("pulsar_server")
    return shared


@pytest.fixture
def url(server: PulsarServer) -> str:
    return f"{server.url}?prefix=t{next(_names)}{uuid.uuid4().hex[:6]}.&admin={server.admin_url}"


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
        max_size=5_000_000,
        acknowledgement="on the disks of as many bookies as the namespace's acknowledgement quorum asks for",
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
def restart(server: PulsarServer) -> Callable[[], Awaitable[None]]:
    async def restart() -> None:
        await to_thread(server.restart)

    return restart
