"""Damage done on purpose, with plain SQL and a plain editor: each kind is found, named by its position, with a cure."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tidings.errors import LogDamaged
from tidings.events import Event
from tidings.log import Log, Parked, Settlement, open_log
from tidings.log.group import Group
from tidings.log.sqlite import SqliteLog
from tidings.log.verifying import Examined, Flaw


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[SqliteLog]:
    log = await SqliteLog.open(path)
    await log.append([event(number) for number in range(1, 7)])
    await log.append([event(number) for number in range(7, 11)], stream="order-1")
    yield log
    await log.close()


def event(number: int) -> Event:
    return Event(id=f"id-{number}", source="shop", type="a:x", key=f"k{number % 3}", data={"number": number})


async def tamper(path: Path, *statements: str) -> None:
    """Run SQL on a connection that is not tidings'."""

    def run() -> None:
        connection = sqlite3.connect(path)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    await asyncio.to_thread(run)


async def examined(log: Log | SqliteLog) -> list[Examined]:
    return [step async for step in log.verify()]


async def found(log: Log | SqliteLog) -> list[Flaw]:
    return [finding for step in await examined(log) for finding in step.flaws]


async def test_a_sound_log_has_no_findings_and_tells_how_far_it_is(log: SqliteLog) -> None:
    await log.append([event(number) for number in range(11, 3001)])

    steps = await examined(log)

    assert [finding for step in steps for finding in step.flaws] == []
    assert [step.events for step in steps] == [0, 1000, 2000, 3000, 3000]
    assert {step.of for step in steps} == {3000}


async def test_memory_is_looked_at_too() -> None:
    log = await open_log("memory:")
    await log.append([event(1)])
    (step,) = await examined(log)
    assert (step.events, step.flaws) == (1, [])

    record = (await log.scan("")).records[0]
    record.data = b"{}"
    (finding,) = await found(log)
    assert finding.what == "its data is not what was written"
    await log.close()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("data = X'7b7d'", "its data is not what was written"),
        ("envelope = X'5b5d'", "its envelope is not what was written"),
        ("type = 'a:y'", "its envelope is not what was written"),
        ("version = 7", "its envelope is not what was written"),
        ("id = 'other'", "it is found by another id, source or key than its envelope says"),
        ("key = 'other'", "it is found by another id, source or key than its envelope says"),
        ("slot = (slot + 1) % 256", "it lies in another slot than its key"),
        ("recorded_at = 1", "it was recorded before the event in front of it"),
    ],
)
async def test_a_damaged_row_is_named_by_its_position(log: SqliteLog, path: Path, damage: str, says: str) -> None:
    await tamper(path, f"UPDATE tidings_events SET {damage} WHERE position = 4")

    (finding,) = await found(log)

    assert finding.what == says
    assert finding.position is not None
    assert finding.position.endswith("-0000000000000004")
    assert "backup" in finding.cure


async def test_a_hole_in_a_stream_is_found(log: SqliteLog, path: Path) -> None:
    await tamper(path, "DELETE FROM tidings_events WHERE position = 8")

    assert [finding.what for finding in await found(log)] == ["stream 'order-1' has 3 events from version 1 to 4"]


async def test_a_stream_that_has_lost_its_end_is_found(log: SqliteLog, path: Path) -> None:
    await tamper(path, "UPDATE tidings_streams SET version = 9")

    assert [finding.what for finding in await found(log)] == [
        "stream 'order-1' ends at version 4, and is known to be at 9"
    ]


async def test_a_parked_event_without_its_record_is_found_and_can_be_dropped(log: SqliteLog, path: Path) -> None:
    await log.ledger.join(Group("g"))
    lease = await log.ledger.claim("g", await log.ledger.enter())
    parked = Parked(2, 0, None, "id-2", "a:x", "dead")
    await log.ledger.settle(Settlement(lease, upto=await log.head(), parked=[parked]))
    await tamper(path, "DELETE FROM tidings_events WHERE position = 2")

    (finding,) = await found(log)

    assert finding.what == "g has set it aside, and it is not in the log"
    assert "tidings dead drop" in finding.cure
    await log.ledger.discard("g", [2])
    assert await found(log) == []


async def test_a_lane_past_the_end_is_found(log: SqliteLog, path: Path) -> None:
    await log.ledger.join(Group("g"))
    await tamper(path, "UPDATE tidings_lanes SET position = 99 WHERE lane = 3")

    (finding,) = await found(log)

    assert finding.what == "lane 3 of g stands past the end of the log, at 99"
    assert "tidings replay" in finding.cure


async def test_an_index_that_lost_an_entry_is_found(log: SqliteLog, path: Path) -> None:
    await tamper(
        path,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = 'CREATE UNIQUE INDEX tidings_events_id ON tidings_events(id, source)"
        " WHERE position != 5' WHERE name = 'tidings_events_id'",
    )
    await log.close()
    await tamper(path, "REINDEX tidings_events_id")
    await tamper(
        path,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = 'CREATE UNIQUE INDEX tidings_events_id ON tidings_events(id, source)'"
        " WHERE name = 'tidings_events_id'",
    )
    again = await SqliteLog.open(path)

    findings = [finding.what for finding in await found(again)]
    await again.close()

    assert any("tidings_events_id" in what for what in findings), findings


async def test_overwritten_pages_are_found_and_the_rest_is_still_looked_at(log: SqliteLog, path: Path) -> None:
    await log.append([event(number) for number in range(11, 3001)])
    await log.close()

    def overwrite() -> None:
        with path.open("r+b") as file:
            size = file.seek(0, 2)
            for page in range(size // 4096 // 2, size // 4096 // 2 + 30):
                file.seek(page * 4096)
                file.write(b"\xa5" * 4096)

    await asyncio.to_thread(overwrite)
    again = await SqliteLog.open(path)
    steps = await examined(again)
    await again.close()

    findings = [finding for step in steps for finding in step.flaws]
    assert any(finding.what.startswith("the file:") for finding in findings)
    assert any(finding.position is not None for finding in findings)
    assert 0 < steps[-2].events < 3000


async def test_a_file_that_is_no_log_is_refused(tmp_path: Path, log: SqliteLog) -> None:
    await asyncio.to_thread((tmp_path / "text").write_bytes, b"no database" * 1000)

    with pytest.raises(LogDamaged, match="cannot be read"):
        [step async for step in log.verify(tmp_path / "text")]
