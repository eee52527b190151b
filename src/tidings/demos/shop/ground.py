"""`Place`: where one play of the shop stands: its folder, its broker, and the database of its services."""

import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from tidings.address import redacted
from tidings.brokers import connect
from tidings.demos.shop.place import log_of
from tidings.log.open import is_log


class Place(msgspec.Struct, frozen=True):
    """What the services are told by their environment. `is_lossy`: its broker keeps nothing for who is away."""

    folder: Path
    broker: str = ""  # empty: a file in the folder
    logs: str = ""  # empty: files in the folder
    is_lossy: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """The variables that `place.py` reads."""
        urls = {"TIDINGS_SHOP_BROKER": self.broker, "TIDINGS_SHOP_LOG": self.logs}
        return {"TIDINGS_SHOP": str(self.folder), **urls}

    def log_of(self, service: str) -> str:
        """The log of a service."""
        return log_of(service, str(self.folder), self.logs)

    def sentence(self) -> str:
        """As the play announces it."""
        stores = "a SQLite file of its own" if not self.logs else f"a schema of its own in {redacted(self.logs)}"
        bus = "one bus file" if not self.broker else redacted(self.broker)
        return f"Four services, each a process with {stores}, over {bus}."


@contextlib.asynccontextmanager
async def ground(folder: Path, broker: str | None, logs: str | None) -> AsyncIterator[Place]:
    """The place for one play: names of its own on the broker, and a database of its own, dropped at the end.

    Raises:
        BrokerError, LogError, ConfigurationError: one of them cannot be had.
    """
    broker = _apart(broker) if broker and not is_log(broker) else broker or ""
    is_lossy = bool(broker) and await _is_lossy(broker)
    if not logs:
        yield Place(folder, broker, "", is_lossy)
        return
    async with _database(logs) as own:
        yield Place(folder, broker, own, is_lossy)


def _apart(url: str) -> str:
    """The URL with a prefix for all names, so that one play does not meet what another has left."""
    if "prefix=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}prefix=shop{secrets.token_hex(3)}-"


async def _is_lossy(url: str) -> bool:
    broker = await connect(url)
    await broker.close()
    return not broker.capabilities.durable


@contextlib.asynccontextmanager
async def _database(url: str) -> AsyncIterator[str]:
    """A database of the play's own on that server."""
    from urllib.parse import urlsplit, urlunsplit

    import psycopg
    from psycopg import sql

    name = f"tidings_shop_{secrets.token_hex(4)}"
    parts = urlsplit(url)
    server = urlunsplit(parts._replace(query=""))
    async with await psycopg.AsyncConnection.connect(server, autocommit=True) as connection:
        await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlunsplit(parts._replace(path=f"/{name}"))
        finally:
            await connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
