"""What the URL of a Redis server says: where it is, who asks, and how it is used."""

from typing import Final

import msgspec

from tidings.address import Address, address_of
from tidings.brokers.channels import PARTITIONS
from tidings.errors import ConfigurationError
from tidings.log.group import ORPHAN_AFTER
from tidings.log.retention import Retain

PORT: Final = 6379
LARGEST: Final = 512 * 1024 * 1024  # bytes of one value, unless the server's `proto-max-bulk-len` says otherwise


class Settings(msgspec.Struct, frozen=True):
    """Of one connection. `repr` shows no password, as that of an address shows none."""

    address: Address
    database: int = 0
    timeout: float = 5.0  # seconds without an answer, after which the server is taken for lost
    ca: str = ""  # the file of the authority that vouches for the server; "": those the system trusts
    prefix: str = "tidings:"  # what every key of this connection begins with
    partitions: int = PARTITIONS  # of a channel that does not exist yet
    session: float = 2.0  # seconds without a sign of life, after which a member's partitions go to others
    age: int | None = None  # milliseconds that entries are kept for ...
    length: int | None = None  # ... or how many of a partition; neither: all of them, for ever
    orphan_after: int = int(ORPHAN_AFTER * 1000)  # milliseconds; for a group that nobody runs so long nothing is kept

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return self.address.shown

    @property
    def is_encrypted(self) -> bool:
        """Does it speak TLS?"""
        return self.address.scheme.startswith("rediss")


def settings_of(url: str, *names: str) -> Settings:
    """What `url` says; `names` are the settings of its carrier beside those that all have.

    Raises:
        ConfigurationError: it is no such URL, or has a setting that nobody reads.
    """
    address = address_of(url, port=PORT)
    address.check_settings("prefix", "timeout", "ca", *names)
    age, length = _retained(address)
    settings = Settings(
        address,
        _database(address),
        address.setting("timeout", 5.0),
        address.setting("ca", ""),
        address.setting("prefix", "tidings:"),
        address.setting("partitions", PARTITIONS),
        address.setting("session", 2.0),
        age,
        length,
        _milliseconds(address, "orphan_after", address.setting("orphan_after", f"{ORPHAN_AFTER:.0f}s")) or 0,
    )
    for name in ("timeout", "session", "partitions"):
        if not getattr(settings, name) > 0:
            raise ConfigurationError(f"{address.shown}: {name} has to be more than 0")
    return settings


def _database(address: Address) -> int:
    if not address.path:
        return 0
    if not address.path.isdecimal():
        raise ConfigurationError(f"{address.shown}: {address.path!r} is no database: write its number, as in /0")
    return int(address.path)


def _retained(address: Address) -> tuple[int | None, int | None]:
    said = address.setting("retain", "")
    if not said or said.isdecimal():
        return None, int(said) if said else None
    return _milliseconds(address, "retain", said), None


def _milliseconds(address: Address, name: str, said: str) -> int | None:
    """Of a time such as `7d`, which a setting says."""
    try:
        seconds = Retain(age=said).seconds
    except ConfigurationError as error:
        raise ConfigurationError(f"{address.shown}: {name}: {error}") from None
    return None if seconds is None else int(seconds * 1000)
