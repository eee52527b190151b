"""What a server says of a log when it is only looked at: nothing is made there, and nothing is changed."""

from typing import TYPE_CHECKING, Final

import msgspec

from tidings.address import redacted
from tidings.errors import ConfigurationError, TidingsError
from tidings.log.relational.sighting import GroupSight, sights

if TYPE_CHECKING:
    from tidings.log.postgres.connection import Connection
    from tidings.log.postgres.members import Members

_ANSWER_WITHIN: Final = 5.0  # seconds
_LEASE: Final = 15.0  # seconds, where the URL says nothing
_LAG = "SELECT count(*) FROM (SELECT 1 FROM tidings_events WHERE position > ? LIMIT 1000000) AS behind"
_TABLES = "SELECT to_regclass(?) IS NOT NULL"
_SCHEMA = "SELECT value::integer FROM tidings_meta WHERE name = 'schema'"
_SETTINGS = """
SELECT name, setting FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names')"""
# Whoever has a transaction number holds readers back; two-phase transactions have no session.
_HOLDERS = """
SELECT pid, coalesce(application_name, ''), coalesce(datname, ''), coalesce(usename, ''), state,
  extract(epoch FROM clock_timestamp() - xact_start)::float8, left(coalesce(query, ''), 100)
FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid != pg_backend_pid()
UNION ALL
SELECT NULL, gid, database, owner, 'prepared', extract(epoch FROM clock_timestamp() - prepared)::float8, ''
FROM pg_prepared_xacts ORDER BY 6 DESC LIMIT 20"""


class Holder(msgspec.Struct, frozen=True):
    """A transaction that has written, and goes on: nobody reads past where it began."""

    pid: int | None  # None: it was prepared, and waits to be committed by name
    application: str  # or the name it was prepared under
    database: str
    user: str
    state: str | None
    age: float  # seconds
    query: str


class ServerInspection(msgspec.Struct, frozen=True):
    """A log as its server shows it; with `trouble`, what stands after it could not be read."""

    place: str
    role: str  # log or broker
    trouble: TidingsError | None = None
    schema: int = 0  # 0: there are no tables yet
    known: int = 0  # the newest schema this tidings has
    settings: dict[str, str] = {}
    holders: tuple[Holder, ...] = ()
    groups: tuple[GroupSight, ...] = ()


def inspect(url: str, role: str = "log") -> ServerInspection:
    """Look at the log that a URL names, used as a log or a broker; blocks. Without psycopg, that is the trouble."""
    place = redacted(url)
    try:
        return _inspect(url, role)
    except TidingsError as error:
        return ServerInspection(place, role, trouble=error)
    except ValueError as error:
        return ServerInspection(place, role, trouble=ConfigurationError(f"{place}: {error}"))


def _inspect(url: str, role: str) -> ServerInspection:
    from tidings.log.open import divided  # and only who has such a log needs the driver
    from tidings.log.postgres.address import address_of
    from tidings.log.postgres.connection import Link
    from tidings.log.postgres.driver import psycopg
    from tidings.log.postgres.failures import translated
    from tidings.log.postgres.members import Members

    plain, settings = divided(url, {"schema", "lock_timeout", "lease"})
    address = address_of(plain, settings.get("schema", "tidings"))
    members = Members(address.schema, float(settings.get("lease", _LEASE)))
    try:
        connection = Link(address, "tidings doctor", _ANSWER_WITHIN, lambda connection: None).connect()
        try:
            return _looked_at(connection, ServerInspection(address.place, role), members)
        finally:
            connection.close()
    except psycopg.Error as error:
        raise translated(error, address.place) from error


def _looked_at(connection: "Connection", seen: ServerInspection, members: "Members") -> ServerInspection:
    from tidings.log.postgres.schema import MIGRATIONS

    has_tables = connection.execute(_TABLES, (f'"{connection.schema}".meta',)).fetchone()[0]
    schema = connection.execute(_SCHEMA).fetchone()[0] if has_tables else 0
    return msgspec.structs.replace(
        seen,
        schema=schema,
        known=len(MIGRATIONS),
        settings=dict(connection.execute(_SETTINGS).fetchall()),
        holders=tuple(Holder(*row) for row in connection.execute(_HOLDERS).fetchall()),
        groups=_groups(connection, members) if schema == len(MIGRATIONS) else (),
    )


def _groups(connection: "Connection", members: "Members") -> tuple[GroupSight, ...]:
    signs = members.signs(connection)
    return sights(connection, lambda order: int(connection.execute(_LAG, (order,)).fetchone()[0]), signs.is_alive)


def is_ours(url: str | None) -> bool:
    """Is it the URL of a log in Postgres?"""
    return url is not None and url.startswith("postgresql:")
