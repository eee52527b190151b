"""A `def` handler with `tx` does an upsert an event: what does exactly-once cost over plain SQL?"""

import asyncio
import shutil
from time import perf_counter
from typing import Any

from benchmarks.catch_up import prepare
from benchmarks.harness import Place, Question, Row, Samples
from benchmarks.orders import OrderCreated, bare, batches, connect, orders, shop

_TABLE = "CREATE TABLE customers(customer INTEGER PRIMARY KEY, orders INTEGER NOT NULL, cds INTEGER NOT NULL) STRICT"
_UPSERT = """
INSERT INTO customers VALUES (?, 1, ?)
ON CONFLICT (customer) DO UPDATE SET orders = orders + 1, cds = cds + excluded.cds"""
_COUNT = "SELECT sum(orders) FROM customers"


def tidings(place: Place) -> Samples:
    """The log is read, the handler called, its upserts and the cursor committed together."""
    shutil.copytree(place.prepared, place.fresh, dirs_exist_ok=True)
    database = connect(place.fresh / "shop.db")
    database.execute(_TABLE)
    rate = asyncio.run(_project(place))
    assert database.execute(_COUNT).fetchone() == (place.size,)
    return {"rate": [rate]}


async def _project(place: Place) -> float:
    app = shop(place.fresh)
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    @app.on(OrderCreated)
    def count(order: OrderCreated, tx: Any) -> None:
        tx.execute(_UPSERT, (order.customer, order.cds))
        if order.order_id == place.size - 1:
            loop.call_soon_threadsafe(done.set)

    async with app:
        began = perf_counter()
        async with app.running():
            await done.wait()
        return place.size / (perf_counter() - began)  # the last commit included


def sqlite(place: Place) -> Samples:
    """Only the upserts, 500 a transaction; no event is read."""
    values = orders(place.size)
    connection = bare(place.fresh)
    connection.execute(_TABLE)
    began = perf_counter()
    for batch in batches(values, 500):
        connection.execute("BEGIN IMMEDIATE")
        for order in batch:
            connection.execute(_UPSERT, (order.customer, order.cds))
        connection.execute("COMMIT")
    return {"rate": [place.size / (perf_counter() - began)]}


QUESTION = Question(
    contenders={"tidings": tidings, "sqlite3, only the upserts": sqlite},
    rows=[Row("sync tx handler, an upsert an event", against="sqlite3, only the upserts", at_least=0.25)],
    size=100_000,
    quick_size=5000,
    prepare=prepare,
)
