"""The disk: what happens when it is full, and how much of it a log takes."""

import asyncio
from pathlib import Path

import pytest

from tests.log.sqlite.stage import effect, event, file_size_limit, lease_of, on_writer, recorded
from tidings.errors import DiskFull
from tidings.log import Settlement
from tidings.log.sqlite import SqliteLog, wal


async def test_a_full_disk_is_a_typed_error_and_loses_nothing(log: SqliteLog) -> None:
    lease = await lease_of(log)
    acknowledged: list[str] = []
    (pages,) = await on_writer(log, "PRAGMA page_count")
    await on_writer(log, f"PRAGMA max_page_count = {pages + 5}")

    refused = -1
    for number in range(1000):
        try:
            await log.append([event(number, data="x" * 2000)])
        except DiskFull:
            refused = number
            break
        acknowledged.append(f"id-{number}")
    with pytest.raises(DiskFull):
        await log.append([event(number, data="x" * 2000) for number in range(2000, 2010)])

    assert len(acknowledged) == refused > 0
    assert await recorded(log) == acknowledged
    await log.ledger.settle(Settlement(lease, upto=await log.head()))  # an answer needs no room

    await on_writer(log, "PRAGMA max_page_count = 1000000")
    appended = await log.append([event(refused, data="x" * 2000)])
    assert not appended.duplicate
    assert await recorded(log) == [*acknowledged, f"id-{refused}"]


async def test_answers_are_recorded_on_a_full_disk_from_the_reserve(log: SqliteLog, path: Path) -> None:
    lease = await lease_of(log)
    await log.append([event(0)])
    upto = await log.head()
    size = (await asyncio.to_thread(Path(f"{path}-wal").stat)).st_size

    reserve = path.parent / "log.db-tidings" / "reserve"
    assert await asyncio.to_thread(reserve.exists)

    with file_size_limit(size + 100_000):  # what a full disk is to the -wal, which is the file that grows
        refused = None
        for number in range(1, 200):
            try:
                await log.append([event(number, data="x" * 4000)])
            except DiskFull:
                refused = number
                break
        answers = 0
        while answers < 100 and await asyncio.to_thread(reserve.exists):
            answers += 1
            await log.ledger.settle(Settlement(lease, upto=upto, events=[effect(1000 + answers)]))

    assert refused is not None
    assert not await asyncio.to_thread(reserve.exists)
    wanted = [*range(refused), *range(1001, 1001 + answers)]
    assert await recorded(log) == [f"id-{number}" for number in wanted]
    await log.append([event(refused)])


async def test_the_wal_does_not_grow_without_end(log: SqliteLog, path: Path) -> None:
    for number in range(0, 40_000, 1000):
        await log.append([event(one) for one in range(number, number + 1000)])

    sizes = await asyncio.to_thread(lambda: (path.stat().st_size, Path(f"{path}-wal").stat().st_size))
    assert sizes[1] < sizes[0] < 40_000 * 1000


async def test_the_wal_does_not_grow_without_end_where_each_of_many_publishes_one_event(
    log: SqliteLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last who closes a file empties its `-wal`; here somebody stays."""
    monkeypatch.setattr(wal, "LIMIT", 40)
    for number in range(100):
        other = await SqliteLog.open(path)
        await other.append([event(number)])
        await other.close()

    size = await asyncio.to_thread(lambda: Path(f"{path}-wal").stat().st_size)
    assert size < 30 * 4 * 4096  # a commit writes four pages
