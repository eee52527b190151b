"""Lean slices as one row: the same as one row a record, where that row would be too long, and where data is damaged."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from tidings.errors import LogDamaged
from tidings.events import Event
from tidings.log import START, Where
from tidings.log.sqlite import SqliteLog

LEAN = Where(lean=True)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    log = await SqliteLog.open(tmp_path / "log.db")
    yield log
    await log.close()


def event(number: int) -> Event:
    return Event(id=f"id-{number}", source="shop", type="t", data="x" * 1000)


async def test_a_slice_that_is_too_long_for_one_row_is_read_all_the_same(log: SqliteLog) -> None:
    await log.append([event(number) for number in range(50)])
    whole = await log.scan(START, LEAN)
    await log.threads.read(lambda reader: reader.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 20_000))  # of 50,000

    found = await log.scan(START, LEAN)

    assert found == whole
    assert len(found.records) == 50


async def test_damaged_data_is_told_and_where_it_lies(log: SqliteLog) -> None:
    await log.append([event(number) for number in range(3)])
    await asyncio.to_thread(damage, log.path)

    with pytest.raises(LogDamaged) as raised:
        await log.scan(START, LEAN)

    assert raised.value.positions == (log.threads.epoch.position(2),)


def damage(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE tidings_events SET data = ? WHERE position = 2", (b"shorter",))
