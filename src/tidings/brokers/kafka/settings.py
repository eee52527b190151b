"""What the URL of a Kafka says, as settings of its client.

kafka://user:password@host:9092?prefix=shop.&partitions=16
kafka+ssl://host:9093?ca=/etc/kafka/ca.pem
"""

import re
from typing import Any, Final

import msgspec

from tidings.address import Address, address_of
from tidings.brokers.channels import PARTITIONS
from tidings.errors import ConfigurationError

_LEGAL = re.compile(r"[A-Za-z0-9._-]{0,100}")
_OVERHEAD: Final = 40_000  # bytes for the headers of a message, and for the reasons of a dead letter
_QUEUED: Final = 16_384  # kilobytes that the client fetches ahead, where dead letters are read
_WAIT: Final = 100  # milliseconds that it waits for more of them


class Settings(msgspec.Struct, frozen=True):
    """The settings of a connection."""

    address: Address
    url: str  # without the password
    prefix: str  # what the names of all topics and groups begin with
    partitions: int  # of a topic that is made
    replication: int  # its copies; -1: as the servers say
    retention: float  # seconds that its events are kept; 0: as the servers say, below 0: for ever
    timeout: float  # seconds for an answer
    session: float  # seconds after which a silent member is taken for dead
    discovery: float  # seconds between looks for new channels
    max_size: int  # bytes of one event
    partitioner: str  # which partition a key belongs to; every producer of a topic must agree
    compression: str

    @property
    def is_secret(self) -> bool:
        """Is the connection encrypted?"""
        return self.address.scheme == "kafka+ssl" or self.address.setting("tls", False)

    @property
    def patience(self) -> float:
        """Seconds after which a member whose thread does not come back from its client is given up, by itself and by
        the group. It waits for all its members before it shares out its partitions; for 300, where it is not told.
        """
        return max(2 * self.timeout + 1, self.session)

    def producer(self) -> dict[str, Any]:
        """For who publishes: every in-sync copy has it, and what was sent twice is stored once, in order."""
        return self._client() | {
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 5,  # at most, while a publish is handed over: then it is flushed
            "partitioner": self.partitioner,
            "compression.type": self.compression,
            "message.max.bytes": self.max_size + _OVERHEAD,
            "batch.size": min(self.max_size, 1_000_000),
            "message.timeout.ms": _milliseconds(self.timeout),
            "queue.buffering.max.kbytes": 262_144,
        }

    def consumer(self, group: str) -> dict[str, Any]:
        """For one member of a group."""
        return self._client() | {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": _milliseconds(self.session),
            "heartbeat.interval.ms": _milliseconds(self.session) // 4,
            "max.poll.interval.ms": _milliseconds(self.patience),
            "allow.auto.create.topics": False,
            "topic.metadata.refresh.interval.ms": max(
                _milliseconds(self.discovery), 500
            ),  # a new topic's partitions, too
            "fetch.wait.max.ms": _WAIT,
            "fetch.queue.backoff.ms": 20,
            "queued.max.messages.kbytes": _QUEUED,
            "message.max.bytes": self.max_size + _OVERHEAD,
        }

    def source(self, waiting: float) -> dict[str, Any]:
        """For who fetches from one server, with the other client library; an answer may wait for so many seconds."""
        address, security = self.address, self._security()
        return {
            "client_id": "tidings",
            "request_timeout_ms": _milliseconds(self.timeout + waiting),
            "security_protocol": security["security.protocol"],
            "sasl_mechanism": security.get("sasl.mechanism"),
            "sasl_plain_username": address.user or None,
            "sasl_plain_password": address.password if address.user else None,
        }

    def admin(self) -> dict[str, Any]:
        """For who asks about topics and groups."""
        return self._client()

    def _client(self) -> dict[str, Any]:
        address = self.address
        others = address.settings.get("servers", "")
        settings: dict[str, Any] = {
            "bootstrap.servers": ",".join(filter(None, [f"{address.host}:{address.port}", others])),
            "client.id": "tidings",
            "log_level": 0,  # what matters is raised
            "socket.timeout.ms": max(_milliseconds(self.timeout), 1000),
            "socket.keepalive.enable": True,
            "socket.nagle.disable": True,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1000,
        }
        return settings | self._security()

    def _security(self) -> dict[str, Any]:
        address, is_secret = self.address, self.is_secret
        settings: dict[str, Any] = {}
        for name, theirs in (
            ("ca", "ssl.ca.location"),
            ("cert", "ssl.certificate.location"),
            ("key", "ssl.key.location"),
        ):
            if name in address.settings:
                settings[theirs] = address.settings[name]
        if address.user:
            settings |= {"sasl.username": address.user, "sasl.password": address.password}
            settings["sasl.mechanism"] = address.setting("mechanism", "PLAIN")
        words = (
            ("SASL_SSL" if is_secret else "SASL_PLAINTEXT") if address.user else ("SSL" if is_secret else "PLAINTEXT")
        )
        return settings | {"security.protocol": words}


def settings_of(url: str) -> Settings:
    """The settings that a URL says.

    Raises:
        ConfigurationError: it says something that nobody reads, or that cannot be.
    """
    address = address_of(url, port=9092)
    address.check_settings(*_SAID, "servers", "tls", "ca", "cert", "key", "mechanism")
    said = {name: address.setting(name, default) for name, default in _SAID.items()}
    settings = Settings(address, address.shown, **said)
    if _LEGAL.fullmatch(settings.prefix) is None:
        raise ConfigurationError(f"{address.shown}: prefix may have A-Z a-z 0-9 . _ and -, at most 100 of them")
    for name in ("partitions", "timeout", "session", "discovery", "max_size"):
        if said[name] <= 0:
            raise ConfigurationError(f"{address.shown}: {name} must be above 0")
    return settings


_SAID: Final[dict[str, Any]] = {
    "prefix": "",
    "partitions": PARTITIONS,
    "replication": -1,
    "retention": 0.0,
    "timeout": 5.0,
    "session": 6.0,  # servers refuse less, unless they are told otherwise
    "discovery": 3.0,
    "max_size": 1_000_000,  # servers refuse much more, unless they are told otherwise
    "partitioner": "consistent_random",
    "compression": "none",
}


def _milliseconds(seconds: float) -> int:
    return max(int(seconds * 1000), 1)
