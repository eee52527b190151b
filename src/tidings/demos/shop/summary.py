"""What has come of the orders: read from every service's own tables and groups, and compared with the data file."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from tidings.demos.shop.place import POISON
from tidings.demos.shop.purchases import Totals
from tidings.log import open_log
from tidings.log.group import GroupStatus
from tidings.log.parked import Parked

TABLES = {"order": "orders", "inventory": "reserved", "payment": "captured", "notification": "letters"}


class Check(msgspec.Struct, frozen=True):
    """One thing that must be so."""

    what: str
    expected: str
    found: str

    @property
    def agrees(self) -> bool:
        """Is it so?"""
        return self.expected == self.found


class Books(msgspec.Struct, frozen=True):
    """One service's rows and groups, once it has ended."""

    orders: int
    distinct: int
    cds: int
    cents: int
    groups: list[GroupStatus]
    dead: list[Parked]


async def audit(folder: Path, expected: Totals) -> list[Check]:
    """All checks; call it when no service runs any more, so that nothing can come after it."""
    books = {service: await _books(folder, service) for service in TABLES}
    gateway = await asyncio.to_thread(
        _ask, folder / "gateway.db", "SELECT count(*), sum(cents) FROM charges WHERE charged"
    )
    orders, cds, money = str(expected.orders), str(expected.cds), dollars(expected.cents)
    letters = [one for one in books["notification"].dead if one.key == str(POISON)]
    groups = [group for book in books.values() for group in book.groups]
    return [
        Check("orders taken", orders, str(books["order"].orders)),
        Check("  their CDs", cds, str(books["order"].cds)),
        Check("  their dollars", money, dollars(books["order"].cents)),
        Check("orders reserved by inventory", orders, str(books["inventory"].orders)),
        Check("  their CDs", cds, str(books["inventory"].cds)),
        Check("orders captured by payment", orders, str(books["payment"].orders)),
        Check("  their dollars", money, dollars(books["payment"].cents)),
        Check("charges the gateway made", orders, str(gateway[0])),
        Check("  their dollars", money, dollars(gateway[1] or 0)),
        Check("letters sent by notification", str(expected.orders - 1), str(books["notification"].orders)),
        Check(f"  dead letter, of order {POISON}", "1", str(len(letters))),
        Check("done twice, in any service", "0", str(sum(book.orders - book.distinct for book in books.values()))),
        Check("dead letters in all", "1", str(sum(group.dead for group in groups))),
        Check("still waiting to be tried again", "0", str(sum(group.retry + group.blocked for group in groups))),
    ]


def dollars(cents: int) -> str:
    """Cents as people write them."""
    return f"{cents // 100:,}.{cents % 100:02}"


async def _books(folder: Path, service: str) -> Books:
    path = folder / f"{service}.db"
    log = await open_log(f"sqlite:///{path}")
    try:
        groups, dead = await log.ledger.groups(), await log.ledger.parked(state="dead")
    finally:
        await log.close()
    table = TABLES[service]
    counted = await asyncio.to_thread(_ask, path, f"SELECT count(*), count(DISTINCT order_id) FROM {table}")
    cds = f"SELECT sum(cds) FROM {table}" if service in ("order", "inventory") else "SELECT 0"
    cents = f"SELECT sum(cents) FROM {table}" if service in ("order", "payment") else "SELECT 0"
    sums = [(await asyncio.to_thread(_ask, path, sql))[0] or 0 for sql in (cds, cents)]
    return Books(counted[0], counted[1], sums[0], sums[1], groups, dead)


def _ask(path: Path, sql: str) -> Any:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchone()
