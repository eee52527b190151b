"""One caller publishes a thousand events at a time: what does the library cost when the disk hardly counts?"""

import asyncio
from time import perf_counter

from benchmarks.harness import Place, Question, Row, Samples
from benchmarks.orders import INSERT, bare, batches, orders, rows, shop

BATCH = 1000


def tidings(place: Place) -> Samples:
    """`await app.publish_many(thousand)`."""

    async def publish_all() -> float:
        ready = list(batches(orders(place.size), BATCH))
        async with shop(place.fresh) as app:
            began = perf_counter()
            for batch in ready:
                await app.publish_many(batch)
            return place.size / (perf_counter() - began)

    return {"rate": [asyncio.run(publish_all())]}


def sqlite(place: Place) -> Samples:
    """`executemany` with a thousand rows a COMMIT; the rows are made beforehand."""
    ready = list(batches(rows(place.size), BATCH))
    connection = bare(place.fresh)
    began = perf_counter()
    for batch in ready:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(INSERT, batch)
        connection.execute("COMMIT")
    return {"rate": [place.size / (perf_counter() - began)]}


QUESTION = Question(
    contenders={"tidings": tidings, "sqlite3 executemany": sqlite},
    rows=[Row("append in batches of 1,000", against="sqlite3 executemany", at_least=0.6)],
    size=100_000,
    quick_size=2000,
)
