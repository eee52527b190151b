"""A file that comes without its folder is a backup: it begins a new life, and old positions mean what they meant."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from tidings.errors import ConfigurationError, LogDamaged, LogTruncated
from tidings.events import Event
from tidings.log import open_log
from tidings.log.position import order_in
from tidings.log.retention import Cut
from tidings.log.sqlite import SqliteLog
from tidings.log.verifying import Flaw


def event(number: int) -> Event:
    return Event(id=f"id-{number}", source="shop", type="order:created", data={"number": number})


async def a_log_and_its_copy(folder: Path) -> tuple[str, str, Path]:
    """The positions of two events, and a copy of the file made between them."""
    log = await SqliteLog.open(folder / "log.db")
    first = await log.append([event(1)])
    await log.close()
    copy = folder / "copy.db"
    await asyncio.to_thread(shutil.copy, folder / "log.db", copy)
    log = await SqliteLog.open(folder / "log.db")
    second = await log.append([event(2)])
    await log.close()
    return first.first, second.first, copy


async def test_a_position_from_before_the_backup_is_good_in_the_restored_log(tmp_path: Path) -> None:
    first, _, copy = await a_log_and_its_copy(tmp_path)

    restored = await SqliteLog.open(copy)
    await restored.append([event(3)])
    found = await restored.scan(first)
    await restored.close()

    assert [record.data for record in found.records] == [b'{"number":3}']


async def test_a_position_from_after_the_backup_is_refused_though_its_number_exists(tmp_path: Path) -> None:
    _, second, copy = await a_log_and_its_copy(tmp_path)

    restored = await SqliteLog.open(copy)
    other = await restored.append([event(3)])
    with pytest.raises(LogTruncated):
        await restored.scan(second)
    await restored.close()

    assert other.first > second, "positions of the new life sort after those of the old"


async def test_a_backup_laid_over_the_log_itself_is_noticed_and_the_error_says_how_to_accept_it(tmp_path: Path) -> None:
    _, _, copy = await a_log_and_its_copy(tmp_path)
    await asyncio.to_thread(shutil.copy, copy, tmp_path / "log.db")

    with pytest.raises(LogDamaged, match=r"remove .*log\.db-tidings"):
        await SqliteLog.open(tmp_path / "log.db")

    await asyncio.to_thread(shutil.rmtree, tmp_path / "log.db-tidings")
    restored = await SqliteLog.open(tmp_path / "log.db")
    assert len((await restored.scan("")).records) == 1
    await restored.close()


async def findings(log: SqliteLog, copy: Path | None = None) -> list[Flaw]:
    return [finding async for step in log.verify(copy) for finding in step.flaws]


async def test_a_backup_is_one_whole_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    log = await SqliteLog.open(tmp_path / "log.db")
    await log.append([event(number) for number in range(2000)])
    await asyncio.to_thread((tmp_path / "kept").mkdir)
    told: list[tuple[int, int]] = []

    await log.backup(tmp_path / "kept" / "copy.db", lambda done, of: told.append((done, of)))

    assert await findings(log, tmp_path / "kept" / "copy.db") == []
    assert await asyncio.to_thread(os.listdir, tmp_path / "kept") == ["copy.db"]
    assert (await asyncio.to_thread(os.stat, tmp_path / "kept" / "copy.db")).st_mode & 0o777 == 0o600
    assert told[-1][0] == told[-1][1] > 0
    await log.close()


async def test_a_backup_overwrites_nothing_and_leaves_nothing_behind_that_is_not_whole(tmp_path: Path) -> None:
    log = await SqliteLog.open(tmp_path / "log.db")
    await log.append([event(1)])
    await asyncio.to_thread((tmp_path / "there.db").write_bytes, b"precious")

    with pytest.raises(ConfigurationError, match="overwrites nothing"):
        await log.backup(tmp_path / "there.db")
    with pytest.raises(ConfigurationError, match="does not exist"):
        await log.backup(tmp_path / "nowhere" / "copy.db")

    def interrupt(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await log.backup(tmp_path / "copy.db", interrupt)
    await asyncio.to_thread((tmp_path / "other.db.partial").touch)
    with pytest.raises(ConfigurationError, match="one was cut short"):
        await log.backup(tmp_path / "other.db")

    assert await asyncio.to_thread((tmp_path / "there.db").read_bytes) == b"precious"
    assert not await asyncio.to_thread(lambda: list(tmp_path.glob("copy.db*")))
    await log.close()


async def test_an_opened_backup_begins_a_new_epoch_and_refuses_what_came_after_it(tmp_path: Path) -> None:
    log = await SqliteLog.open(tmp_path / "log.db")
    first = await log.append([event(1)])
    await log.backup(tmp_path / "copy.db")
    later = await log.append([event(2), event(3)])
    await log.close()

    copy = await SqliteLog.open(tmp_path / "copy.db")
    assert (await copy.scan(first.last)).records == []
    with pytest.raises(LogTruncated):
        await copy.scan(later.first)
    assert (await copy.append([event(9)])).first > later.last
    await copy.close()


async def test_a_log_in_memory_says_that_it_cannot_be_backed_up(tmp_path: Path) -> None:
    log = await open_log("memory:")

    with pytest.raises(ConfigurationError, match="no file to copy: export its events"):
        await log.backup(tmp_path / "copy.db")
    with pytest.raises(ConfigurationError, match="no file to copy"):
        [step async for step in log.verify(tmp_path / "copy.db")]
    await log.close()


async def test_shrinking_gives_the_room_back_while_others_have_the_log_open(tmp_path: Path) -> None:
    log, other = await SqliteLog.open(tmp_path / "log.db"), await SqliteLog.open(tmp_path / "log.db")
    for first in range(0, 5000, 1000):
        await log.append([event(number) for number in range(first, first + 1000)])
    after = ""
    for _ in range(5):
        after = (await log.trim({"order:created": Cut(4900)}, after)).upto
    before = await log.disk()
    assert before.free > before.file // 2

    await asyncio.gather(log.shrink(), other.append([event(5000)]))
    await log.append([event(5001)])

    after_it = await log.disk()
    assert after_it.file < before.file // 4
    assert len((await other.scan("")).records) == 102
    assert order_in(await other.head()) == 5002
    assert await findings(log) == []
    await log.close()
    await other.close()


async def test_the_pages_of_trimmed_events_are_taken_by_new_ones(tmp_path: Path) -> None:
    log = await SqliteLog.open(tmp_path / "log.db")
    sizes = []
    for turn in range(6):
        await log.append([event(number) for number in range(turn * 1000, turn * 1000 + 1000)])
        await log.trim({"order:created": Cut(10**9)})
        sizes.append((await log.disk()).file)

    assert sizes[-1] <= sizes[1] * 1.1
    await log.close()
