"""A file that comes without its folder is a backup: it begins a new life, and old positions mean what they meant."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tidings.errors import LogDamaged, LogTruncated
from tidings.events import Event
from tidings.log.sqlite import SqliteLog


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
