"""A hundred callers publish at the same time: do they share a flush of the disk?"""

import asyncio
from collections.abc import Sequence
from time import perf_counter

from benchmarks.append_one import eventsourcing
from benchmarks.harness import Place, Question, Row, Samples
from benchmarks.orders import INSERT, OrderCreated, bare, batches, orders, rows, shop
from tidings import App

CALLERS = 100


def tidings(place: Place) -> Samples:
    """A hundred tasks, each awaiting one `app.publish` after the other."""

    async def call(app: App, values: Sequence[OrderCreated]) -> None:
        for order in values:
            await app.publish(order)

    async def publish_all() -> float:
        values = orders(place.size)
        async with shop(place.fresh) as app:
            began = perf_counter()
            async with asyncio.TaskGroup() as callers:
                for number in range(CALLERS):
                    callers.create_task(call(app, values[number::CALLERS]))
            return place.size / (perf_counter() - began)

    return {"rate": [asyncio.run(publish_all())]}


def sqlite(place: Place) -> Samples:
    """A hundred INSERTs a COMMIT."""
    ready = rows(place.size)
    connection = bare(place.fresh)
    began = perf_counter()
    for batch in batches(ready, CALLERS):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(INSERT, batch)
        connection.execute("COMMIT")
    return {"rate": [place.size / (perf_counter() - began)]}


def one_by_one(place: Place) -> Samples:
    """`eventsourcing` knows no shared commit: with a hundred threads it is slower than with one, so one it is."""
    return eventsourcing(Place(place.fresh, place.prepared, min(place.size, 3000)))


QUESTION = Question(
    contenders={"tidings": tidings, "sqlite3, 100 a commit": sqlite, "eventsourcing": one_by_one},
    rows=[
        Row("append, 100 concurrent callers", against="sqlite3, 100 a commit", at_least=0.25),
        Row("the same", against="eventsourcing", at_least=10),
    ],
    size=30_000,
    quick_size=1000,
)
