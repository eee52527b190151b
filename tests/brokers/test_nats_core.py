"""NATS without JetStream keeps the promises of a broker that it makes."""

from asyncio import to_thread
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest

from tests.brokers.nats_words import own_prefix, url_of
from tests.servers.fixtures import FreshServer
from tests.servers.nats import NatsServer
from tidings.brokers import Broker, Capabilities
from tidings.brokers import connect as connect_to
from tidings.brokers.nats import core
from tidings.testing.broker_conformance import *  # noqa: F403  # the suite is this file's content
from tidings.testing.broker_conformance import settling, words


@pytest.fixture
def server(request: pytest.FixtureRequest, nats_server: NatsServer) -> NatsServer:
    """The shared server; for who restarts it, one of its own."""
    if "restart" not in request.fixturenames:
        return nats_server
    fresh: FreshServer = request.getfixturevalue("fresh_server")
    return fresh(NatsServer)


@pytest.fixture
def url(server: NatsServer) -> str:
    return url_of(server, prefix=own_prefix(), jetstream="no")


@pytest.fixture
def capabilities() -> Capabilities:
    return Capabilities(
        durable=False,
        groups=True,
        replay=False,
        order="none",
        delay=False,
        dead_letters=False,
        fsync=False,
        lag=False,
        remembers=False,
        acknowledgement=core.CAPABILITIES.acknowledgement,
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
def restart(server: NatsServer) -> Callable[[], Awaitable[None]]:
    async def restart() -> None:
        await to_thread(server.restart)

    return restart


async def test_who_claims_to_remember_and_does_not_is_found_out(
    connect: Callable[[], Awaitable[Broker]], capabilities: Capabilities, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "LIMIT", 1.0)
    claimed = msgspec.structs.replace(capabilities, remembers=True)

    with pytest.raises(AssertionError, match="still missing"):
        await settling.test_what_was_not_settled_comes_again_when_its_member_left(connect, claimed)
