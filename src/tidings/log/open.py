"""URL -> log. One row a scheme, imported on use."""

from importlib import import_module
from typing import Any, cast

from tidings.clock import Clock
from tidings.errors import ConfigurationError
from tidings.log.interface import Log

SCHEMES = {
    "memory:": "tidings.log.memory:MemoryLog",
    "sqlite:": "tidings.log.sqlite:SqliteLog",
}


def is_log(url: str) -> bool:
    """Does this URL name a log?"""
    return url.startswith(tuple(SCHEMES))


async def open_log(url: str, *, clock: Clock | None = None, **settings: Any) -> Log:
    """Open the log `url` names: `memory:` or `sqlite:///file.db` (three slashes relative, four absolute).

    Raises:
        ConfigurationError: no log has this URL.
    """
    for scheme, target in SCHEMES.items():
        if url.startswith(scheme):
            module, _, name = target.partition(":")
            kind = getattr(import_module(module), name)
            return cast(Log, await kind.open(_path(url, scheme), clock=clock, **settings))
    raise ConfigurationError(f"{url!r} is not the URL of a log: use one of {', '.join(SCHEMES)}")


def _path(url: str, scheme: str) -> str:
    rest = url.removeprefix(scheme)
    if scheme == "memory:":
        return rest
    path = rest[3:] if rest.startswith("///") else rest
    if not path or path.startswith("//"):
        raise ConfigurationError(f"{url!r} names no file: write sqlite:///file.db, or sqlite:////absolute/file.db")
    return path
