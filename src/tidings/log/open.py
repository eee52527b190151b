"""URL -> log. One row a scheme, imported on use."""

import inspect
from collections.abc import Collection
from importlib import import_module
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

from tidings.address import NOT_OF, redacted
from tidings.clock import Clock
from tidings.errors import ConfigurationError
from tidings.log.interface import Log

SCHEMES = {
    "memory:": "tidings.log.memory:MemoryLog",
    "sqlite:": "tidings.log.sqlite:SqliteLog",
    "postgresql:": "tidings.log.postgres.log:PostgresLog",
}

_SERVERS = ("postgresql:",)  # what they open is a URL and no path


def is_log(url: str) -> bool:
    """Does this URL name a log?"""
    return url.startswith(tuple(SCHEMES))


async def open_log(url: str, *, clock: Clock | None = None, **settings: Any) -> Log:
    """Open the log `url` names: `memory:` or `sqlite:///file.db` (three slashes relative, four absolute).

    Settings may stand in the URL, as in `sqlite:///file.db?synchronous=NORMAL&lock_timeout=2`.

    Raises:
        ConfigurationError: no log has this URL, or it has no such setting.
    """
    return await _opened(url, "open", clock, settings)


async def look_into(url: str, *, clock: Clock | None = None) -> Log:
    """The log `url` names, to be read only: nothing is made, locked or changed, and what would write is refused.

    Raises:
        ConfigurationError: there is no such log, or it lives in the memory of one process.
    """
    if url.startswith("memory:"):
        raise ConfigurationError(
            "a log in memory lives inside its own process, where nobody else can see it: give the application one on"
            " disk, as in App(name, 'sqlite:///app.db')"
        )
    return await _opened(url, "look", clock, {})


async def _opened(url: str, how: str, clock: Clock | None, settings: dict[str, Any]) -> Log:
    for scheme, target in SCHEMES.items():
        if url.startswith(scheme):
            module, _, name = target.partition(":")
            open_kind = getattr(getattr(import_module(module), name), how)
            plain, query = _divided(url, scheme, inspect.signature(open_kind))
            said = _settings(plain, query, inspect.signature(open_kind)) | settings
            return cast(Log, await open_kind(_path(plain, scheme), clock=clock, **said))
    raise ConfigurationError(f"{redacted(url)!r} is not the URL of a log: use one of {', '.join(SCHEMES)}")


def divided(url: str, own: Collection[str]) -> tuple[str, dict[str, str]]:
    """A server's URL without the log's `own` settings, which are the rest; what else it says is for the driver."""
    plain, _, query = url.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    rest = urlencode([pair for pair in pairs if pair[0] not in own])
    return f"{plain}?{rest}" if rest else plain, {name: value for name, value in pairs if name in own}


def _divided(url: str, scheme: str, signature: inspect.Signature) -> tuple[str, str]:
    """The URL and the settings in it."""
    if scheme not in _SERVERS:
        plain, _, query = url.partition("?")
        return plain, query
    plain, own = divided(url, signature.parameters.keys())
    return plain, urlencode(own)


def _path(url: str, scheme: str) -> str:
    if scheme in _SERVERS:
        return url
    rest = url.removeprefix(scheme)
    if scheme == "memory:":
        return rest
    path = rest[3:] if rest.startswith("///") else rest
    if not path or path.startswith("//"):
        raise ConfigurationError(f"{url!r} names no file: write sqlite:///file.db, or sqlite:////absolute/file.db")
    return path


def _settings(url: str, query: str, signature: inspect.Signature) -> dict[str, Any]:
    """What a URL says of its log's settings, which are the keyword arguments of its `open`."""
    known = {
        name: type(parameter.default)
        for name, parameter in signature.parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "clock"
    }
    settings = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise ConfigurationError(f"{redacted(url)} has no setting {name!r}: it has {', '.join(known) or 'none'}")
        try:
            settings[name] = known[name](value)
        except ValueError:
            raise ConfigurationError(f"{redacted(url)}: {name}={value!r} is {NOT_OF[known[name]]}") from None
    return settings
