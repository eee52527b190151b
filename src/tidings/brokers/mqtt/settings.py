"""What the URL of an MQTT server says.

mqtt://user:password@host:1883?prefix=shop&retained=device:*
mqtts://host:8883?ca=/etc/mqtt/ca.pem
"""

import re
from typing import Final

import msgspec

from tidings.address import Address, address_of
from tidings.errors import ConfigurationError, InvalidName
from tidings.events import PatternSet

_PREFIX: Final = re.compile(r"[A-Za-z0-9._:-]+(/[A-Za-z0-9._:-]+)*")
_FOREVER: Final = 0xFFFFFFFF  # seconds, as MQTT writes it


class Settings(msgspec.Struct, frozen=True):
    """The settings of a connection."""

    address: Address
    url: str  # without the password
    prefix: str  # what all topics and sessions begin with: levels that end with '/', or nothing
    timeout: float  # seconds for an answer
    session: int  # seconds after which a silent member, or server, is asked for a sign of life
    expiry: int  # seconds that a group's events are kept while it has no member
    retained: PatternSet  # the names of which the newest event of each key is kept for who comes later

    @property
    def is_secret(self) -> bool:
        """Is the connection encrypted?"""
        return self.address.scheme == "mqtts" or self.address.setting("tls", False)


def settings_of(url: str) -> Settings:
    """The settings that a URL says.

    Raises:
        ConfigurationError: it says something that nobody reads, or that cannot be.
    """
    address = address_of(url, port=8883 if url.startswith("mqtts:") else 1883)
    address.check_settings("prefix", "timeout", "session", "expiry", "retained", "tls", "ca", "cert", "key")
    settings = Settings(
        address,
        address.shown,
        _prefix(address),
        address.setting("timeout", 5.0),
        address.setting("session", 2),
        address.setting("expiry", 7 * 24 * 3600),
        _retained(address),
    )
    if settings.timeout <= 0 or not 0 < settings.session <= 0xFFFF or not 0 < settings.expiry <= _FOREVER:
        raise ConfigurationError(f"{address.shown}: timeout, session and expiry must be above 0")
    return settings


def _prefix(address: Address) -> str:
    prefix = address.setting("prefix", "").rstrip("/")
    if prefix and _PREFIX.fullmatch(prefix) is None:
        raise ConfigurationError(f"{address.shown}: prefix may have A-Z a-z 0-9 . _ : and -, in levels joined by '/'")
    return f"{prefix}/" if prefix else ""


def _retained(address: Address) -> PatternSet:
    try:
        return PatternSet([each for each in address.setting("retained", "").split(",") if each])
    except InvalidName as error:
        raise ConfigurationError(f"{address.shown}: retained is no list of names or patterns: {error}") from None
