"""What the tests of the SQLite log share: a place for one, and one that is open."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tidings.log.sqlite import SqliteLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "log.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[SqliteLog]:
    log = await SqliteLog.open(path)
    yield log
    await log.close()
