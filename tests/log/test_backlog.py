"""How far behind a group is, in what it hears."""

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tidings import Event
from tidings.clock import ManualClock
from tidings.log import Log, Settlement, open_log
from tidings.log.backlog import Backlog, backlog
from tidings.log.group import Group

_names = itertools.count()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory:backlog-{number}", "sqlite:///{folder}/log.db"])
async def log(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Log]:
    opened = await open_log(request.param.format(number=next(_names), folder=tmp_path), clock=clock)
    yield opened
    await opened.close()


async def append(log: Log, *types: str) -> None:
    await log.append([Event(source="test", type=type) for type in types])


async def behind(log: Log) -> Backlog:
    (status,) = await log.ledger.groups()
    return await backlog(log, status)


@pytest.mark.parametrize("patterns", [("order:created",), ("order:*",)])
async def test_only_what_a_group_hears_is_counted(log: Log, clock: ManualClock, patterns: tuple[str, ...]) -> None:
    await log.ledger.join(Group("g", patterns))
    await append(log, "user:seen")
    clock.advance(5.0)
    await append(log, "order:created", "user:seen")
    oldest = clock.now()
    clock.advance(5.0)
    await append(log, "order:created")

    assert await behind(log) == Backlog(2, True, oldest, first=2)


async def test_nothing_it_hears_is_nothing(log: Log) -> None:
    await log.ledger.join(Group("g", ("order:created",)))
    await append(log, "user:seen")

    assert await behind(log) == Backlog(0, True, None)


async def test_a_long_way_is_told_as_at_most(log: Log, clock: ManualClock) -> None:
    await log.ledger.join(Group("g", ("order:*",)))
    for kind in ("order:created", *["user:seen"] * 3):
        await append(log, *[kind] * 1000)

    found = await behind(log)

    assert found == Backlog(1000 + 1000, False, clock.now(), first=1)


async def test_a_damaged_record_in_the_way_is_named_until_it_is_set_aside(tmp_path: Path) -> None:
    log = await open_log(url := f"sqlite:///{tmp_path}/log.db")
    await log.ledger.join(Group("g"))
    await append(log, "a", "a", "a")
    second = (await log.scan("", limit=2)).upto
    await damage(url, 2)

    before = await behind(log)
    await log.ledger.set_aside("g", second, "damaged")
    after = await behind(log)

    await log.close()
    assert before == Backlog(3, False, None, second)
    assert (after.events, after.is_exact, after.damaged) == (2, True, None)


async def test_what_is_answered_lies_behind(log: Log) -> None:
    await log.ledger.join(Group("g"))
    await append(log, "a", "a")
    lease = await log.ledger.claim("g", await log.ledger.enter())
    await log.ledger.settle(Settlement(lease, upto=await log.head()))

    assert await behind(log) == Backlog()


async def damage(url: str, order: int, column: str = "data") -> None:
    """Spoil a record of a SQLite log, behind its back."""
    await asyncio.to_thread(_change, url, f"UPDATE tidings_events SET {column} = X'FF' WHERE position = {order}")


async def delete(url: str, upto: int) -> None:
    """Take the oldest events of a SQLite log away."""
    await asyncio.to_thread(_change, url, f"DELETE FROM tidings_events WHERE position <= {upto}")


def _change(url: str, sql: str) -> None:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    with connection:
        connection.execute(sql)
    connection.close()
