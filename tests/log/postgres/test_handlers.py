"""Handlers on a log in Postgres: their own SQL commits with their cursor, and what fails fails alone."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.handling.stage import parked, until
from tidings import App, Retry, Transaction, event
from tidings.errors import LogReadOnly

LIMIT = 20.0


@event("bill:made", key="number")
class BillMade:
    number: int


@event("bill:booked", key="number")
class BillBooked:
    number: int


@pytest.fixture
def app(postgres_url: str, connect: Callable[[], "psycopg.Connection[Any]"]) -> App:
    with connect() as connection:
        connection.execute("CREATE TABLE booked(number integer PRIMARY KEY)")
    return App("till", postgres_url, contracts=[BillMade, BillBooked])


async def rows(app: App, sql: str) -> list[Any]:
    async with app.transaction() as tx:
        return await tx.fetch(sql)


async def test_a_handlers_writes_events_and_cursor_commit_together(app: App) -> None:
    heard: list[int] = []

    @app.on(BillMade)
    def book(bill: BillMade, tx: Transaction) -> BillBooked:
        tx.execute("INSERT INTO booked VALUES (%s)", (bill.number,), rows=1)
        return BillBooked(bill.number)

    @app.on(BillBooked)
    async def hear(bill: BillBooked) -> None:
        heard.append(bill.number)

    async with app.running():
        await app.publish_many([BillMade(number) for number in range(50)])
        await until(lambda: _of(len(heard) == 50), app.log)

        assert await rows(app, "SELECT count(*) FROM booked") == [(50,)]
    assert sorted(heard) == list(range(50))


async def test_what_fails_is_undone_alone(app: App) -> None:
    @app.on(BillMade, retry=[Retry.never(psycopg.IntegrityError)])
    def book(bill: BillMade, tx: Transaction) -> None:
        tx.execute("INSERT INTO booked VALUES (%s)", (bill.number,))
        if bill.number == 3:
            tx.execute("INSERT INTO booked VALUES (1)")

    async with app.running():
        await app.publish_many([BillMade(number) for number in range(6)])
        await parked(app, "dead")

        assert await rows(app, "SELECT number FROM booked ORDER BY 1") == [(0,), (1,), (2,), (4,), (5,)]


async def test_an_async_handler_records_what_commits_with_its_cursor(app: App) -> None:
    @app.on(BillMade)
    async def book(bill: BillMade, tx: Transaction) -> None:
        known = await tx.fetch("SELECT count(*) FROM booked")
        tx.execute("INSERT INTO booked VALUES (%s)", (bill.number + known[0][0],), rows=1)

    async with app.running():
        await app.publish_many([BillMade(0), BillMade(0)])
        await until(lambda: _is(app, "SELECT count(*) FROM booked", 2), app.log)

    async with app:
        assert await rows(app, "SELECT number FROM booked ORDER BY 1") == [(0,), (1,)]


async def test_a_fetch_reads_and_does_not_write(app: App) -> None:
    async with app, app.transaction() as tx:
        with pytest.raises(LogReadOnly):
            await tx.fetch("INSERT INTO booked VALUES (1) RETURNING number")

        assert await tx.fetch("SELECT count(*) FROM booked") == [(0,)]


async def test_no_transaction_is_open_before_a_handlers_first_statement(app: App) -> None:
    inside, go_on = threading.Event(), threading.Event()

    @app.on(BillMade)
    def book(bill: BillMade, tx: Transaction) -> None:
        inside.set()
        go_on.wait(LIMIT)
        tx.execute("INSERT INTO booked VALUES (%s)", (bill.number,))

    async with app.running():
        await app.publish(BillMade(1))
        assert await asyncio.to_thread(inside.wait, LIMIT)

        later = await app.publish("bill:other", {})
        assert await app.log.head() == later.position  # nobody is held back

        go_on.set()
        await until(lambda: _is(app, "SELECT count(*) FROM booked", 1), app.log)


async def test_a_transaction_that_is_open_for_long_is_told_by_its_name(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = threading.Event()

    @app.on(BillMade)
    def dawdle(bill: BillMade, tx: Transaction) -> None:
        tx.execute("INSERT INTO booked VALUES (%s)", (bill.number,))
        go_on.wait(LIMIT)

    async with app.running():
        await app.publish(BillMade(1))
        await until(lambda: _of("group=till.dawdle" in caplog.text and "open for more than" in caplog.text), app.log)
        go_on.set()
        await until(lambda: _is(app, "SELECT count(*) FROM booked", 1), app.log)

    assert [record.levelno for record in caplog.records if "open for more" in record.message] == [logging.WARNING]


async def test_a_statement_past_the_handlers_time_is_ended(app: App) -> None:
    @app.on(BillMade, timeout=0.2, retry=[Retry(attempts=1)])
    def wait(bill: BillMade, tx: Transaction) -> None:
        tx.fetch("SELECT pg_sleep(60)")

    async with app.running():
        await app.publish(BillMade(1))
        await parked(app, "dead")

        (dead,) = await app.log.ledger.parked()
    assert "took longer" in dead.reason


async def test_a_handler_cannot_end_the_transaction(app: App) -> None:
    tried: list[str] = []

    @app.on(BillMade, retry=[Retry(attempts=1)])
    def end(bill: BillMade, tx: Transaction) -> None:
        for statement in ("COMMIT", "/* so */ rollback", "INSERT INTO booked VALUES (1); COMMIT"):
            tried.append(statement)
            tx.execute(statement)

    async with app.running():
        await app.publish(BillMade(1))
        await parked(app, "dead")

        assert await rows(app, "SELECT count(*) FROM booked") == [(0,)]


async def _of(value: bool) -> bool:
    return value


async def _is(app: App, sql: str, value: int) -> bool:
    return bool(await rows(app, sql) == [(value,)])


async def test_a_reason_that_postgres_cannot_keep_stops_nobody(app: App) -> None:
    @app.on(BillMade, retry=[Retry(attempts=1)])
    async def fail(bill: BillMade) -> None:
        raise ValueError("a NUL \0 and half a pair \ud800")

    async with app.running():
        await app.publish(BillMade(1))

        (dead,) = await parked(app, "dead")
    assert "a NUL \ufffd and half a pair" in dead.reason
