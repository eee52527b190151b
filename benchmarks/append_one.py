"""One caller publishes one event after the other, each on disk before the next: what does the library cost?

Contenders that do all of it in one thread stay on one core. `await app.publish` has a second thread, and goes where the
system puts it.
"""

import asyncio
from time import perf_counter

from benchmarks.harness import Place, Question, Row, Samples, stay_on_one_core
from benchmarks.orders import INSERT, bare, orders, rows, shop


def tidings(place: Place) -> Samples:
    """`await app.publish(order)`, one after the other."""

    async def publish_all() -> float:
        values = orders(place.size)
        async with shop(place.fresh) as app:
            began = perf_counter()
            for order in values:
                await app.publish(order)
            return place.size / (perf_counter() - began)

    return {"rate": [asyncio.run(publish_all())]}


def tidings_sync(place: Place) -> Samples:
    """`app.sync.publish(order)` in a script without an event loop, one after the other."""
    stay_on_one_core()
    values = orders(place.size)
    app = shop(place.fresh)
    with app.sync:
        began = perf_counter()
        for order in values:
            app.sync.publish(order)
        return {"rate": [place.size / (perf_counter() - began)]}


def sqlite(place: Place) -> Samples:
    """An INSERT and a COMMIT an event, into the same table, the row made beforehand."""
    stay_on_one_core()
    ready = rows(place.size)
    connection = bare(place.fresh)
    began = perf_counter()
    for row in ready:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(INSERT, row)
        connection.execute("COMMIT")
    return {"rate": [place.size / (perf_counter() - began)]}


def eventsourcing(place: Place) -> Samples:
    """An aggregate with one event saved, one after the other."""
    from eventsourcing.application import Application
    from eventsourcing.domain import Aggregate

    class Order(Aggregate):
        def __init__(self, order_id: int, customer: int, total: str, cds: int) -> None:
            self.order_id, self.customer, self.total, self.cds = order_id, customer, total, cds

    stay_on_one_core()
    path = str(place.fresh / "shop.db")
    application = Application(env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": path})
    values = orders(place.size)
    began = perf_counter()
    for each in values:
        application.save(Order(each.order_id, each.customer, each.total, each.cds))
    return {"rate": [place.size / (perf_counter() - began)]}


QUESTION = Question(
    contenders={"tidings": tidings, "app.sync": tidings_sync, "sqlite3": sqlite, "eventsourcing": eventsourcing},
    rows=[
        Row("append, one caller, an event a commit", against="sqlite3", at_least=0.45),
        Row("the same", against="eventsourcing"),
        Row("append, one caller without an event loop", of="app.sync", against="sqlite3", at_least=0.45),
        Row("the same", of="app.sync", against="eventsourcing", at_least=1.4),
        Row("… and SQLite itself, the most there is", of="sqlite3", against="eventsourcing"),
    ],
    size=3000,
    quick_size=100,
    rounds=61,  # a round takes a second, in which the disk may be quick or slow, and the goals are near
)
