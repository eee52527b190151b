"""What only a file can suffer: permissions, damage, a full disk, other processes, and the end of this one."""

import asyncio
import contextlib
import itertools
import logging
import os
import pickle
import random
import resource
import shutil
import signal
import sqlite3
import stat
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from msgspec.structs import replace

from tidings.clock import ManualClock
from tidings.errors import (
    CommitUnknown,
    ConfigurationError,
    Conflict,
    DiskFull,
    IdReused,
    LogClosed,
    LogDamaged,
    LogLocked,
    LogReadOnly,
    NewerSchema,
    UsedAfterFork,
    VersionConflict,
)
from tidings.events import Event
from tidings.log import ANY, START, Draft, Parked, Settlement
from tidings.log.bell import Counters
from tidings.log.group import ORPHAN_AFTER, Group, Lease
from tidings.log.record import draft, restore
from tidings.log.slices import Appended
from tidings.log.sqlite import SqliteLog, schema

LIMIT = 20.0  # seconds for what should take milliseconds


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "log.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[SqliteLog]:
    log = await SqliteLog.open(path)
    yield log
    await log.close()


def event(number: int, **attributes: Any) -> Event:
    return Event(id=f"id-{number}", source="shop", type="t", **{"data": {"number": number}, **attributes})


def effect(number: int) -> Draft:
    return draft(event(number), public=True)


async def recorded(log: SqliteLog) -> list[str]:
    found = await log.scan(START, limit=100_000)
    return [restore(record, found.position(record)).id for record in found.records]


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


def crash_image(path: Path, to: Path) -> Path:
    """What a process that dies now leaves on the disk."""
    shutil.copytree(path.parent, to)
    (to / f"{path.name}-shm").unlink()  # shared memory does not outlive a power cut either
    return to / path.name


# --- the place ---


async def test_only_its_owner_can_read_a_log(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        log = await SqliteLog.open(tmp_path / "log.db")
        await log.append([event(1)])
        await log.ledger.enter()
        kinds = await asyncio.to_thread(lambda: {it: stat.S_IMODE(it.stat().st_mode) for it in tmp_path.rglob("*")})
        await log.close()
    finally:
        os.umask(before)

    names = {it.name for it in kinds}
    assert {"log.db", "log.db-wal", "log.db-shm", "log.db-tidings", "lock", "bell", "reserve", "members"} <= names
    folders = {it for it in kinds if it.name in ("log.db-tidings", "members")}
    assert {oct(kinds[it]) for it in folders} == {"0o700"}
    assert {oct(kinds[it]) for it in kinds.keys() - folders} == {"0o600"}


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


def refused_at_open(path: Path, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        asyncio.run(SqliteLog.open(path))


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    refused_at_open(tmp_path / "nowhere" / "log.db", ConfigurationError, "does not exist: create it first")


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")

    refused_at_open(tmp_path / "link.db", ConfigurationError, "symbolic link")

    assert not (tmp_path / "real.db").exists()


def test_a_folder_that_everybody_can_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    refused_at_open(tmp_path / "log.db", ConfigurationError, "writable by everybody")


def test_a_folder_that_cannot_be_written_is_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for mode in (0o555, 0o000):
            Path(folder).chmod(mode)

            with unprivileged():
                refused_at_open(Path(folder) / "log.db", LogReadOnly, "read-only")
        Path(folder).chmod(0o700)


def test_a_file_that_cannot_be_written_is_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        asyncio.run(made(path))
        path.chmod(0o400)
        Path(folder).chmod(0o755)

        with unprivileged():
            refused_at_open(path, LogReadOnly, "read-only")


def test_a_read_only_file_system_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir = Path.mkdir

    def refuse(folder: Path, *arguments: Any, **options: Any) -> None:
        if folder.name.endswith("-tidings"):
            raise OSError(30, "Read-only file system")
        mkdir(folder, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)

    refused_at_open(path, LogReadOnly, "read-only")


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write everywhere: be nobody for a while."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


async def made(path: Path, events: int = 1) -> None:
    log = await SqliteLog.open(path)
    await log.append([event(number) for number in range(events)])
    await log.close()


async def test_a_relative_path_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.to_thread(monkeypatch.chdir, tmp_path)

    await made(Path("log.db"))

    assert await asyncio.to_thread((tmp_path / "log.db").exists)


# --- damage ---


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


async def test_a_member_notes_once_an_hour_that_it_runs_its_groups(path: Path) -> None:
    clock = ManualClock()
    log = await SqliteLog.open(path, clock=clock)
    lease = await lease_of(log)
    seen = []
    for seconds in (0.0, 60.0, 3540.0, 1.0, 1800.0):
        clock.advance(seconds)
        await log.ledger.pulse(lease.member)
        seen.append((await on_writer(log, "SELECT last_seen FROM tidings_groups"))[0] - 1_000_000_000.0)

    await log.close()
    assert seen == [0.0, 0.0, 0.0, 3601.0, 3601.0]


async def test_a_dead_member_was_last_seen_when_it_touched_its_file(path: Path) -> None:
    log, other = await SqliteLog.open(path), await SqliteLog.open(path)
    lease = await lease_of(other)
    file = path.parent / f"{path.name}-tidings" / "members" / lease.member
    died_at = time.time() - 1000.0

    os.close(other.ledger._members._held.pop(lease.member))  # as the kernel does when a process dies
    await asyncio.to_thread(os.utime, file, (died_at, died_at))
    await asyncio.to_thread(change, path, "UPDATE tidings_groups SET last_seen = 5")
    (unburied,) = await log.ledger.groups()
    await log.ledger.pulse(await log.ledger.enter())
    (buried,) = await log.ledger.groups()

    await other.close()
    await log.close()
    assert unburied.members == buried.members == ()
    assert abs(unburied.last_seen - died_at) < 0.001
    assert abs(buried.last_seen - died_at) < 0.001


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


async def test_a_file_taken_away_while_open_is_noticed(log: SqliteLog, path: Path) -> None:
    member = await log.ledger.enter()
    await asyncio.to_thread(path.rename, path.with_name("elsewhere.db"))

    with pytest.raises(LogDamaged, match="removed or replaced"):
        await log.ledger.pulse(member)


# --- the disk ---


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


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_the_wal_does_not_grow_without_end(log: SqliteLog, path: Path) -> None:
    for number in range(0, 40_000, 1000):
        await log.append([event(one) for one in range(number, number + 1000)])

    sizes = await asyncio.to_thread(lambda: (path.stat().st_size, Path(f"{path}-wal").stat().st_size))
    assert sizes[1] < sizes[0] < 40_000 * 1000


# --- other processes ---

HOLDER = """
import fcntl, os, sys
lock = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(lock, fcntl.LOCK_EX)
os.pwrite(lock, os.getpid().to_bytes(8, "little"), 0)
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.asynccontextmanager
async def stopped_holder(path: Path) -> AsyncIterator[int]:
    """Another process that holds the writers' lock and is stopped in the middle; gone when the block ends."""
    lock = path.parent / "log.db-tidings" / "lock"
    pipes: Any = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, str(lock), **pipes)
    assert process.stdout is not None
    await process.stdout.readline()
    process.send_signal(signal.SIGSTOP)
    try:
        yield process.pid
    finally:
        process.kill()
        await process.wait()


async def test_a_stopped_lock_holder_is_named_within_the_timeout(path: Path) -> None:
    log = await SqliteLog.open(path, lock_timeout=0.2)
    try:
        await log.append([event(0)])
        async with asyncio.timeout(LIMIT):
            async with stopped_holder(path) as pid:
                first = asyncio.ensure_future(log.append([event(1)]))
                with pytest.raises(LogLocked) as refused:
                    await first
                for number in (2, 3):  # those behind it are not left waiting either
                    with pytest.raises(LogLocked) as again:
                        await log.append([event(number)])
                assert await recorded(log) == ["id-0"]  # reading goes on
            await log.append([event(4)])

        assert (refused.value.pid, again.value.pid) == (pid, pid)
        assert await recorded(log) == ["id-0", "id-4"]  # what was refused is not done later
    finally:
        await log.close()


async def test_a_stopped_lock_holder_keeps_nobody_opening_for_ever(path: Path) -> None:
    await made(path)
    async with asyncio.timeout(LIMIT):
        async with stopped_holder(path) as pid:
            with pytest.raises(LogLocked) as refused:
                await SqliteLog.open(path, lock_timeout=0.2)
        log = await SqliteLog.open(path, lock_timeout=10.0)

    assert refused.value.pid == pid
    assert await recorded(log) == ["id-0"]
    await log.close()


async def test_a_writer_outside_tidings_locks_only_for_a_while(log: SqliteLog, path: Path) -> None:
    outside = await asyncio.to_thread(sqlite3.connect, path, isolation_level=None, check_same_thread=False)
    await on_writer(log, "PRAGMA busy_timeout = 100")
    try:
        await asyncio.to_thread(outside.execute, "BEGIN IMMEDIATE")
        attempts = [log.append([event(number)]) for number in range(50)]
        async with asyncio.timeout(4.0):  # not 50 times the wait of one
            outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        await asyncio.to_thread(outside.execute, "ROLLBACK")
        await log.append([event(99)])
    finally:
        await asyncio.to_thread(outside.close)

    assert {type(outcome) for outcome in outcomes} == {LogLocked}
    assert await recorded(log) == ["id-99"]


DIES_AS_A_MEMBER = """
import asyncio, os, sys
from tidings.log import open_log
from tidings.log.group import Group

async def main():
    log = await open_log(sys.argv[1])
    await log.ledger.join(Group("g"))
    lease = await log.ledger.claim("g", await log.ledger.enter())
    print(len(lease.lanes), flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


async def test_a_killed_members_lanes_are_free_at_the_next_pulse(log: SqliteLog, path: Path) -> None:
    await log.ledger.join(Group("g"))
    member = await log.ledger.enter()
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", DIES_AS_A_MEMBER, log.url, **pipes)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"16\n"
    await log.ledger.pulse(member)
    assert not (await log.ledger.claim("g", member)).lanes  # it lives

    await process.communicate(b"\n")
    await log.ledger.pulse(member)

    lease = await log.ledger.claim("g", member)
    assert (len(lease.lanes), lease.members) == (16, 1)


async def test_members_without_a_file_are_buried(log: SqliteLog, path: Path) -> None:
    lease = await lease_of(log)
    other = await SqliteLog.open(path)
    try:
        member = await other.ledger.enter()
        await asyncio.to_thread((path.parent / "log.db-tidings" / "members" / lease.member).unlink)

        await other.ledger.pulse(member)

        assert len((await other.ledger.claim("g", member)).lanes) == 16
    finally:
        await other.close()


async def test_a_member_that_stands_still_longer_than_a_lease_loses_its_lanes(path: Path) -> None:
    stalled, other = await SqliteLog.open(path), await SqliteLog.open(path, lease=5.0)
    try:
        lease = await lease_of(stalled)
        member = await other.ledger.enter()
        await other.ledger.pulse(member)
        assert not (await other.ledger.claim("g", member)).lanes

        await asyncio.to_thread(os.utime, path.parent / "log.db-tidings" / "members" / lease.member, (0, 0))
        await other.ledger.pulse(member)
        assert len((await other.ledger.claim("g", member)).lanes) == 16

        await stalled.ledger.pulse(lease.member)  # it goes on, and shares again
        await stalled.ledger.claim("g", lease.member)
        await other.ledger.claim("g", member)
        assert len((await stalled.ledger.claim("g", lease.member)).lanes) == 8
    finally:
        await stalled.close()
        await other.close()


def test_a_log_opened_before_a_fork_refuses_the_child(path: Path) -> None:
    with asyncio.Runner() as runner:
        log = runner.run(SqliteLog.open(path))
        member = runner.run(log.ledger.enter())
        child, said = fork(lambda: used_in_the_child(log))

        runner.run(log.append([event(1)]))  # the parent does not notice
        runner.run(log.ledger.pulse(member))
        assert runner.run(recorded(log)) == ["id-1"]
        runner.run(log.close())

    assert [type(error) for error in said] == [UsedAfterFork] * 3
    assert (said[0].opened_by, said[0].used_by) == (os.getpid(), child)


async def used_in_the_child(log: SqliteLog) -> list[Any]:
    calls = (log.append([event(2)]), log.scan(START), log.ledger.enter())
    said = list(await asyncio.gather(*calls, return_exceptions=True))
    await log.close()  # harmless to the parent, whose file, lock and member these are
    return said


def fork(work: Callable[[], Any]) -> tuple[int, Any]:
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads is what this is about
        child = os.fork()
    if child == 0:
        try:
            os.write(writer, pickle.dumps(asyncio.new_event_loop().run_until_complete(work())))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pickle.loads(pipe.read())
    os.waitpid(child, 0)
    return child, said


# --- commits ---


class OnceAt:
    """A hook that fails the first time the writer comes to `point`, and counts."""

    def __init__(self, point: str, error: Exception) -> None:
        self.point = point
        self.error = error
        self.visits = 0

    def __call__(self, point: str) -> None:
        if point == self.point:
            self.visits += 1
            if self.visits == 1:
                raise self.error


async def test_an_unknown_commit_is_retried_as_one_event(log: SqliteLog) -> None:
    log.threads.writer.hook = OnceAt("committed", OSError("the disk has gone"))
    with pytest.raises(CommitUnknown, match="retry with the same ids"):
        await log.append([event(1), event(2)], stream="s")

    again = await log.append([event(1), event(2)], stream="s")

    assert again.duplicate
    assert again.stream_version == 2
    assert await recorded(log) == ["id-1", "id-2"]


async def test_an_unknown_settlement_is_retried_with_one_effect(log: SqliteLog) -> None:
    await log.append([event(0)])
    settlement = Settlement(await lease_of(log), upto=await log.head(), events=[effect(1), effect(2)])
    log.threads.writer.hook = OnceAt("committed", OSError("the disk has gone"))
    with pytest.raises(CommitUnknown):
        await log.ledger.settle(settlement)

    assert await log.ledger.settle(settlement) is None

    assert await recorded(log) == ["id-0", "id-1", "id-2"]


@pytest.mark.parametrize("point", ["begun", "written"])
async def test_what_fails_before_the_commit_is_tried_again_by_itself(log: SqliteLog, point: str) -> None:
    log.threads.writer.hook = OnceAt(point, sqlite3.OperationalError("for a moment"))

    appended = await log.append([event(1)])

    assert not appended.duplicate
    assert await recorded(log) == ["id-1"]


async def test_what_fails_twice_before_the_commit_is_reported_and_undone(log: SqliteLog) -> None:
    def fail(point: str) -> None:
        if point == "written":
            raise sqlite3.OperationalError("for good")

    log.threads.writer.hook = fail
    with pytest.raises(Exception, match="for good"):
        await log.append([event(1)])
    log.threads.writer.hook = lambda point: None

    assert await recorded(log) == []
    assert not (await log.append([event(1)])).duplicate


@pytest.mark.parametrize("bad", ["conflict", "reused"])
async def test_a_group_commit_fails_only_the_one_that_is_wrong(log: SqliteLog, bad: str, seed: int) -> None:
    await log.append([event(1000)], stream="s")
    commits = OnceAt("committed", OSError())
    commits.visits = 1  # it only counts
    log.threads.writer.hook = commits
    calls = [log.append([event(number)], stream="s" if number % 3 == 0 else None, expect=ANY) for number in range(100)]
    wrong = (
        log.append([event(2000)], stream="s", expect=0) if bad == "conflict" else log.append([event(1000, data="x")])
    )
    index = random.Random(seed).randrange(100)
    calls.insert(index, wrong)

    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    failed = outcomes.pop(index)
    assert isinstance(failed, VersionConflict if bad == "conflict" else IdReused)
    assert all(isinstance(outcome, Appended) for outcome in outcomes)
    assert sorted(await recorded(log)) == sorted(["id-1000", *(f"id-{number}" for number in range(100))])
    versions = [record.stream_version async for found in log.read("s") for record in found.records]
    assert versions == list(range(1, 36))
    if bad == "conflict":  # seen before anything was written: the others still share their commits
        assert commits.visits < 50


async def test_a_batch_on_either_side_of_a_chunk_is_written_whole(log: SqliteLog) -> None:
    numbers = itertools.count()
    sizes = (1, 9, 10, 11, 99, 100, 101, 110, 111, 999, 1000, 1001)

    for size in sizes:
        await log.append([event(next(numbers)) for _ in range(size)], stream="s")

    assert await recorded(log) == [f"id-{number}" for number in range(sum(sizes))]


async def test_positions_are_dense_when_nothing_fails(log: SqliteLog) -> None:
    await asyncio.gather(*[log.append([event(number)]) for number in range(200)])

    assert [record.order for record in (await log.scan(START)).records] == list(range(1, 201))


# --- the caller's own SQL ---


async def test_a_transactions_statements_and_events_commit_together(log: SqliteLog) -> None:
    async with log.transaction() as tx:
        tx.execute("CREATE TABLE stock(item TEXT PRIMARY KEY, count INTEGER)")

    async with log.transaction() as tx:
        tx.execute("INSERT INTO stock VALUES ('cd', 3)", rows=1)
        await log.append([event(1)], tx=tx)

    async def sell_what_is_not_there() -> None:
        async with log.transaction() as tx:
            tx.execute("UPDATE stock SET count = 2 WHERE item = 'cd'", rows=1)
            await log.append([event(2)], tx=tx)
            tx.execute("UPDATE stock SET count = 0 WHERE item = 'lp'", rows=1)

    with pytest.raises(Conflict):
        await sell_what_is_not_there()

    assert await tx.fetch("SELECT item, count FROM stock") == [("cd", 3)]
    assert await recorded(log) == ["id-1"]


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the log says; pytest's own handlers would block the event loop with their files."""
    lines: list[str] = []
    handler, logger = logging.Handler(), logging.getLogger("tidings")
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]  # that is all it does
    logger.addHandler(handler)
    logger.propagate = False
    yield lines
    logger.propagate = True
    logger.removeHandler(handler)


async def test_a_transaction_again_runs_none_of_its_statements_and_says_so(log: SqliteLog, said: list[str]) -> None:
    async with log.transaction() as tx:
        tx.execute("CREATE TABLE stock(item TEXT, count INTEGER)")

    for _ in range(2):
        async with log.transaction() as tx:
            tx.execute("INSERT INTO stock VALUES ('cd', 3)", rows=1)
            await log.append([event(1)], tx=tx)
    async with log.transaction() as tx:
        await log.append([event(1)], tx=tx)  # nothing else is in it: an event that is recorded once

    assert await tx.fetch("SELECT item, count FROM stock") == [("cd", 3)]
    assert [line[:58] for line in said] == ["transaction passed over events=id-1 statements=1 timers=0:"]


async def test_a_settlements_writes_commit_with_it_or_not_at_all(log: SqliteLog) -> None:
    await log.append([event(0)])
    lease, upto = await lease_of(log), await log.head()
    make: Any = ("CREATE TABLE stock(item TEXT)", (), None)
    await log.ledger.settle(Settlement(lease, writes=[make]))
    wrong: Any = [("INSERT INTO stock VALUES ('cd')", (), 1), ("DELETE FROM stock WHERE item = 'lp'", (), 1)]

    with pytest.raises(Conflict):
        await log.ledger.settle(Settlement(lease, upto=upto, events=[effect(1)], writes=wrong))

    assert await recorded(log) == ["id-0"]
    assert (await log.ledger.groups())[0].position == START
    assert await log.recorder().fetch("SELECT * FROM stock") == []


# --- the end ---


async def test_closing_twice_is_harmless_and_harms_nobody_else(path: Path) -> None:
    log = await SqliteLog.open(path)
    await asyncio.gather(log.close(), log.close())
    others = [await SqliteLog.open(path.with_name(f"{number}.db")) for number in range(3)]

    await log.close()  # its file descriptors are other people's by now

    for other in others:
        await other.append([event(1)])
        await other.close()


async def test_what_was_asked_for_before_the_close_is_finished(path: Path) -> None:
    log = await SqliteLog.open(path)
    appending = [asyncio.ensure_future(log.append([event(number)])) for number in range(20)]
    await asyncio.sleep(0)  # they have begun

    await log.close()

    await asyncio.gather(*appending)
    again = await SqliteLog.open(path)
    assert len(await recorded(again)) == 20
    await again.close()


async def test_a_closed_log_leaves_no_descriptor_and_no_thread(path: Path) -> None:
    def held() -> int:
        return len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0

    log = await SqliteLog.open(path)
    await log.close()  # whatever the first one leaves for good
    before = await asyncio.to_thread(held)

    for _ in range(3):
        log = await SqliteLog.open(path)
        await log.ledger.enter()
        log.bell.listen()
        await log.append([event(1)])
        await log.close()

    assert await asyncio.to_thread(held) == before
    with pytest.raises(LogClosed):
        await log.append([event(2)])


async def test_every_ledger_call_of_a_closed_log_says_so(path: Path) -> None:
    log = await SqliteLog.open(path, clock=ManualClock())
    lease = await lease_of(log)
    await log.close()

    for call in (log.ledger.settle(Settlement(lease)), log.ledger.claim("g", lease.member), log.ledger.held(lease)):
        with pytest.raises(LogClosed):
            await call
