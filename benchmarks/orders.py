"""The orders that every question is about: as values, as rows of the log's own table, and as a log full of them."""

import asyncio
import random
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

from tidings import App, Event, event
from tidings.events import contract_of, new_id
from tidings.handling.report import Metrics
from tidings.log import open_log
from tidings.log.record import draft

SEED = 20260801
_RECORDED_AT = 1_785_000_000_000_000  # microseconds since 1970
Value = TypeVar("Value")
INSERT = f"INSERT INTO tidings_events VALUES ({','.join('?' * 14)})"


@event("order:created", version=1, key="customer")
class OrderCreated:
    """What a shop publishes."""

    order_id: int
    customer: int
    total: str
    cds: int


class Gauge:
    """A metrics hook as a user would have one: it counts."""

    def __init__(self) -> None:
        self.handled = 0

    def __call__(self, metrics: Metrics) -> None:
        self.handled += metrics.handled


def orders(count: int) -> list[OrderCreated]:
    """So many orders, the same in every run."""
    dice = random.Random(SEED)
    return [
        OrderCreated(number, dice.randrange(5000), f"{dice.randrange(100, 20_000) / 100:.2f}", dice.randrange(1, 9))
        for number in range(count)
    ]


def rows(count: int) -> list[tuple]:
    """The same orders as the rows that tidings itself would write, for whoever writes them without it."""
    contract = contract_of(OrderCreated)
    assert contract is not None
    made = []
    for position, order in enumerate(orders(count), start=1):
        happened = Event(id=new_id(), source="shop", type=contract.name, key=contract.key_of(order), data=order)
        it = draft(happened, public=True)
        found_by = (position, it.id, it.source, it.type, it.version, it.slot, it.key, None, None)
        made.append((*found_by, _RECORDED_AT + position, it.public, it.envelope, it.data, it.checksum))
    return made


def shop(folder: Path, **options: object) -> App:
    """An application with its log in `folder`, set up as it comes, with a metrics hook."""
    return App("shop", f"sqlite:///{folder}/shop.db", contracts=[OrderCreated], metrics=Gauge(), **options)


def bare(folder: Path) -> sqlite3.Connection:
    """The same file without tidings: its tables, made by it, and a plain connection, as safe on disk."""
    path = folder / "shop.db"

    async def make_tables() -> None:
        await (await open_log(f"sqlite:///{path}")).close()

    asyncio.run(make_tables())
    return connect(path)


def connect(path: Path) -> sqlite3.Connection:
    """A plain connection that commits when it is told to, and flushes at each commit."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def fill(folder: Path, count: int) -> None:
    """A log with so many orders in it."""

    async def publish_all() -> None:
        async with shop(folder) as app:
            for batch in batches(orders(count), 1000):
                await app.publish_many(batch)

    asyncio.run(publish_all())


def batches(values: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """Lists of so many values, the last one shorter."""
    remaining = iter(values)
    while batch := list(islice(remaining, size)):
        yield batch
