"""What a server says of a log when it is only looked at: nothing is made there, and nothing is changed."""

import msgspec

from tidings.address import redacted
from tidings.errors import TidingsError

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
    trouble: TidingsError | None = None
    schema: int = 0  # 0: there are no tables yet
    known: int = 0  # the newest schema this tidings has
    settings: dict[str, str] = {}
    holders: tuple[Holder, ...] = ()


def inspect(url: str) -> ServerInspection:
    """Look at the log that a URL names; blocks. Without psycopg, that is the trouble."""
    place = redacted(url)
    try:
        return _inspect(url)
    except TidingsError as error:
        return ServerInspection(place, trouble=error)


def _inspect(url: str) -> ServerInspection:
    from tidings.log.open import divided  # and only who has such a log needs the driver
    from tidings.log.postgres.address import address_of
    from tidings.log.postgres.connection import Link
    from tidings.log.postgres.schema import MIGRATIONS

    plain, settings = divided(url, {"schema", "lock_timeout", "lease"})
    address = address_of(plain, settings.get("schema", "tidings"))
    link = Link(address, "tidings doctor", 0.0, lambda connection: None)
    try:
        connection = link.connection()
        has_tables = connection.execute(_TABLES, (f'"{address.schema}".meta',)).fetchone()[0]
        schema = connection.execute(_SCHEMA).fetchone()[0] if has_tables else 0
        known = dict(connection.execute(_SETTINGS).fetchall())
        holders = tuple(Holder(*row) for row in connection.execute(_HOLDERS).fetchall())
    finally:
        link.close()
    return ServerInspection(address.place, None, schema, len(MIGRATIONS), known, holders)


def is_ours(url: str | None) -> bool:
    """Is it the URL of a log in Postgres?"""
    return url is not None and url.startswith("postgresql:")
