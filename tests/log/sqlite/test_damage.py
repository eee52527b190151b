"""What is stored is not what was written: each damage is found, and named by its position where there is one."""

import asyncio
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.log.sqlite.stage import change, event, lease_of, made, recorded, refused_at_open
from tidings.errors import LogDamaged
from tidings.log import START, Parked, Settlement
from tidings.log.record import restore
from tidings.log.sqlite import SqliteLog


def crash_image(path: Path, to: Path) -> Path:
    """What a process that dies now leaves on the disk."""
    shutil.copytree(path.parent, to)
    (to / f"{path.name}-shm").unlink()  # shared memory does not outlive a power cut either
    return to / path.name


def test_a_file_that_is_no_database_is_damaged(path: Path, seed: int) -> None:
    path.write_bytes(random.Random(seed).randbytes(10_000))

    refused_at_open(path, LogDamaged, "not a database")


async def test_a_flipped_bit_in_the_data_is_reported_with_its_position(log: SqliteLog, path: Path, seed: int) -> None:
    positions = [(await log.append([event(number)], stream="s")).last for number in range(5)]
    lease = await lease_of(log)
    await log.ledger.settle(Settlement(lease, parked=[Parked(3, 0, None, "id-2", "t", "retry")]))
    data = bytearray((await log.scan(START)).records[2].data)
    bit = random.Random(seed).randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    await asyncio.to_thread(change, path, "UPDATE tidings_events SET data = ? WHERE position = 3", (bytes(data),))

    for look in (log.scan(START), log.find("id-2"), log.ledger.due(lease, 1.0), anext(aiter(log.read("s")))):
        with pytest.raises(LogDamaged) as damaged:
            await look

        assert damaged.value.positions == (positions[2],)
    assert len((await log.scan(START, limit=2)).records) == 2
    assert len((await log.scan(positions[2])).records) == 2


@pytest.mark.parametrize(
    "column", ["envelope = CAST(replace(CAST(envelope AS TEXT), 'id-1', 'id-9') AS BLOB)", "type = 'u'", "version = 7"]
)
async def test_a_changed_envelope_is_reported_when_the_event_is_restored(
    log: SqliteLog, path: Path, column: str
) -> None:
    appended = await log.append([event(1)])
    await asyncio.to_thread(change, path, f"UPDATE tidings_events SET {column}")

    (record,) = (await log.scan(START)).records

    with pytest.raises(LogDamaged) as damaged:
        restore(record, appended.last)
    assert damaged.value.positions == (appended.last,)


async def test_a_crash_image_holds_everything_acknowledged(log: SqliteLog, path: Path, tmp_path: Path) -> None:
    for number in range(30):
        await log.append([event(number)])

    image = await asyncio.to_thread(crash_image, path, tmp_path / "image")

    again = await SqliteLog.open(image)
    assert await recorded(again) == await recorded(log)
    await again.close()


async def damage_the_wal(path: Path, folder: Path, spoil: Callable[[bytearray], bytearray | None]) -> Path:
    """A crash image whose -wal was spoiled; None deletes it."""
    image = await asyncio.to_thread(crash_image, path, folder)
    wal = image.with_name(f"{image.name}-wal")
    content = spoil(bytearray(await asyncio.to_thread(wal.read_bytes)))
    if content is None:
        await asyncio.to_thread(wal.unlink)
    else:
        await asyncio.to_thread(wal.write_bytes, content)
    return image


async def assert_damaged(image: Path) -> None:
    for _ in range(2):  # looking does not heal
        with pytest.raises(LogDamaged, match="was committed: its last events are lost"):
            await SqliteLog.open(image)


async def test_a_deleted_wal_is_reported(log: SqliteLog, path: Path, tmp_path: Path) -> None:
    await log.append([event(1)])

    await assert_damaged(await damage_the_wal(path, tmp_path / "image", lambda content: None))


async def test_a_truncated_wal_is_reported(log: SqliteLog, path: Path, tmp_path: Path, seed: int) -> None:
    for number in range(10):
        await log.append([event(number)])
    chance = random.Random(seed)

    for attempt in range(10):
        folder = tmp_path / f"image-{attempt}"
        image = await damage_the_wal(path, folder, lambda content: content[: chance.randrange(len(content))])
        await assert_damaged(image)


async def test_a_flipped_bit_in_the_wal_is_reported(log: SqliteLog, path: Path, tmp_path: Path, seed: int) -> None:
    for number in range(10):
        await log.append([event(number)])
    chance = random.Random(seed)

    def flip(content: bytearray) -> bytearray:
        # Not the header's words 12 to 16: they count checkpoints, for people.
        at = chance.choice([*range(12), *range(16, len(content))])
        content[at] ^= 1 << chance.randrange(8)
        return content

    for attempt in range(20):
        await assert_damaged(await damage_the_wal(path, tmp_path / f"image-{attempt}", flip))


async def test_a_database_replaced_by_an_empty_one_is_reported(path: Path) -> None:
    await made(path, 3)
    await asyncio.to_thread(path.unlink)

    await assert_damaged(path)


async def test_a_file_taken_away_while_open_is_noticed(log: SqliteLog, path: Path) -> None:
    member = await log.ledger.enter()
    await asyncio.to_thread(path.rename, path.with_name("elsewhere.db"))

    with pytest.raises(LogDamaged, match="removed or replaced"):
        await log.ledger.pulse(member)
