"""A full lean page has the next one read before it is asked for, and nothing that is read ahead is ever out of date."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tidings.errors import LogDamaged
from tidings.events import Event
from tidings.log import START
from tidings.log.slices import Slice, Where
from tidings.log.sqlite import SqliteLog

LEAN = Where(lean=True)


def events(first: int, last: int) -> list[Event]:
    return [Event(id=f"id-{number}", source="shop", type="order:created", data=number) for number in range(first, last)]


def orders(found: Slice) -> list[int]:
    return [record.order for record in found.records]


def damage(path: Path, order: int) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE tidings_events SET data = x'00' WHERE position = ?", (order,))
    connection.close()


class Reader:
    """A log, and the pages its reader's thread has asked SQLite for."""

    def __init__(self, log: SqliteLog) -> None:
        self.log = log
        self._pages = 0

    async def watch(self) -> None:
        def note(statement: str) -> None:
            self._pages += "FROM tidings_events WHERE position >" in statement

        await self.log.threads.read(lambda connection: connection.set_trace_callback(note))

    async def pages(self) -> int:
        """How many, once all it was given to do is done."""
        await self.log.threads.read(lambda connection: None)
        return self._pages


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    log = await SqliteLog.open(tmp_path / "log.db")
    await log.append(events(0, 10))
    reader = Reader(log)
    await reader.watch()
    yield reader
    await log.close()


async def test_the_page_behind_a_full_one_is_read_before_it_is_asked_for(reader: Reader) -> None:
    first = await reader.log.scan(START, LEAN, 4)
    assert (orders(first), await reader.pages()) == ([1, 2, 3, 4], 2)

    second = await reader.log.scan(first.upto, LEAN, 4)
    assert (orders(second), await reader.pages()) == ([5, 6, 7, 8], 3)  # the third, which is not full


async def test_a_page_that_was_not_full_is_read_again(reader: Reader) -> None:
    first = await reader.log.scan(START, LEAN, 8)
    assert await reader.pages() == 2
    await reader.log.append(events(10, 12))

    second = await reader.log.scan(first.upto, LEAN, 8)

    assert (orders(second), second.at_head) == ([9, 10, 11, 12], True)


async def test_who_asks_for_something_else_gets_that(reader: Reader) -> None:
    await reader.log.scan(START, LEAN, 4)

    assert orders(await reader.log.scan(START, LEAN, 4)) == [1, 2, 3, 4]
    first = await reader.log.scan(START, LEAN, 3)
    assert orders(await reader.log.scan(first.upto, LEAN, 4)) == [4, 5, 6, 7]
    assert orders(await reader.log.scan(first.upto, Where(lean=True, passing=frozenset({5})), 3)) == [4, 6, 7]


async def test_what_is_whole_or_large_is_not_read_ahead(reader: Reader) -> None:
    await reader.log.scan(START, Where(), 4)
    assert await reader.pages() == 1

    big = [Event(id=f"big-{number}", source="shop", type="big", data="x" * 20_000) for number in range(4)]
    await reader.log.append(big)
    await reader.log.scan(START, Where(types=frozenset({"big"}), lean=True), 2)
    assert await reader.pages() == 3  # it was found to be large, and is read a row each


async def test_damage_in_a_page_read_ahead_is_told_to_who_asks_for_it(reader: Reader, tmp_path: Path) -> None:
    await asyncio.to_thread(damage, tmp_path / "log.db", 6)
    first = await reader.log.scan(START, LEAN, 4)

    with pytest.raises(LogDamaged) as damaged:
        await reader.log.scan(first.upto, LEAN, 4)

    assert damaged.value.positions == (reader.log.threads.epoch.position(6),)
