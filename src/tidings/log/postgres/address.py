"""Where a log is: the server and database, the schema in it, and how that is shown without its password."""

import re
from typing import Any

import msgspec

from tidings.address import redacted
from tidings.errors import ConfigurationError
from tidings.log.postgres.driver import psycopg

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_UNKNOWN = re.compile(r'invalid URI query parameter: "(\w+)"')
_DEFAULTS = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}


class Address(msgspec.Struct, frozen=True):
    """A log's place, as libpq's parameters; `place` is what people are shown."""

    parameters: dict[str, Any]
    schema: str
    place: str

    def for_reading(self) -> "Address":
        """The same place, by sessions whose transactions may write nothing."""
        options = f"{self.parameters.get('options', '')} -c default_transaction_read_only=on"
        return Address(self.parameters | {"options": options.strip()}, self.schema, self.place)

    def __repr__(self) -> str:
        return f"Address({self.place!r})"


def address_of(url: str, schema: str) -> Address:
    """The place that a URL names. What stands behind its `?` is libpq's, as `sslmode=verify-full`.

    Raises:
        ConfigurationError: it is no URL of libpq's, or the schema no plain name.
    """
    place = redacted(url)
    if not _SCHEMA.fullmatch(schema) or schema.startswith("pg_"):
        raise ConfigurationError(
            f"schema={schema!r} is no plain name: use lower case letters, digits and _, not pg_..."
        )
    try:
        parameters = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error as error:
        unknown = _UNKNOWN.search(str(error))  # of all it may say, the one thing that shows no password
        if unknown is not None:
            told = "it has schema, lock_timeout, lease, and those of libpq, as sslmode"
            raise ConfigurationError(f"{place} has no setting {unknown[1]!r}: {told}") from None
        raise ConfigurationError(
            f"{place!r} is no URL of a Postgres database: write postgresql://user:password@host:5432/database"
        ) from None
    return Address({**_DEFAULTS, **parameters}, schema, place)
