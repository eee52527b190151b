"""What the URL of a RabbitMQ says.

amqp://user:password@host:5672/vhost?prefix=shop.&partitions=16
amqps://host:5671?ca=/etc/rabbitmq/ca.pem
"""

from typing import Any, Final

import msgspec

from tidings.address import Address, address_of
from tidings.brokers.channels import PARTITIONS
from tidings.errors import ConfigurationError


class Settings(msgspec.Struct, frozen=True):
    """The settings of a connection."""

    address: Address  # which shows no password
    url: str  # without the password
    prefix: str  # what the names of all exchanges and queues begin with
    partitions: int  # of a group, where nobody has decided before
    timeout: float  # seconds for an answer
    session: float  # seconds after which a silent member is taken for dead
    max_size: int  # bytes of one event
    ca: str  # the file of the authority that vouches for the server; empty: the system's

    @property
    def is_secret(self) -> bool:
        """Is the connection encrypted?"""
        return self.address.scheme == "amqps"

    @property
    def heartbeat(self) -> int:
        """Seconds between signs of life on a connection; the server ends it when it has missed two."""
        return max(round(self.session / 2), 1)

    @property
    def beat(self) -> float:
        """Seconds between signs of life among the members of a group."""
        return min(self.session, self.timeout) / 4


def settings_of(url: str) -> Settings:
    """The settings that a URL says.

    Raises:
        ConfigurationError: it says something that nobody reads, or that cannot be.
    """
    address = address_of(url, port=5671 if url.startswith("amqps:") else 5672)
    address.check_settings(*_SAID)
    said = {name: address.setting(name, default) for name, default in _SAID.items()}
    for name in ("partitions", "timeout", "session", "max_size"):
        if said[name] <= 0:
            raise ConfigurationError(f"{address.shown}: {name} must be above 0")
    if len(said["prefix"].encode()) > _LONGEST_PREFIX or said["prefix"].startswith("amq."):
        raise ConfigurationError(f"{address.shown}: prefix may have {_LONGEST_PREFIX} bytes, and not begin with 'amq.'")
    return Settings(address, address.shown, **said)


_LONGEST_PREFIX: Final = 60  # as names in AMQP may have 255 bytes
_SAID: Final[dict[str, Any]] = {
    "prefix": "tidings.",
    "partitions": PARTITIONS,
    "timeout": 5.0,
    "session": 5.0,
    "max_size": 16 * 1024 * 1024,  # servers from 4.0 on refuse more, unless they are told otherwise
    "ca": "",
}
