"""Lean slices as one row: the same as one row a record, where data is large, and where it is damaged."""

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


async def test_large_data_among_small_is_read_as_it_came(log: SqliteLog) -> None:
    datas = ["small", "x" * 9_998, "x" * 9_999, "x" * 100_000, "small"]  # 10,000 bytes with their quotes, and one more
    await log.append([Event(id=str(number), source="shop", type="t", data=data) for number, data in enumerate(datas)])

    for limit in (2, 5):
        found = await log.scan(START, LEAN, limit)
        assert [record.data.decode() for record in found.records] == [f'"{data}"' for data in datas[:limit]]
        assert [record.envelope for record in found.records] == [None] * limit


@pytest.mark.parametrize("name", ['a"b', 'a","b', "a\\b"])
async def test_a_name_that_was_damaged_costs_no_other_record(log: SqliteLog, name: str) -> None:
    await log.append([event(number) for number in range(3)])
    await asyncio.to_thread(rename, log.path, name)

    found = await log.scan(START, LEAN)

    assert [record.type for record in found.records] == ["t", name, "t"]


async def test_damaged_data_is_told_and_where_it_lies(log: SqliteLog) -> None:
    await log.append([event(number) for number in range(3)])
    await asyncio.to_thread(damage, log.path)

    with pytest.raises(LogDamaged) as raised:
        await log.scan(START, LEAN)

    assert raised.value.positions == (log.threads.epoch.position(2),)


def damage(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE tidings_events SET data = ? WHERE position = 2", (b"shorter",))


def rename(path: Path, name: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE tidings_events SET type = ? WHERE position = 2", (name,))
