"""The `-wal`: counted ahead, and laid out before it is filled."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.log.sqlite.stage import event, recorded
from tidings.events import Event
from tidings.log import Timer
from tidings.log.record import draft
from tidings.log.sqlite import SqliteLog, wal

Write = Callable[[SqliteLog, list[Event]], Awaitable[None]]

STEADY = 200  # events, each a commit: a process that goes on
FRAME = 4096 + 24  # bytes


def beside(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


async def size_of_wal(path: Path) -> int:
    return (await asyncio.to_thread(beside(path).stat)).st_size


def emptied_by(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An entry each time this log would have emptied the file."""
    emptied: list[str] = []
    monkeypatch.setattr(log.threads.writer._wal, "checkpoint", emptied.append)
    return emptied


async def append_alone(log: SqliteLog, numbers: range) -> list[str]:
    for number in numbers:
        await log.append([event(number)])
    return [f"id-{number}" for number in numbers]


async def test_who_goes_on_publishing_finds_it_laid_out(log: SqliteLog, path: Path) -> None:
    published = await append_alone(log, range(STEADY))

    laid_out = await size_of_wal(path)
    assert laid_out >= wal.LIMIT * FRAME
    assert published + await append_alone(log, range(STEADY, 2 * STEADY)) == await recorded(log)
    assert await size_of_wal(path) == laid_out, "a commit made the file longer"


async def test_who_publishes_one_event_takes_no_more_room_than_that_needs(log: SqliteLog, path: Path) -> None:
    before = await size_of_wal(path)

    await append_alone(log, range(1))

    assert await size_of_wal(path) < before + 10 * FRAME


async def test_events_in_front_of_the_laid_out_part_outlive_a_power_cut(
    log: SqliteLog, path: Path, tmp_path: Path
) -> None:
    published = await append_alone(log, range(STEADY))
    image = tmp_path / "image"

    assert await size_of_wal(path) >= wal.LIMIT * FRAME
    await asyncio.to_thread(shutil.copytree, path.parent, image)
    await asyncio.to_thread((image / f"{path.name}-shm").unlink)  # or SQLite would not read the file, but what it knew

    again = await SqliteLog.open(image / path.name)
    assert await recorded(again) == published
    await append_alone(again, range(STEADY, STEADY + 10))
    await again.close()


async def test_laying_out_spoils_no_commit_of_a_foreign_connection(
    log: SqliteLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come at any moment, between the look at the length and the writing, too: it takes no lock of ours."""
    foreign = await asyncio.to_thread(sqlite3.connect, path, isolation_level=None, check_same_thread=False)

    async def ask(sql: str) -> Any:
        return await asyncio.to_thread(lambda: foreign.execute(sql).fetchone())

    await ask("PRAGMA wal_autocheckpoint = 0")
    await ask("CREATE TABLE users(number INTEGER, page BLOB)")
    write, pieces = os.write, 0

    def write_late(descriptor: int, piece: bytes) -> int:
        nonlocal pieces
        pieces += 1
        long = (beside(path).stat().st_size // 4096) + 1  # pages: what they do not find room for lies behind the end
        foreign.execute("INSERT INTO users VALUES (?, zeroblob(?))", (pieces, 4096 * long))
        return write(descriptor, piece)

    monkeypatch.setattr(os, "write", write_late)
    with contextlib.closing(foreign):
        published = await append_alone(log, range(STEADY))

        assert pieces
        assert await ask("SELECT count(*), max(number) FROM users") == (pieces, pieces)
        assert await ask("PRAGMA integrity_check") == ("ok",)
    assert await recorded(log) == published


async def test_what_cannot_be_laid_out_costs_no_event(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a thread that commits by itself hear of it."""
    refused = 0

    def refuse(descriptor: int, piece: bytes) -> int:
        nonlocal refused
        refused += 1
        raise OSError(28, "No space left on device")

    def append_all() -> None:
        for number in range(STEADY):
            log.append_blocking([event(number)])

    monkeypatch.setattr(os, "write", refuse)
    await asyncio.to_thread(append_all)

    assert refused
    assert await recorded(log) == [f"id-{number}" for number in range(STEADY)]


async def test_nothing_is_laid_out_in_the_room_that_a_reserve_has_left(log: SqliteLog, path: Path) -> None:
    assert await asyncio.to_thread(log._sidecar.free_reserve)

    await append_alone(log, range(STEADY))

    assert await size_of_wal(path) < wal.LIMIT * FRAME


async def test_nothing_is_laid_out_where_the_disk_is_nearly_full(
    log: SqliteLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NearlyFull:
        f_bavail, f_frsize = 1000, 4096

    monkeypatch.setattr(os, "statvfs", lambda folder: NearlyFull)

    await append_alone(log, range(STEADY))

    assert await size_of_wal(path) < wal.LIMIT * FRAME


async def alone(log: SqliteLog, events: list[Event]) -> None:
    for each in events:
        await log.append([each])


async def together(log: SqliteLog, events: list[Event]) -> None:
    await log.append(events)


async def in_a_stream(log: SqliteLog, events: list[Event]) -> None:
    await log.append(events, stream="order-1")


async def later(log: SqliteLog, events: list[Event]) -> None:
    await log.ledger.timers.schedule([Timer(2**50, draft(each, public=True)) for each in events])


@pytest.mark.parametrize("write", [alone, together, in_a_stream, later])
@pytest.mark.parametrize(
    "large", [{"data": "x" * 100_000}, {"headers": {"note": "x" * 100_000}}], ids=["data", "headers"]
)
async def test_large_events_are_counted_by_their_size(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch, write: Write, large: dict[str, Any]
) -> None:
    emptied = emptied_by(log, monkeypatch)

    await write(log, [event(number, **large) for number in range(wal.LIMIT * 4096 // 100_000 + 1)])

    await append_alone(log, range(1000, 1001))  # behind what follows a commit, which nobody waits for
    assert len(emptied) == 1


async def test_many_small_events_are_counted_by_their_ids_and_columns(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied = emptied_by(log, monkeypatch)

    await log.append([event(number, data=None) for number in range(8 * wal.LIMIT)])

    await append_alone(log, range(10_000, 10_001))
    assert len(emptied) == 1


async def test_it_is_emptied_after_as_much_as_the_limit_whoever_wrote_it(path: Path) -> None:
    """Both count ahead, and so each a little too much; what matters is that neither forgets the other."""
    logs = [await SqliteLog.open(path) for _ in range(2)]

    with pytest.MonkeyPatch.context() as patch:
        first, second = (emptied_by(log, patch) for log in logs)
        for number in range(0, 400, 2):
            await append_alone(logs[0], range(number, number + 1))
            await append_alone(logs[1], range(number + 1, number + 2))

    for log in logs:
        await log.close()
    assert len(first + second) == 1  # 400 commits of three pages
