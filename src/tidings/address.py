"""The URL of a server, taken apart; and shown without its password."""

import re
from typing import TypeVar, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from tidings.errors import ConfigurationError

_USER = re.compile(r"(?<=://)[^\s?#]*(?=@)")  # up to the last @, as a password may have one, or a slash
_SECRETS = re.compile(r"(?i)(?<=[?&])(password|token|secret|sasl_password|sslpassword)=[^&]*")
NOT_OF: dict[type, str] = {  # what is said of a value that is not of a type
    int: "no whole number",
    float: "no number",
    bool: "neither yes nor no",
    str: "no text",
}
_Setting = TypeVar("_Setting", int, float, str, bool)


class Address(msgspec.Struct, frozen=True):
    """Where a server is, who asks, and the settings that its URL says; `repr` and `str` show no password."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = ""
    path: str = ""  # without its first slash
    settings: dict[str, str] = {}
    shown: str = ""  # the URL without its password

    def __repr__(self) -> str:
        return f"Address({self.shown})"

    __str__ = __repr__

    def setting(self, name: str, default: _Setting) -> _Setting:
        """What the URL says of a setting, as the type of its `default`.

        Raises:
            ConfigurationError: it says something of another type.
        """
        if name not in self.settings:
            return default
        said = self.settings[name]
        try:
            return cast(_Setting, _as(type(default), said))
        except ValueError:
            raise ConfigurationError(f"{self.shown}: {name}={said!r} is {NOT_OF[type(default)]}") from None

    def check_settings(self, *known: str) -> None:
        """Refuse a setting that nobody reads, as it is likely misspelt.

        Raises:
            ConfigurationError: there is one; the error lists those that are known.
        """
        for name in self.settings:
            if name not in known:
                raise ConfigurationError(f"{self.shown} has no setting {name!r}: it has {', '.join(sorted(known))}")


def address_of(url: str, *, port: int) -> Address:
    """The parts of `url`; `port` where it names none.

    Raises:
        ConfigurationError: it is no URL of a server.
    """
    shown = redacted(url)
    try:
        parts = urlsplit(url)
        found = parts.port or port
    except ValueError:  # which may show a part of the password
        told = "correct its port, and write / : and @ in a password as %2F, %3A and %40"
        raise ConfigurationError(f"{shown} is no URL of a server: {told}") from None
    if not parts.netloc:
        raise ConfigurationError(f"{shown} names no server: write {parts.scheme}://host:{port}")
    return Address(
        parts.scheme,
        parts.hostname or "localhost",
        found,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        unquote(parts.path.removeprefix("/")),
        dict(parse_qsl(parts.query, keep_blank_values=True)),
        shown,
    )


def redacted(text: str) -> str:
    """The text, with the password of every URL in it left out."""
    return _SECRETS.sub(r"\1=***", _USER.sub(_without_password, text))


def _without_password(found: re.Match[str]) -> str:
    """The user alone; nothing where there is but one word, which may be a token."""
    user, is_pair, _ = found[0].partition(":")
    return f"{user}:***" if is_pair else "***"


def _as(kind: type[int | float | str | bool], said: str) -> int | float | str | bool:
    if kind is bool:
        if said.lower() not in ("1", "0", "true", "false", "yes", "no", ""):
            raise ValueError
        return said.lower() in ("1", "true", "yes", "")
    return kind(said)
