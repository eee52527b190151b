"""A new handler reads a log from its beginning: what do policy, lanes and settlement cost it?"""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter

import msgspec

from benchmarks.harness import Place, Question, Row, Samples
from benchmarks.orders import OrderCreated, connect, fill, orders, shop

Handler = Callable[[OrderCreated], Awaitable[None]]
_PAGE = "SELECT position, type, data FROM tidings_events WHERE position > ? ORDER BY position LIMIT 500"


class Counter:
    """An `async def` handler that counts, and says when it has seen all."""

    def __init__(self, expected: int) -> None:
        self.seen = 0
        self.done = asyncio.Event()
        self._expected = expected

    def handler(self) -> Handler:
        """The handler itself: a plain function, as users write them."""

        async def count(order: OrderCreated) -> None:
            self.seen += 1
            if self.seen == self._expected:
                self.done.set()

        return count


async def catch_up(place: Place, groups: int, **options: object) -> float:
    """Events a second when so many groups hear all of them, each for the first time."""
    app = shop(place.prepared, **options)
    counters = [Counter(place.size) for _ in range(groups)]
    for number, counter in enumerate(counters):
        app.on(OrderCreated, group=f"reader-{os.getpid()}-{number}")(counter.handler())
    async with app:
        began = perf_counter()
        async with app.running():
            for counter in counters:
                await counter.done.wait()
            return place.size / (perf_counter() - began)


async def scan(place: Place, groups: int) -> float:
    """The least that could be done: pages of three columns, decoded once, each handler awaited."""
    counters = [Counter(place.size) for _ in range(groups)]
    handlers = [counter.handler() for counter in counters]
    connection = connect(place.prepared / "shop.db")
    began = perf_counter()
    await _read(connection, handlers)
    for counter in counters:
        await counter.done.wait()
    return place.size / (perf_counter() - began)


async def _read(connection: sqlite3.Connection, handlers: Sequence[Handler]) -> None:
    decode = msgspec.json.Decoder(OrderCreated).decode
    after = 0
    while page := connection.execute(_PAGE, (after,)).fetchall():
        for _, _, data in page:
            order = decode(data)
            for handle in handlers:
                await handle(order)
        after = page[-1][0]


def prepare(place: Place) -> None:
    """The log that is read."""
    fill(place.prepared, place.size)


def tidings(place: Place) -> Samples:
    """`@app.on(OrderCreated)` and `app.running()`, timed from its start to the last event."""
    return {"rate": [asyncio.run(catch_up(place, 1))]}


def sqlite(place: Place) -> Samples:
    """SELECT, `msgspec` and `await`."""
    return {"rate": [asyncio.run(scan(place, 1))]}


def faststream(place: Place) -> Samples:
    """FastStream's in-memory test broker: publish, and the handler is called; nothing is stored."""
    from faststream.nats import NatsBroker, TestNatsBroker
    from pydantic import BaseModel

    class Order(BaseModel):
        order_id: int
        customer: int
        total: str
        cds: int

    broker = NatsBroker(logger=None)
    count = max(place.size // 100, 50)
    seen = 0

    @broker.subscriber("order:created")
    async def handle(order: Order) -> None:
        nonlocal seen
        seen += 1

    async def publish_all() -> float:
        values = [Order(**msgspec.to_builtins(order)) for order in orders(count)]
        async with TestNatsBroker(broker) as connected:
            began = perf_counter()
            for order in values:
                await connected.publish(order, "order:created")
            assert seen == count
            return count / (perf_counter() - began)

    return {"rate": [asyncio.run(publish_all())]}


QUESTION = Question(
    contenders={"tidings": tidings, "sqlite3 + msgspec + await": sqlite, "FastStream, in memory": faststream},
    rows=[
        Row("catch-up, one async handler", against="sqlite3 + msgspec + await", at_least=0.45),
        Row("the same", against="FastStream, in memory"),
    ],
    size=200_000,
    quick_size=5000,
    prepare=prepare,
)
