"""The fixtures: one server of a kind for the whole run, and `fresh_server` for tests that kill or freeze theirs.

Those that share a server use names of their own: a stream, queue, subject or topic a test; with Postgres a database.
Where a server cannot be had, its tests are skipped; with CI set they fail, so that nothing goes untested unseen.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TypeVar

import pytest

from tests.servers.kafka import KafkaServer
from tests.servers.mosquitto import MosquittoServer
from tests.servers.nats import NatsServer
from tests.servers.postgres import PostgresServer
from tests.servers.pulsar import PulsarServer
from tests.servers.rabbitmq import RabbitmqServer
from tests.servers.redis import RedisServer
from tests.servers.server import Server

S = TypeVar("S", bound=Server)


def require(kind: type[Server]) -> None:
    """Skip the test, or fail it where CI is set, when this server cannot be had here."""
    if reason := kind.missing():
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def _shared(kind: type[S]) -> Iterator[S]:
    require(kind)
    with kind() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis that syncs every write."""
    yield from _shared(RedisServer)


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """A NATS with JetStream."""
    yield from _shared(NatsServer)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A Postgres; `.database()` makes an empty one."""
    yield from _shared(PostgresServer)


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[RabbitmqServer]:
    """A RabbitMQ without plugins."""
    yield from _shared(RabbitmqServer)


@pytest.fixture(scope="session")
def mosquitto_server() -> Iterator[MosquittoServer]:
    """An MQTT broker."""
    yield from _shared(MosquittoServer)


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[KafkaServer]:
    """A Kafka of one node; topics are made by who wants them."""
    yield from _shared(KafkaServer)


@pytest.fixture(scope="session")
def pulsar_server() -> Iterator[PulsarServer]:
    """A standalone Pulsar; it takes half a gigabyte, so it is started once."""
    yield from _shared(PulsarServer)


class FreshServer:
    """`fresh_server(RedisServer)`: a running server that is the test's alone; what the kind takes is handed on."""

    def __init__(self, owned: ExitStack) -> None:
        self._owned = owned

    def __call__(self, kind: type[S], **settings: str) -> S:
        require(kind)
        server = kind(**settings)
        self._owned.enter_context(server)
        return server


@pytest.fixture
def fresh_server() -> Iterator[FreshServer]:
    """Servers of the test's own, closed at its end."""
    with ExitStack() as owned:
        yield FreshServer(owned)
