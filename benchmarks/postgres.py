"""A log in Postgres: 32 callers append an event each, a handler catches up, readers wait for a transaction's end."""

import asyncio
import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any

import msgspec

from benchmarks.harness import Place, Question, Row, Samples
from benchmarks.orders import OrderCreated, orders
from tests.servers.postgres import PostgresServer  # a private one, as the tests have it

CALLERS = 32
_HOLDERS = 100  # transactions that readers wait for
_TABLE = """
CREATE TABLE IF NOT EXISTS events(position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL UNIQUE,
  type text NOT NULL, data bytea NOT NULL)"""
_INSERT = "INSERT INTO events(id, type, data) VALUES (%s, %s, %s)"
_PAGE = "SELECT position, type, data FROM events WHERE position > %s ORDER BY position LIMIT 500"


def tidings(place: Place) -> Samples:
    """`await app.publish(order)` by 32 tasks; a handler that hears them all; a tail behind other transactions."""
    from tidings import App

    with PostgresServer() as server:
        app = App("shop", server.url, contracts=[OrderCreated])

        async def measure() -> Samples:
            async with app:
                rate = await appended(lambda each: app.publish(each), place.size)
            return {"rate": [rate], "catch_up": [await caught_up(app, place.size)], "lag": await lags(server.url)}

        return asyncio.run(measure())


def psycopg(place: Place) -> Samples:
    """32 connections, an INSERT and its commit at a time; then pages of three columns, decoded."""
    import psycopg as driver

    with PostgresServer() as server:

        async def measure() -> Samples:
            connections = [await driver.AsyncConnection.connect(server.url, autocommit=True) for _ in range(CALLERS)]
            await connections[0].execute(_TABLE)
            free: asyncio.Queue[Any] = asyncio.Queue()
            for connection in connections:
                free.put_nowait(connection)
            encode = msgspec.json.encode

            async def insert(order: OrderCreated) -> None:
                connection = await free.get()
                await connection.execute(_INSERT, (str(order.order_id), "order:created", encode(order)))
                free.put_nowait(connection)

            rate = await appended(insert, place.size)
            began, after, decode = perf_counter(), 0, msgspec.json.Decoder(OrderCreated).decode
            while page := await (await connections[0].execute(_PAGE, (after,), binary=True)).fetchall():
                for _, _, data in page:
                    decode(data)
                after = page[-1][0]
            catch_up = place.size / (perf_counter() - began)
            for connection in connections:
                await connection.close()
            return {"rate": [rate], "catch_up": [catch_up]}

        return asyncio.run(measure())


def eventsourcing(place: Place) -> Samples:
    """An aggregate with one event saved, by 32 threads."""
    from eventsourcing.application import Application
    from eventsourcing.domain import Aggregate

    class Order(Aggregate):
        def __init__(self, order_id: int, customer: int, total: str, cds: int) -> None:
            self.order_id, self.customer, self.total, self.cds = order_id, customer, total, cds

    with PostgresServer() as server:
        where = {"DBNAME": "postgres", "HOST": "127.0.0.1", "PORT": str(server.port), "USER": "tidings"}
        settings = {"PASSWORD": "", "POOL_SIZE": str(CALLERS), "MAX_OVERFLOW": "0"}
        environment = {f"POSTGRES_{name}": value for name, value in (where | settings).items()}
        application: Any = Application(env={"PERSISTENCE_MODULE": "eventsourcing.postgres"} | environment)
        values = iter(orders(place.size))
        lock = threading.Lock()

        def save() -> None:
            while True:
                with lock:
                    each = next(values, None)
                if each is None:
                    return
                application.save(Order(each.order_id, each.customer, each.total, each.cds))

        threads = [threading.Thread(target=save) for _ in range(CALLERS)]
        began = perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rate = place.size / (perf_counter() - began)
        application.close()
        return {"rate": [rate]}


async def appended(append: Callable[[OrderCreated], Any], size: int) -> float:
    """Events a second, when 32 callers each append one after the other."""
    values = iter(orders(size))

    async def call() -> None:
        for order in values:
            await append(order)

    began = perf_counter()
    await asyncio.gather(*(call() for _ in range(CALLERS)))
    return size / (perf_counter() - began)


async def caught_up(app: Any, size: int) -> float:
    """Events a second, when a handler hears all of them for the first time."""
    seen, done = 0, asyncio.Event()

    @app.on(OrderCreated)
    async def count(order: OrderCreated) -> None:
        nonlocal seen
        seen += 1
        if seen == size:
            done.set()

    async with app:
        began = perf_counter()
        async with app.running():
            await done.wait()
            return size / (perf_counter() - began)


async def lags(url: str) -> list[float]:
    """Milliseconds from the end of a transaction that held readers back to the event that it held."""
    import psycopg as driver

    from tidings import Event
    from tidings.log import open_log

    log = await open_log(url)
    found: list[float] = []
    async with await driver.AsyncConnection.connect(url) as holder:
        await holder.execute("CREATE TABLE held(n integer)")
        await holder.commit()
        tail = log.tail(after=await log.head())
        for number in range(_HOLDERS):
            await holder.execute("INSERT INTO held VALUES (1)")
            await log.append([Event(id=f"held-{number}", source="bench", type="held:back", data=None)])
            heard = asyncio.ensure_future(anext(tail))
            await asyncio.sleep(0.05)
            await holder.rollback()
            began = perf_counter()
            await heard
            found.append((perf_counter() - began) * 1000)
    await log.close()
    return found


QUESTION = Question(
    contenders={"tidings": tidings, "psycopg": psycopg, "eventsourcing": eventsourcing},
    rows=[
        Row("Postgres: append, 32 callers, an event each", against="eventsourcing", at_least=8),
        Row("the same", against="psycopg", at_least=1),
        Row("Postgres: catch up on a log", figure="catch_up", against="psycopg"),
        Row("Postgres: tail, behind a holder's end, p99", figure="lag", quantile=0.99, at_most=50, unit="ms"),
    ],
    size=20_000,
    quick_size=500,
)
