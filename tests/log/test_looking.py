"""A log that is only looked at: read as it is, whoever writes to it, and nothing left behind."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tidings import Event
from tidings.errors import ConfigurationError, LogDamaged, LogError, LogReadOnly, NewerSchema
from tidings.log import START, look_into
from tidings.log.group import Group
from tidings.log.record import restore
from tidings.log.sqlite import SqliteLog, schema


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


async def made(path: Path, *ids: str) -> None:
    log = await SqliteLog.open(path)
    await log.append([Event(id=each, source="shop", type="t", data=1) for each in ids])
    await log.close()


async def ids(log: Any) -> list[str]:
    found = await log.scan(START)
    return [restore(record, found.position(record)).id for record in found.records]


def change(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(sql)
    connection.commit()
    connection.close()


def names(path: Path) -> list[str]:
    return sorted(str(each.relative_to(path.parent)) for each in path.parent.rglob("*"))


async def test_it_reads_and_leaves_everything_as_it_was(path: Path) -> None:
    await made(path, "a", "b")
    before = await asyncio.to_thread(names, path)

    log = await look_into(f"sqlite:///{path}")
    read, during = await ids(log), await asyncio.to_thread(names, path)
    groups = await log.ledger.groups()
    await log.close()

    assert (read, list(groups)) == (["a", "b"], [])
    assert during == before == await asyncio.to_thread(names, path)


async def test_it_needs_no_folder_beside_the_file(path: Path, tmp_path: Path) -> None:
    await made(path, "a")
    copy = tmp_path / "copy" / "log.db"
    await asyncio.to_thread(copy.parent.mkdir)
    await asyncio.to_thread(lambda: copy.write_bytes(path.read_bytes()))

    log = await SqliteLog.look(copy)
    read = await ids(log)
    steps = [step async for step in log.verify()]
    await log.close()

    assert read == ["a"]
    assert not [finding for step in steps for finding in step.flaws]
    assert await asyncio.to_thread(names, copy) == ["log.db"]


WRITES: dict[str, Callable[[SqliteLog], Awaitable[Any]]] = {
    "append": lambda log: log.append([Event(source="shop", type="t")]),
    "append_blocking": lambda log: asyncio.to_thread(log.append_blocking, [Event(source="shop", type="t")]),
    "join": lambda log: log.ledger.join(Group("g")),
    "pause": lambda log: log.ledger.set_state("g", "paused"),
    "trim": lambda log: log.trim({}),
    "shrink": lambda log: log.shrink(),
    "ring": lambda log: log.ring(),
}


@pytest.mark.parametrize("write", WRITES)
async def test_what_would_write_is_refused(write: str, path: Path) -> None:
    await made(path, "a")
    log = await SqliteLog.look(path)

    with pytest.raises(LogReadOnly):
        await WRITES[write](log)

    assert await ids(log) == ["a"]
    await log.close()


async def test_it_sees_what_is_written_by_who_comes_and_goes_meanwhile(path: Path) -> None:
    await made(path, "a")
    log = await SqliteLog.look(path)
    first = await ids(log)

    await made(path, "b")
    after_one_left = await ids(log)
    other = await SqliteLog.open(path)
    await other.append([Event(id="c", source="shop", type="t")])
    beside_one = await ids(log)
    await other.close()
    await made(path, "d")

    assert (first, after_one_left, beside_one) == (["a"], ["a", "b"], ["a", "b", "c"])
    assert await ids(log) == ["a", "b", "c", "d"]
    await log.close()


async def test_a_change_under_a_look_is_looked_at_again(path: Path) -> None:
    await made(path, "a")
    log = await SqliteLog.look(path)
    calls: list[int] = []

    def question(connection: sqlite3.Connection) -> int:
        count: int = connection.execute("SELECT count(*) FROM tidings_events").fetchone()[0]
        if not calls:
            asyncio.run(made(path, "b"))
        calls.append(count)
        return count

    assert await log.threads.read(question) == 2
    assert calls == [1, 2]
    await log.close()


async def test_who_is_at_work_is_seen(path: Path) -> None:
    other = await SqliteLog.open(path)
    member = await other.ledger.enter()
    await other.ledger.join(Group("g"))
    await other.ledger.claim("g", member)

    log = await SqliteLog.look(path)
    (status,) = await log.ledger.groups()
    await log.close()
    await other.close()

    assert (status.name, status.members) == ("g", (member,))


async def test_what_is_no_log_is_none(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such log"):
        await SqliteLog.look(path)
    assert not await asyncio.to_thread(path.exists)

    await asyncio.to_thread(change, path, "CREATE TABLE notes(text)")
    with pytest.raises(ConfigurationError, match="no tables of a log"):
        await SqliteLog.look(path)

    await asyncio.to_thread(path.write_bytes, b"nothing of the kind" * 100)
    with pytest.raises(LogDamaged):
        await SqliteLog.look(path)
    with pytest.raises(ConfigurationError, match="lives inside its own process"):
        await look_into("memory:")


async def test_an_older_file_is_brought_up_to_date_and_a_newer_one_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = schema.MIGRATIONS
    monkeypatch.setattr(schema, "MIGRATIONS", known[:1])
    monkeypatch.setattr("tidings.log.sqlite.looking.MIGRATIONS", known[:1])
    await made(path, "a")
    monkeypatch.undo()

    log = await SqliteLog.look(path)
    read = await ids(log)
    await log.ledger.groups()
    await log.close()
    await asyncio.to_thread(change, path, "UPDATE tidings_meta SET value = '99' WHERE name = 'schema'")

    assert read == ["a"]
    with pytest.raises(NewerSchema):
        await SqliteLog.look(path)


async def test_a_file_that_lost_its_end_is_told(path: Path) -> None:
    await made(path, "a", "b")
    await asyncio.to_thread(change, path, "DELETE FROM tidings_events WHERE position = 2")

    with pytest.raises(LogDamaged, match="its last events are lost"):
        await SqliteLog.look(path)


async def test_a_file_at_rest_that_is_written_to_while_it_is_verified_is_verified_again(path: Path) -> None:
    await made(path, "a")
    log = await SqliteLog.look(path)
    steps = log.verify()
    await anext(steps)

    await made(path, "b")

    with pytest.raises(LogError, match="verify it again"):
        [step async for step in steps]
    await log.close()
