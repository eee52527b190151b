"""What the URL of a NATS server says: where it is, who asks, and how it is used."""

from typing import Final

import msgspec

from tidings.address import Address, address_of
from tidings.brokers.channels import PARTITIONS
from tidings.errors import ConfigurationError
from tidings.log.retention import Retain

PORT: Final = 4222
_OF_ALL: Final = ("prefix", "timeout", "ca", "tls", "token", "credentials", "jetstream")
_OF_JETSTREAM: Final = ("partitions", "session", "retain", "replicas", "window")


class Settings(msgspec.Struct, frozen=True):
    """Of one connection. `repr` shows no password, as that of an address shows none."""

    address: Address
    has_tls: bool = False
    ca: str = ""  # the file of the authority that vouches for the server; "": those the system trusts
    credentials: str = ""  # a file with a JWT and its key, as `nsc` writes it
    prefix: str = "tidings"  # what every stream and subject of this connection begins with
    timeout: float = 5.0  # seconds without an answer, after which the server is taken for lost
    partitions: int = PARTITIONS  # of a channel that does not exist yet
    session: float = 2.0  # seconds without a sign of life, after which a member's partitions go to others
    age: float | None = None  # seconds that a new channel keeps its events; None: for ever
    replicas: int = 1  # of a new channel, in a cluster
    window: float = 120.0  # seconds in which a new channel takes an event once

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return self.address.shown

    @property
    def patience(self) -> float:
        """Seconds after which the server hands over again what nobody gave a sign of; less than a session."""
        return self.session * 0.75


def is_core(url: str) -> bool:
    """Is it a server's publish and subscribe alone, without JetStream?

    Raises:
        ConfigurationError: it is no such URL.
    """
    return not address_of(url, port=PORT).setting("jetstream", True)


def settings_of(url: str) -> Settings:
    """What `url` says.

    Raises:
        ConfigurationError: it is no such URL, or has a setting that nobody reads.
    """
    address = address_of(url, port=PORT)
    address.check_settings(*_OF_ALL, *(() if is_core(url) else _OF_JETSTREAM))
    settings = Settings(
        address,
        address.setting("tls", address.scheme == "nats+tls"),
        address.setting("ca", ""),
        address.setting("credentials", ""),
        address.setting("prefix", "tidings"),
        address.setting("timeout", 5.0),
        address.setting("partitions", PARTITIONS),
        address.setting("session", 2.0),
        _age(address),
        address.setting("replicas", 1),
        address.setting("window", 120.0),
    )
    for name in ("timeout", "session", "partitions", "replicas"):
        if not getattr(settings, name) > 0:
            raise ConfigurationError(f"{address.shown}: {name} has to be more than 0")
    if not settings.prefix:
        raise ConfigurationError(f"{address.shown}: prefix may not be empty, as subjects begin with it")
    return settings


def _age(address: Address) -> float | None:
    if "retain" not in address.settings:
        return None
    try:
        return Retain(age=address.settings["retain"]).seconds
    except ConfigurationError as error:
        raise ConfigurationError(f"{address.shown}: retain: {error}") from None
