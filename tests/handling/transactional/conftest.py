"""What the tests of handlers with `tx` start from: a SQLite log with a table of the application's own."""

from collections.abc import AsyncIterator

import pytest

from tidings.clock import ManualClock
from tidings.log import Log, open_log


@pytest.fixture
def url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
def kind() -> str:
    return "sqlite"


@pytest.fixture
async def log(url: str, clock: ManualClock) -> AsyncIterator[Log]:
    """The log as another process has it open, with a table of the application's own."""
    log = await open_log(url, clock=clock)
    async with log.transaction() as tx:
        tx.execute("CREATE TABLE stock (order_id INTEGER PRIMARY KEY, count INTEGER NOT NULL)")
    yield log
    await log.close()
