"""What a `sqlite3.Connection` of the user's own may be like, and what other writers do meanwhile."""

import asyncio
import contextlib
import os
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tidings.errors import ConfigurationError, LogClosed, LogDamaged, LogError, LogLocked, TransactionMisuse
from tidings.events import Event
from tidings.log import START, Draft
from tidings.log.position import order_in
from tidings.log.record import draft, restore
from tidings.log.sqlite import SqliteLog

MODES: dict[str, dict[str, Any]] = {"python's default": {}, "isolation_level=None": {"isolation_level": None}}
if sys.version_info >= (3, 12):
    MODES |= {"autocommit": {"autocommit": True}, "no autocommit": {"autocommit": False}}


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    log = await SqliteLog.open(tmp_path / "log.db", lock_timeout=0.5)
    yield log
    await log.close()


@pytest.fixture(params=sorted(MODES))
def mode(request: pytest.FixtureRequest) -> dict[str, Any]:
    return MODES[str(request.param)]


def new(number: int) -> list[Draft]:
    return [draft(Event(id=f"id-{number}", source="shop", type="t", data=number), public=True)]


async def recorded(log: SqliteLog) -> list[str]:
    found = await log.scan(START, limit=10_000)
    assert [record.order for record in found.records] == list(range(1, len(found.records) + 1))
    return [restore(record, found.position(record)).id for record in found.records]


@contextlib.contextmanager
def connected(log: SqliteLog, **settings: Any) -> Iterator[Any]:
    with contextlib.closing(sqlite3.connect(log.path, timeout=0.2, **settings)) as connection:
        yield connection


async def with_connection(log: SqliteLog, work: Callable[[Any], None], **settings: Any) -> None:
    def on_thread() -> None:
        with connected(log, **settings) as connection:
            work(connection)

    await asyncio.to_thread(on_thread)


async def test_a_connection_of_any_mode_commits_and_rolls_back_as_its_user_says(
    log: SqliteLog, mode: dict[str, Any]
) -> None:
    def write(connection: Any) -> None:
        connection.execute("CREATE TABLE own(n)")
        connection.commit()
        for number, end in enumerate(["COMMIT", "ROLLBACK", "COMMIT"]):
            if not connection.in_transaction:
                connection.execute("BEGIN")
            connection.execute("INSERT INTO own VALUES (?)", (number,))
            with log.existing(connection) as tx:
                tx.append(new(number))
            assert connection.in_transaction
            if mode.get("autocommit") is False:  # there the connection begins the next one itself
                (connection.commit if end == "COMMIT" else connection.rollback)()
            else:
                connection.execute(end)
        assert connection.execute("SELECT n FROM own").fetchall() == [(0,), (2,)]
        connection.rollback()

    await with_connection(log, write, **mode)

    assert await recorded(log) == ["id-0", "id-2"]


async def test_a_block_leaves_a_connection_of_any_mode_as_it_found_it(log: SqliteLog, mode: dict[str, Any]) -> None:
    def write(connection: Any) -> None:
        was_open = connection.in_transaction
        with log.existing(connection) as tx:
            tx.append(new(0))
            tx.append(new(1))
        assert connection.in_transaction == was_open
        connection.commit()

    await with_connection(log, write, **mode)

    assert await recorded(log) == ["id-0", "id-1"]


async def test_what_a_connection_makes_of_rows_and_text_is_its_own_affair(log: SqliteLog) -> None:
    def write(connection: Any) -> None:
        connection.row_factory = lambda cursor, row: {"row": row}
        connection.text_factory = bytes
        connection.execute("CREATE TABLE own(n)")
        with log.existing(connection) as tx:
            assert not tx.append(new(0)).duplicate
            assert tx.append(new(0)).duplicate
            rows: list[Any] = tx.fetch("SELECT 'text'")
            assert rows == [{"row": (b"text",)}]

    await with_connection(log, write)

    assert await recorded(log) == ["id-0"]


async def test_a_savepoint_of_the_users_takes_back_what_was_published_in_it(log: SqliteLog) -> None:
    def write(connection: Any) -> None:
        connection.execute("BEGIN")
        with log.existing(connection) as tx:
            tx.append(new(0))
            connection.execute("SAVEPOINT mine")
            tx.append(new(1))
            connection.execute("ROLLBACK TO mine")
            tx.append(new(2))
        connection.execute("COMMIT")

    await with_connection(log, write, isolation_level=None)

    assert await recorded(log) == ["id-0", "id-2"]


async def test_an_append_that_fails_half_way_leaves_nothing_in_the_transaction(log: SqliteLog) -> None:
    trigger = """
    CREATE TEMP TRIGGER failing BEFORE INSERT ON main.tidings_events WHEN NEW.id = 'id-250'
    BEGIN SELECT RAISE(ABORT, 'the disk trembles'); END"""

    def write(connection: Any) -> None:
        connection.execute("BEGIN")
        connection.execute(trigger)
        with log.existing(connection) as tx:
            tx.append(new(1000))
            with pytest.raises(LogError, match="the disk trembles"):
                tx.append([each for number in range(300) for each in new(number)])
            tx.append(new(1001))
        connection.execute("COMMIT")

    await with_connection(log, write, isolation_level=None)

    assert await recorded(log) == ["id-1000", "id-1001"]


async def test_tx_refuses_to_end_the_transaction(log: SqliteLog) -> None:
    def write(connection: Any) -> None:
        with log.existing(connection) as tx, pytest.raises(TransactionMisuse):
            tx.execute("COMMIT")

    await with_connection(log, write)


@pytest.mark.parametrize("file", ["other.db", ":memory:", "log.db-tidings/../other.db"])
async def test_a_connection_to_another_file_is_refused(log: SqliteLog, tmp_path: Path, file: str) -> None:
    def refused() -> None:
        path = file if file == ":memory:" else tmp_path / file
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(f"ATTACH '{log.path}' AS logs")
            with pytest.raises(ConfigurationError, match="both have to be one file"), log.existing(connection):
                pass

    await asyncio.to_thread(refused)


async def test_the_same_file_by_another_name_is_taken(log: SqliteLog, tmp_path: Path) -> None:
    def write() -> None:
        (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
        connection = sqlite3.connect(tmp_path / "link" / "log.db")
        with contextlib.closing(connection), log.existing(connection) as tx:
            tx.append(new(0))

    await asyncio.to_thread(write)

    assert await recorded(log) == ["id-0"]


async def test_what_is_no_connection_or_does_not_fsync_is_refused(log: SqliteLog) -> None:
    def refused(connection: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"builtins\.str is no connection"), log.existing("log.db"):
            pass
        connection.execute("PRAGMA synchronous = NORMAL")
        with pytest.raises(ConfigurationError, match="PRAGMA synchronous = FULL"), log.existing(connection):
            pass

    await with_connection(log, refused)


async def test_a_log_that_is_closed_or_lost_its_file_takes_nothing(log: SqliteLog) -> None:
    def lost(connection: Any) -> None:
        os.rename(log.path, f"{log.path}.gone")
        with pytest.raises(LogDamaged), log.existing(connection):
            pass
        os.rename(f"{log.path}.gone", log.path)

    def closed(connection: Any) -> None:
        with pytest.raises(LogClosed), log.existing(connection):
            pass

    await with_connection(log, lost)
    await log.close()
    await with_connection(log, closed)


async def test_a_lock_that_is_not_to_be_had_is_said_and_nothing_is_written(log: SqliteLog) -> None:
    def locked(connection: Any) -> None:
        with connected(log) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LogLocked), log.existing(connection):
                pass
            connection.execute("BEGIN")
            with log.existing(connection) as tx, pytest.raises(LogLocked):
                tx.append(new(0))
            other.rollback()
            with log.existing(connection) as tx:
                tx.append(new(1))  # the transaction goes on
            connection.commit()

    await with_connection(log, locked)

    assert await recorded(log) == ["id-1"]


async def test_a_joined_transaction_that_has_read_nothing_waits_for_the_lock(log: SqliteLog) -> None:
    def wait(connection: Any) -> None:
        connection.execute("PRAGMA busy_timeout = 20000")
        with connected(log, check_same_thread=False) as other:
            other.execute("BEGIN IMMEDIATE")
            connection.execute("BEGIN")
            with log.existing(connection) as tx:
                release = threading.Timer(0.2, other.rollback)
                release.start()
                tx.append(new(0))
            connection.commit()
            release.join()

    await with_connection(log, wait)

    assert await recorded(log) == ["id-0"]


async def test_a_transaction_that_read_before_another_wrote_is_told_to_run_again(log: SqliteLog) -> None:
    def stale(connection: Any) -> None:
        with connected(log) as other:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM tidings_events").fetchall()
            other.execute("CREATE TABLE own(n)")
            with log.existing(connection) as tx, pytest.raises(LogLocked, match="roll back and run it again"):
                tx.append(new(0))
            connection.rollback()

    await with_connection(log, stale)

    assert await recorded(log) == []


async def test_a_block_waits_in_the_writers_queue_but_not_for_ever(log: SqliteLog) -> None:
    started, go_on = threading.Event(), threading.Event()

    def first(connection: Any) -> None:
        with log.existing(connection) as tx:
            tx.append(new(0))
            started.set()
            assert go_on.wait(20)

    def second(connection: Any) -> None:
        assert started.wait(20)
        with pytest.raises(LogLocked) as refused, log.existing(connection):
            pass
        assert refused.value.pid == os.getpid()
        go_on.set()

    await asyncio.gather(with_connection(log, first), with_connection(log, second))
    await log.append([Event(id="id-1", source="shop", type="t", data=None)])

    assert await recorded(log) == ["id-0", "id-1"]


async def test_users_and_the_writer_take_turns_and_no_position_is_lost_or_given_twice(log: SqliteLog) -> None:
    users, each = 4, 40

    def publish(user: int) -> list[str]:
        positions: list[str] = []
        with contextlib.closing(sqlite3.connect(log.path, timeout=20, isolation_level=None)) as connection:
            for number in range(each):
                if number % 2:
                    connection.execute("BEGIN IMMEDIATE")
                with log.existing(connection) as tx:
                    positions.append(tx.append(new(user * 1000 + number)).last)
                if connection.in_transaction:
                    connection.execute("ROLLBACK" if number % 8 == 7 else "COMMIT")
                    if number % 8 == 7:
                        positions.pop()
        return positions

    publishing = [asyncio.create_task(asyncio.to_thread(publish, user)) for user in range(users)]
    mine = [
        (await log.append([Event(id=f"mine-{number}", source="shop", type="t", data=number)])).last
        for number in range(each)
    ]
    positions = [position for done in await asyncio.gather(*publishing) for position in done] + mine

    ids = await recorded(log)
    assert len(ids) == len(set(ids)) == users * each * 7 // 8 + each
    assert sorted(map(order_in, positions)) == list(range(1, len(ids) + 1))
