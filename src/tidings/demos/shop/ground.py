"""`Place`: where one play of the shop stands: its folder, its broker, and the database of its services."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import msgspec

from tidings.address import redacted
from tidings.brokers import connect
from tidings.demos.shop.place import log_of
from tidings.errors import ConfigurationError
from tidings.log.open import divided, is_log
from tidings.log.sqlite.inspection import path_of

_OURS = ("schema", "lock_timeout", "lease")  # settings of a log, which libpq does not know


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

    @property
    def prefix(self) -> str:
        """What the names of all that is made on the broker begin with; empty where it is a log."""
        return dict(parse_qsl(urlsplit(self.broker).query)).get("prefix", "")

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
    """The place for one play: names of its own on the broker, and databases of its own, dropped at the end.

    Raises:
        BrokerError, LogError, ConfigurationError, MissingExtra: one of them cannot be had.
    """
    await asyncio.to_thread(_check, folder, broker or "", logs or "")
    async with contextlib.AsyncExitStack() as held:
        own_logs = await held.enter_async_context(_database(logs)) if logs else ""
        if not broker:
            bus = ""
        elif is_log(broker):
            bus = await held.enter_async_context(_database(broker)) if _is_server(broker) else broker
        else:
            bus = await asyncio.to_thread(_apart, broker, folder)
        yield Place(folder, bus, own_logs, bool(bus) and await _is_lossy(bus))


def _check(folder: Path, broker: str, logs: str) -> None:
    """What would not end well is refused before anything begins."""
    is_begun = (folder / "gateway.db").exists()
    if broker.startswith("memory:"):
        raise ConfigurationError("a bus in memory lives in one process, and the shop has four: give --broker a server")
    if logs and not _is_server(logs):
        told = "the services' logs are files unless --log names a Postgres server, as in postgresql://user@host/db"
        raise ConfigurationError(f"--log {redacted(logs)}: {told}; servers between them are given with --broker")
    if is_begun and (logs or _is_server(broker)):
        told = "a shop in a database ends with it, and cannot be continued: give another --dir"
        raise ConfigurationError(f"{folder} has a shop already, and {told}")
    bus = path_of(broker)
    if bus is not None and bus.exists() and not is_begun:
        raise ConfigurationError(f"{bus} is there already, perhaps with events of another shop: name another file")


def _is_server(url: str) -> bool:
    return url.startswith("postgresql:")


def _apart(url: str, folder: Path) -> str:
    """The URL with a prefix for all names, so that one play does not meet what another has left.

    A shop that is continued has the one it had: what is on its way has to arrive.
    """
    if "prefix=" in url:
        return url
    note = folder / "prefix"
    if not note.exists():
        note.write_text(f"shop{secrets.token_hex(3)}-")
    return f"{url}{'&' if '?' in url else '?'}prefix={note.read_text()}"


async def _is_lossy(url: str) -> bool:
    broker = await connect(url)
    await broker.close()
    return not broker.capabilities.durable


@contextlib.asynccontextmanager
async def _database(url: str) -> AsyncIterator[str]:
    """A database of the play's own on that server."""
    from tidings.log.postgres.driver import psycopg
    from tidings.log.postgres.failures import translated

    name, place = f"tidings_shop_{secrets.token_hex(4)}", redacted(url)
    server, _ = divided(url, _OURS)
    try:
        connection = await psycopg.AsyncConnection.connect(server, autocommit=True)
    except psycopg.Error as error:
        raise translated(error, place) from error
    async with connection:
        identifier = psycopg.sql.Identifier(name)
        try:
            await connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(identifier))
        except psycopg.errors.InsufficientPrivilege:
            told = "this account may not create the database that the shop has for itself: give it CREATEDB"
            raise ConfigurationError(f"{place}: {told}") from None
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        finally:
            await connection.execute(psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))
