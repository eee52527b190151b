"""What the URL of a Pulsar says.

pulsar://host:6650/tenant/namespace?prefix=shop.&admin=http://host:8080
pulsar+ssl://host:6651?ca=/etc/pulsar/ca.pem&token=...
"""

import re
from typing import Any, Final

import msgspec

from tidings.address import Address, address_of
from tidings.errors import ConfigurationError

_LEGAL: Final = re.compile(r"[A-Za-z0-9._-]{0,100}")
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9=:._-]+/[A-Za-z0-9=:._-]+")
_SAID: Final[dict[str, Any]] = {
    "prefix": "",
    "admin": "",
    "token": "",
    "timeout": 5.0,
    "discovery": 1,
    "retention": 604_800.0,
    "max_size": 5_000_000,  # servers refuse more than 5 MiB, unless they are told otherwise
}


class Settings(msgspec.Struct, frozen=True):
    """The settings of a connection; shown without their secrets."""

    address: Address
    url: str  # without the password
    namespace: str  # tenant/namespace
    prefix: str  # what the names of all topics and subscriptions begin with
    admin: str  # where the server is administered, by HTTP; empty: it is not
    token: str
    timeout: float  # seconds for an answer
    discovery: int  # seconds between looks for new channels
    retention: float  # seconds for which `setup` has events kept that all have; below 0: for ever, 0: as it is
    max_size: int  # bytes of one event

    def __repr__(self) -> str:
        return f"Settings({self.url})"

    __str__ = __repr__

    @property
    def has_replay(self) -> bool:
        """Can it be seen to that what nobody waits for is kept?"""
        return bool(self.admin) and self.retention != 0


def settings_of(url: str) -> Settings:
    """The settings that a URL says.

    Raises:
        ConfigurationError: it says something that nobody reads, or that cannot be.
    """
    address = address_of(url, port=6651 if url.startswith("pulsar+ssl:") else 6650)
    address.check_settings(*_SAID, "ca", "cert", "key")
    said = {name: address.setting(name, default) for name, default in _SAID.items()}
    settings = Settings(address, address.shown, address.path or "public/default", **said)
    if _LEGAL.fullmatch(settings.prefix) is None:
        raise ConfigurationError(f"{address.shown}: prefix may have A-Z a-z 0-9 . _ and -, at most 100 of them")
    if _NAMESPACE.fullmatch(settings.namespace) is None:
        raise ConfigurationError(f"{address.shown}: write the namespace as pulsar://host/tenant/namespace")
    for name in ("timeout", "discovery", "max_size"):
        if said[name] <= 0:
            raise ConfigurationError(f"{address.shown}: {name} must be above 0")
    if settings.admin and not settings.admin.startswith(("http://", "https://")):
        raise ConfigurationError(f"{address.shown}: write admin=http://host:8080 for its administration")
    return settings
