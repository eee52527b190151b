"""`transaction(existing=...)`: events in a transaction that is the user's, with `await` and without."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.test_sync import LIMIT, Background, recorded, rows
from tests.handling.stage import AuditNoted, OrderCreated
from tidings import App
from tidings.errors import ConfigurationError, Conflict, ContractError, IdReused, LogLocked, WouldBlock


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    app = App("shop", f"sqlite:///{tmp_path}/log.db", contracts=[OrderCreated])
    yield app
    app.sync.close()


@pytest.fixture
def connection(app: App) -> Iterator[sqlite3.Connection]:
    app.sync.open()
    with contextlib.closing(sqlite3.connect(str(app.log_url).removeprefix("sqlite:///"))) as connection:
        connection.execute("CREATE TABLE orders(id INTEGER PRIMARY KEY)")
        yield connection


def test_a_users_commit_keeps_state_and_event_and_a_rollback_neither(app: App, connection: sqlite3.Connection) -> None:
    for number, end in enumerate([connection.commit, connection.rollback, connection.commit]):
        connection.execute("INSERT INTO orders VALUES (?)", (number,))  # begins a transaction, as Python has it
        with app.sync.transaction(existing=connection) as tx:
            tx.publish("order:noted", {"number": number}, id=f"id-{number}", key="a")
        end()

    assert recorded(app) == ["id-0", "id-2"]
    assert rows(app, "SELECT id FROM orders") == [(0,), (2,)]


def test_statements_of_tx_run_at_once(app: App, connection: sqlite3.Connection) -> None:
    with app.sync.transaction(existing=connection) as tx:
        tx.executemany("INSERT INTO orders VALUES (?)", [(1,), (2,)])
        assert tx.fetch("SELECT count(*) FROM orders") == [(2,)]
        assert tx.execute("DELETE FROM orders WHERE id = 1", rows=1).rowcount == 1
        with pytest.raises(Conflict):
            tx.execute("DELETE FROM orders WHERE id = 7", rows=1)

    assert rows(app, "SELECT id FROM orders") == [(2,)]


def test_what_cannot_be_recorded_is_refused_and_the_transaction_goes_on(
    app: App, connection: sqlite3.Connection
) -> None:
    with app.sync.transaction(existing=connection) as tx:
        tx.publish("order:noted", 1, id="one")
        with pytest.raises(ContractError):
            tx.publish("order:created", {"order_id": "no number"})
        with pytest.raises(IdReused):
            tx.publish("order:noted", 2, id="one")
        assert tx.publish("order:noted", 1, id="one") == "one"

    assert recorded(app) == ["one"]


def test_what_would_wait_for_the_block_itself_is_refused_in_it(app: App, connection: sqlite3.Connection) -> None:
    with app.sync.transaction(existing=connection) as tx:
        with pytest.raises(WouldBlock, match="use tx"):
            app.sync.publish("order:noted", 1)
        tx.publish("order:noted", 2, id="by tx")
    app.sync.publish("order:noted", 3, id="after it")

    assert recorded(app) == ["by tx", "after it"]


def test_a_private_contract_stays_private(app: App, connection: sqlite3.Connection) -> None:
    with app.sync.transaction(existing=connection) as tx:
        tx.publish(AuditNoted(1))
        tx.publish("order:noted", 1)

    assert rows(app, "SELECT public FROM tidings_events") == [(0,), (1,)]


def test_handlers_hear_what_a_user_has_committed_with_a_ring_or_without(
    app: App, connection: sqlite3.Connection
) -> None:
    heard: list[int] = []
    arrived = threading.Semaphore(0)

    @app.on("order:noted")
    async def note(number: int) -> None:
        heard.append(number)
        arrived.release()

    with Background(app):
        for number in range(4):
            if number % 2:
                connection.execute("BEGIN IMMEDIATE")
            with app.sync.transaction(existing=connection) as tx:
                tx.publish("order:noted", number)
            connection.commit()
            if number == 1:
                app.sync.ring()
            assert arrived.acquire(timeout=LIMIT)

    assert heard == [0, 1, 2, 3]


def test_a_new_file_cannot_be_opened_inside_a_transaction_on_it_and_says_so(tmp_path: Path) -> None:
    app = App("shop", f"sqlite:///{tmp_path}/log.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE orders(id)")
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogLocked, match=r"app\.sync\.open\(\)"), app.sync.transaction(existing=connection):
            pass
        connection.rollback()

        with app.sync.transaction(existing=connection) as tx:
            tx.publish("order:noted", 1, id="one")

    assert recorded(app) == ["one"]
    app.sync.close()


def test_a_log_in_memory_has_no_transactions_of_the_users() -> None:
    app = App("shop")
    with pytest.raises(ConfigurationError, match="has no SQL"), app.sync.transaction(existing=object()):
        pass
    app.sync.close()


async def test_it_is_awaited_as_well(app: App, tmp_path: Path) -> None:
    async with app:
        connection = await asyncio.to_thread(sqlite3.connect, tmp_path / "log.db", check_same_thread=False)
        for number, end in enumerate([connection.commit, connection.rollback]):
            await asyncio.to_thread(connection.execute, "BEGIN")
            async with app.transaction(existing=connection) as tx:
                tx.publish("order:noted", number, id=f"joined-{number}")
            await asyncio.to_thread(end)
        await app.ring()
        with pytest.raises(ConfigurationError, match="begin one"):
            async with app.transaction(existing=connection):
                pass
        await asyncio.to_thread(connection.close)

    assert await asyncio.to_thread(recorded, app) == ["joined-0"]
