"""The table of carriers: the server of each, how a test has a system of its own on it, and what it is held to.

All that tests of every carrier ask of one stands here; what only one of them has is tested in a file of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

import pytest

from tests.servers.maven import JavaServer
from tests.servers.mosquitto import MosquittoServer
from tests.servers.pulsar import CURSORS_EVERY, PulsarServer
from tests.servers.secure import (
    ENCODED,
    SecureKafka,
    SecureMosquitto,
    SecureNats,
    SecurePulsar,
    SecureRabbitmq,
    SecureRedis,
    vouched,
)
from tests.servers.server import Server
from tidings.brokers import Capabilities
from tidings.brokers.nats import broker as jetstream
from tidings.brokers.nats import core
from tidings.brokers.pulsar import broker as pulsar
from tidings.brokers.rabbitmq import broker as rabbitmq
from tidings.brokers.redis import pubsub, streams


@dataclass(frozen=True)
class Door:
    """How the encrypted port of a server is entered."""

    scheme: str
    port: int  # which of the server's ports it is
    user: str = ""  # empty: anybody who knows the authority
    password: str = ENCODED  # as it is written in a URL


@dataclass(frozen=True)
class Carrier:
    """A row of the table."""

    name: str  # as in the ids of tests
    claims: Capabilities
    shared: str = ""  # the fixture of the server that all tests share; empty: it has none
    mortal: type[Server] | None = None  # that tests kill and freeze; None: a log, which is troubled by its own tests
    scheme: str = ""
    prefix: str = "{}"  # what the names of a system of its own begin with
    settings: Mapping[str, object] = field(default_factory=dict)  # of every URL
    haste: Mapping[str, object] = field(default_factory=dict)  # with which silence is noticed soon
    door: Door | None = None
    too_large: int = 2_000_000  # bytes of data that its mortal server does not take ...
    unlimited: Mapping[str, object] = field(default_factory=dict)  # ... though its URL lets it pass
    unheard: float = 0.0  # seconds before a member is killed, or a connection cut, of which some may not be settled
    unwritten: float = 0.0  # seconds before the server is killed, of which some may not be settled
    ripens: float = 0.0  # seconds before what is new on its server outlives a kill
    written: Callable[[Server], float] | None = None  # when it wrote down what it had taken; None: before it said so

    @property
    def keeps(self) -> bool:
        """Does a group hear later what it missed?"""
        return self.claims.durable and self.claims.groups and self.claims.remembers

    def url(self, server: Server, name: str, **settings: object) -> str:
        """A system of its own on this server."""
        return self._url(self.scheme + server.url[server.url.index("://") :], server, name, settings)

    def hasty(self, server: Server, name: str) -> str:
        """One that takes a silent server for lost soon."""
        return self.url(server, name, **self.haste)

    def secure(self, server: Server, name: str, *, password: str = "", knows: bool = True, **settings: object) -> str:
        """The same by its encrypted port; who `knows` the authority says so."""
        assert self.door is not None
        user = f"{self.door.user}:{password or self.door.password}@" if self.door.user else ""
        place = f"{self.door.scheme}://{user}127.0.0.1:{server.ports[self.door.port]}"
        authority = {"ca": vouched() / "ca.pem"} if knows else {}
        return self._url(place, server, name, authority | settings)

    def _url(self, place: str, server: Server, name: str, settings: Mapping[str, object]) -> str:
        said = {"prefix": self.prefix.format(name), "timeout": 20, **self.settings, **settings}
        if isinstance(server, PulsarServer):
            said["admin"] = server.admin_url
        return f"{place}?{urlencode(said)}"


def _logs(name: str, *, durable: bool, shared: str = "") -> Carrier:
    claims = Capabilities(
        durable=durable,
        groups=True,
        replay=True,
        order="total",
        delay=True,
        dead_letters=True,
        fsync=durable,
        forgets=True,
        atomic=True,
        acknowledgement="committed, and on disk" if durable else "in the memory of this process",
        settlement="committed, and on disk" if durable else "in the memory of this process",
    )
    return Carrier(name, claims, shared)


def _written_by_mosquitto(server: Server) -> float:
    """It writes a file anew, and gives it the name of the old one."""
    assert isinstance(server, MosquittoServer)
    return (server.folder / "mosquitto.db").stat().st_mtime - 0.1


REDIS = Carrier(
    "redis",
    Capabilities(
        durable=True,
        groups=True,
        replay=True,
        order="channel",
        delay=True,
        dead_letters=True,
        fsync=True,
        forgets=True,
        acknowledgement=streams.CAPABILITIES.acknowledgement,
        settlement=streams.CAPABILITIES.settlement,
    ),
    "redis_server",
    SecureRedis,
    "redis",
    prefix="tidings:{}:",
    settings={"partitions": 4},
    haste={"timeout": 0.5, "session": 1},
    door=Door("rediss", 1, "me"),
)
PUBSUB = Carrier(
    "redis+pubsub",
    Capabilities(
        durable=False,
        groups=False,
        replay=False,
        order="total",
        delay=False,
        dead_letters=False,
        fsync=False,
        lag=False,
        acknowledgement=pubsub.CAPABILITIES.acknowledgement,
        settlement=pubsub.CAPABILITIES.settlement,
    ),
    "redis_server",
    SecureRedis,
    "redis+pubsub",
    prefix="tidings:{}:",
    haste={"timeout": 0.5},
    door=Door("rediss+pubsub", 1, "me"),
)
NATS = Carrier(
    "nats",
    Capabilities(
        durable=True,
        groups=True,
        replay=True,
        order="channel",
        delay=True,
        dead_letters=True,
        fsync=False,
        acknowledgement=jetstream.CAPABILITIES.acknowledgement,
        settlement=jetstream.CAPABILITIES.settlement,
    ),
    "nats_server",
    SecureNats,
    "nats",
    settings={"partitions": 4},
    haste={"timeout": 0.5, "session": 1},
    door=Door("nats+tls", 0, "me"),
    unwritten=jetstream.UNWRITTEN,
)
CORE = Carrier(
    "nats-core",
    Capabilities(
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
        settlement=core.CAPABILITIES.settlement,
    ),
    "nats_server",
    SecureNats,
    "nats",
    settings={"jetstream": "no"},
    haste={"timeout": 0.5},
    door=Door("nats+tls", 0, "me"),
)
RABBITMQ = Carrier(
    "amqp",
    Capabilities(
        durable=True,
        groups=True,
        replay=False,
        order="channel",
        delay=True,
        dead_letters=True,
        fsync=True,
        max_size=1_000_000,
        acknowledgement="on disk on a majority of the servers that keep each group's queue",
        settlement="said to the server, which does not answer: some of the last 0.5 s before it was killed, or the"
        " connection was cut, may come again",
    ),
    "rabbitmq_server",
    SecureRabbitmq,
    "amqp",
    prefix="{}.",
    settings={"partitions": 2, "session": 2, "max_size": 1_000_000},
    haste={"timeout": 2},
    door=Door("amqps", 3, "guest", "guest"),
    unheard=rabbitmq.UNHEARD,
    unwritten=rabbitmq.UNHEARD,
    ripens=2.0,  # 3.10 forgets a quorum queue when it is killed right after the queue was made
)
MQTT = Carrier(
    "mqtt",
    Capabilities(
        durable=True,
        groups=True,
        replay=False,
        order="channel",
        delay=False,
        dead_letters=False,
        fsync=False,
        lag=False,
        acknowledgement="in the memory of the server, which writes it down as often as it is set up to",
        settlement="in the memory of the server, which writes it down as often as it is set up to",
    ),
    "mosquitto_server",
    SecureMosquitto,
    "mqtt",
    settings={"session": 2, "timeout": 5},  # which is also how long a member may have events in hand
    haste={"timeout": 1},
    door=Door("mqtts", 1, "me"),
    written=_written_by_mosquitto,
)
KAFKA = Carrier(
    "kafka",
    Capabilities(
        durable=True,
        groups=True,
        replay=True,
        order="channel",
        delay=False,
        dead_letters=True,
        fsync=False,
        max_size=1_000_000,
        acknowledgement="in the memory of all in-sync copies, which write it to disk in their own time",
        settlement="committed: as safe as an event that was published",
    ),
    "kafka_server",
    SecureKafka,
    "kafka",
    prefix="{}.",
    settings={"partitions": 4, "session": 2, "discovery": 0.1},
    haste={"timeout": 2},
    door=Door("kafka+ssl", 2, "me"),
)
PULSAR = Carrier(
    "pulsar",
    Capabilities(
        durable=True,
        groups=True,
        replay=True,
        order="channel",
        delay=True,
        dead_letters=True,
        fsync=True,
        max_size=5_000_000,
        acknowledgement="on the disks of as many bookies as the namespace's acknowledgement quorum asks for",
        settlement="said to the client, which tells the server within 0.2 s, as that does its disk: about once a second"
        " while more is settled, else within 60 s; some of those before a member, or the server, was killed may come"
        " again",
    ),
    "pulsar_server",
    SecurePulsar,
    "pulsar",
    prefix="{}.",
    haste={"timeout": 2},
    door=Door("pulsar+ssl", 3),
    too_large=6_000_000,
    unlimited={"max_size": 99_000_000},
    unheard=pulsar.UNTOLD,
    unwritten=2 * CURSORS_EVERY + 1.0,  # what is written too soon after the last waits for the next time
)

CARRIERS = (
    _logs("memory", durable=False),
    _logs("sqlite", durable=True),
    _logs("postgres", durable=True, shared="postgres_server"),
    REDIS,
    PUBSUB,
    NATS,
    CORE,
    RABBITMQ,
    MQTT,
    KAFKA,
    PULSAR,
)


def _never(carrier: Carrier) -> bool:
    return False


def those(which: Callable[[Carrier], object], *, long: Callable[[Carrier], object] = _never) -> pytest.MarkDecorator:
    """The test is for these carriers only; for some of them it takes so long that it is left to `make chaos`."""
    chosen = [
        pytest.param(carrier, id=carrier.name, marks=[pytest.mark.chaos] if long(carrier) else [])
        for carrier in CARRIERS
        if which(carrier)
    ]
    return pytest.mark.parametrize("carrier", chosen, indirect=True, scope="module")


def has_server(carrier: Carrier) -> bool:
    """Can it be killed, frozen, and cut off?"""
    return carrier.mortal is not None


def runs_on_java(carrier: Carrier) -> bool:
    """Does its server take long to start?"""
    return carrier.mortal is not None and issubclass(carrier.mortal, JavaServer)
