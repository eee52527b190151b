"""`transaction(existing=...)` on psycopg's connections: the user's commit keeps their rows and the events."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tidings import App, event
from tidings.errors import ConfigurationError, IdReused, LogError
from tidings.log import START
from tidings.log.record import restore


@event("order:placed", key="number")
class OrderPlaced:
    number: int


@pytest.fixture
def app(postgres_url: str, connect: Callable[[], Any]) -> Iterator[App]:
    with connect() as connection:
        connection.execute("CREATE TABLE orders(number integer PRIMARY KEY)")
    app = App("shop", postgres_url, contracts=[OrderPlaced])
    yield app
    app.sync.close()


async def recorded(app: App) -> list[str]:
    found = await app.log.scan(START)
    return [restore(record, "").id for record in found.records]


async def publish(app: App, connection: object, numbers: dict[str, int]) -> None:
    async with app.transaction(existing=connection) as tx:
        for event_id, number in numbers.items():
            tx.publish(OrderPlaced(number), id=event_id)


async def orders(app: App) -> list[int]:
    async with app.transaction() as tx:
        return [row[0] for row in await tx.fetch("SELECT number FROM orders ORDER BY 1")]


async def test_an_async_connection_keeps_both_or_neither(app: App, user_url: str) -> None:
    async with app, await psycopg.AsyncConnection.connect(user_url) as connection:
        for number, end in enumerate([connection.commit, connection.rollback, connection.commit]):
            await connection.execute("INSERT INTO orders VALUES (%s)", (number,))
            async with app.transaction(existing=connection) as tx:
                tx.publish(OrderPlaced(number), id=f"id-{number}")
                assert tx.publish(OrderPlaced(number), id=f"id-{number}") == f"id-{number}"  # once
            await end()

        assert await recorded(app) == ["id-0", "id-2"]
        assert await orders(app) == [0, 2]


async def test_on_an_async_connection_what_is_recorded_is_passed_over_and_other_content_refused(
    app: App, user_url: str
) -> None:
    async with app, await psycopg.AsyncConnection.connect(user_url) as connection:
        await app.publish(OrderPlaced(1), id="one")
        await connection.execute("INSERT INTO orders VALUES (1)")
        async with app.transaction(existing=connection) as tx:
            tx.publish(OrderPlaced(1), id="one")
            tx.publish(OrderPlaced(2), id="two")
        for refused in ({"three": 3, "one": 7}, {"four": 4, "two": 5}):
            with pytest.raises(IdReused):
                await publish(app, connection, refused)
        await connection.commit()

        assert await recorded(app) == ["one", "two"]
        assert await orders(app) == [1]


async def test_an_async_connection_must_be_in_a_transaction(app: App, user_url: str) -> None:
    async with app, await psycopg.AsyncConnection.connect(user_url) as connection:
        with pytest.raises(ConfigurationError, match="its first statement before the block"):
            await publish(app, connection, {"one": 1})
        await connection.execute("SELECT 1")
        async with app.transaction(existing=connection) as tx:
            await connection.commit()
            with pytest.raises(LogError):
                tx.publish(OrderPlaced(1))

        assert await recorded(app) == []


def test_a_block_without_a_transaction_commits_by_itself(app: App, connect: Callable[[], Any]) -> None:
    app.sync.open()
    with connect() as connection:
        with app.sync.transaction(existing=connection) as tx:
            tx.execute("INSERT INTO orders VALUES (%s)", (1,), rows=1)
            tx.publish(OrderPlaced(1), id="one")
        with contextlib.suppress(ZeroDivisionError), app.sync.transaction(existing=connection) as tx:
            tx.publish(OrderPlaced(2), id="two")
            _ = 1 / 0

        assert connection.execute("SELECT number FROM orders").fetchall() == [(1,)]


def test_a_connection_elsewhere_or_without_flushing_is_refused(
    app: App, connect: Callable[[], Any], user_url: str
) -> None:
    app.sync.open()
    elsewhere = user_url.replace(user_url.partition("?")[0].rpartition("/")[2], "postgres", 1)
    with psycopg.connect(elsewhere.partition("?")[0]) as foreign, connect() as careless:
        careless.execute("SET synchronous_commit = off")
        wrong = {
            "database postgres, and the log is [^<]*have to be one database": foreign,
            "connection to [^<]*SET synchronous_commit = on": careless,
            "give a psycopg": object(),
        }

        for said, connection in wrong.items():
            with pytest.raises(ConfigurationError, match=said), app.sync.transaction(existing=connection):
                pass


async def test_users_transactions_do_not_wait_for_each_other(app: App, connect: Callable[[], Any]) -> None:
    """Whoever appends first may commit last: there is no lock that their transactions share."""
    async with app:

        def overlap() -> None:
            with connect() as slow, connect() as fast:
                for number, connection in enumerate((slow, fast)):
                    connection.execute("SELECT 1")
                    with app.log.existing(connection) as tx:
                        tx.execute("INSERT INTO orders VALUES (%s)", (number,))
                fast.commit()
                slow.commit()

        await asyncio.wait_for(asyncio.to_thread(overlap), 20)

        assert await orders(app) == [0, 1]
