"""What the tests of the Postgres log share."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.handling.conftest import reports
from tests.servers.fixtures import require
from tests.servers.postgres import PostgresServer
from tidings.log import Log, open_log

__all__ = ["reports"]


@pytest.fixture
async def log(postgres_url: str) -> AsyncIterator[Log]:
    """An open log."""
    log = await open_log(postgres_url)
    yield log
    await log.close()


@pytest.fixture
def user_url(postgres_url: str) -> str:
    """The same database, as the user's own connections know it."""
    return postgres_url.partition("&schema=")[0]


@pytest.fixture
def connect(user_url: str) -> Callable[[], "psycopg.Connection[Any]"]:
    """A connection of the user's own."""
    return lambda: psycopg.connect(user_url)


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that the test may kill."""
    require(PostgresServer)
    with PostgresServer() as server:
        yield server
