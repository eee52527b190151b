"""What tests of the SQLite log do with one: events to record, what is recorded, and the file behind its back."""

import asyncio
import contextlib
import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tidings.events import Event
from tidings.log import START, Draft
from tidings.log.group import Group, Lease
from tidings.log.record import draft, restore
from tidings.log.sqlite import SqliteLog


def event(number: int, **attributes: Any) -> Event:
    return Event(id=f"id-{number}", source="shop", type="t", **{"data": {"number": number}, **attributes})


def effect(number: int) -> Draft:
    return draft(event(number), public=True)


async def recorded(log: SqliteLog) -> list[str]:
    found = await log.scan(START, limit=100_000)
    return [restore(record, found.position(record)).id for record in found.records]


async def made(path: Path, events: int = 1) -> None:
    log = await SqliteLog.open(path)
    await log.append([event(number) for number in range(events)])
    await log.close()


async def lease_of(log: SqliteLog) -> Lease:
    await log.ledger.join(Group("g"))
    return await log.ledger.claim("g", await log.ledger.enter())


async def on_writer(log: SqliteLog, sql: str) -> Any:
    """Run a statement on the writer's own connection."""
    return await log.threads.write(lambda session, careful: session.connection.execute(sql).fetchone())


def change(path: Path, sql: str, parameters: tuple[Any, ...] = ()) -> None:
    """Change the file behind the log's back."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(sql, parameters).rowcount


def refused_at_open(path: Path, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        asyncio.run(SqliteLog.open(path))


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
