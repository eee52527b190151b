"""A log keeps the promises of a broker."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tidings.brokers import Broker, Capabilities
from tidings.brokers import connect as connect_to
from tidings.testing.broker_conformance import *  # noqa: F403  # the suite is this file's content


def of_a_log(*, durable: bool) -> Capabilities:
    return Capabilities(
        durable=durable,
        groups=True,
        replay=True,
        order="total",
        delay=True,
        dead_letters=True,
        fsync=durable,
        atomic=True,
        acknowledgement="committed, and on disk" if durable else "in the memory of this process",
    )


CLAIMS = {"memory": of_a_log(durable=False), "postgres": of_a_log(durable=True), "sqlite": of_a_log(durable=True)}
_names = itertools.count()


@pytest.fixture(params=sorted(CLAIMS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    if kind == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return {"memory": f"memory:broker-{next(_names)}", "sqlite": f"sqlite:///{tmp_path}/bus.db"}[kind]


@pytest.fixture
def capabilities(kind: str) -> Capabilities:
    return CLAIMS[kind]


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
def restart() -> Callable[[], Awaitable[None]]:
    """A log has no server: it ends when the last connection to it is closed."""

    async def restart() -> None: ...

    return restart
