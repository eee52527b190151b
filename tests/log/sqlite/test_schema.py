"""Files of another tidings: newer ones are left alone, older ones brought up, as often as it takes."""

import asyncio
import struct
import time
from pathlib import Path
from zlib import crc32

import pytest
from msgspec.structs import replace

from tests.log.sqlite.stage import change, event, made, on_writer, recorded
from tidings.errors import NewerSchema
from tidings.log.bell import Counters
from tidings.log.group import ORPHAN_AFTER
from tidings.log.sqlite import SqliteLog, schema


async def test_an_older_tidings_and_this_one_read_each_others_head_record(path: Path) -> None:
    log = await SqliteLog.open(path)
    await log.append([event(1)])
    sidecar, bell = log._sidecar, log._sidecar.bell_path
    head = sidecar.read_head()
    assert head is not None
    counters = Counters(head.counters.control, 7)
    await asyncio.to_thread(sidecar.write_head, replace(head, counters=counters))

    known = sidecar.read_head()
    first = (await asyncio.to_thread(bell.read_bytes))[:40]  # all that an older one reads, and writes
    fields = struct.unpack("<I8sQQQ", first[:36])
    later = struct.pack("<I8sQQQ", *fields[:4], fields[4] + 1)
    await asyncio.to_thread(_write_over, bell, later + crc32(later).to_bytes(4, "little"))
    mixed = sidecar.read_head()
    await log.close()

    assert known == replace(head, counters=counters)
    assert crc32(first[:36]).to_bytes(4, "little") == first[36:]
    assert fields[2:] == (head.tip, head.recorded_at, head.counters.control)
    assert mixed == replace(head, counters=Counters(head.counters.control + 1, 0))


def _write_over(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.write(content)


async def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    await made(path)
    await asyncio.to_thread(change, path, "UPDATE tidings_meta SET value = '99' WHERE name = 'schema'")

    with pytest.raises(NewerSchema) as refused:
        await SqliteLog.open(path)

    assert (refused.value.found, refused.value.known) == (99, len(schema.MIGRATIONS))


async def test_groups_of_an_older_file_count_as_seen_when_it_is_brought_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = schema.MIGRATIONS
    monkeypatch.setattr(schema, "MIGRATIONS", known[:1])
    await made(path)
    await asyncio.to_thread(
        change, path, "INSERT INTO tidings_groups(name, patterns, created_at) VALUES ('g', '[1]', 7)"
    )
    parked = "INSERT INTO tidings_parked VALUES ('g', 1, 0, NULL, 'id-0', 't', 'dead', 1, 0, '', '', 7.5, 0)"
    await asyncio.to_thread(change, path, parked)
    monkeypatch.setattr(schema, "MIGRATIONS", known)
    before = time.time() - 1

    log = await SqliteLog.open(path)

    seen = await on_writer(log, "SELECT last_seen, orphan_after FROM tidings_groups")
    (dead,) = await log.ledger.parked()
    await log.close()
    assert before <= seen[0] <= time.time()
    assert seen[1] == ORPHAN_AFTER
    assert (dead.parked_at, dead.changed_at) == (7.5, 7.5)


async def test_a_file_whose_numbers_sqlite_gave_out_goes_on_with_its_own(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = schema.MIGRATIONS
    automatic = known[0].replace("position INTEGER PRIMARY KEY,", "position INTEGER PRIMARY KEY AUTOINCREMENT,", 1)
    assert automatic != known[0]
    monkeypatch.setattr(schema, "MIGRATIONS", (automatic, *known[1:5]))
    await made(path, 3)
    monkeypatch.setattr(schema, "MIGRATIONS", known)

    log = await SqliteLog.open(path)
    await log.append([event(3)])
    await asyncio.to_thread(log.append_blocking, [event(4)])

    assert await recorded(log) == [f"id-{number}" for number in range(5)]
    assert (await log.head()) == log.threads.epoch.position(5)
    await log.close()


async def test_an_interrupted_migration_is_begun_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await made(path, 3)
    table = "CREATE TABLE tidings_later(x);\n"
    known = schema.MIGRATIONS
    monkeypatch.setattr(schema, "MIGRATIONS", (*known, f"{table}INSERT INTO tidings_nowhere VALUES (1);\n"))
    with pytest.raises(Exception, match="no such table"):
        await SqliteLog.open(path)

    monkeypatch.setattr(schema, "MIGRATIONS", (*known, table))
    log = await SqliteLog.open(path)

    assert await recorded(log) == ["id-0", "id-1", "id-2"]
    assert await on_writer(log, "SELECT value FROM tidings_meta WHERE name = 'schema'") == (str(len(known) + 1),)
    await log.close()


async def test_a_log_whose_first_migration_was_interrupted_opens(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(schema, "add_epoch", lambda connection, epoch: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await SqliteLog.open(path)

    await made(path)
