"""What has come of the orders: read from every service's own tables and groups, and compared with the data file."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from tidings.demos.shop.ground import Place
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
    may_lack: bool = False  # may some be missing, as the carrier keeps nothing?

    @property
    def agrees(self) -> bool:
        """Is it so?"""
        return self.expected == self.found or self.is_missing

    @property
    def is_missing(self) -> bool:
        """Is there less of it, where that may be?"""
        return self.may_lack and _number(self.found) < _number(self.expected)


class Books(msgspec.Struct, frozen=True):
    """One service's rows and groups, once it has ended."""

    orders: int
    distinct: int
    cds: int
    cents: int
    groups: list[GroupStatus]
    dead: list[Parked]


async def audit(place: Place, expected: Totals) -> list[Check]:
    """All checks; call it when no service runs any more, so that nothing can come after it."""
    books = {service: await _books(place, service) for service in TABLES}
    gateway = await asyncio.to_thread(
        _ask, place.folder / "gateway.db", "SELECT count(*), sum(cents) FROM charges WHERE charged"
    )
    lossy = place.is_lossy
    orders, cds, money = str(expected.orders), str(expected.cds), dollars(expected.cents)
    letters = [one for one in books["notification"].dead if one.key == str(POISON)]
    groups = [group for book in books.values() for group in book.groups]
    return [
        Check("orders taken", orders, str(books["order"].orders)),
        Check("  their CDs", cds, str(books["order"].cds)),
        Check("  their dollars", money, dollars(books["order"].cents)),
        Check("orders reserved by inventory", orders, str(books["inventory"].orders), lossy),
        Check("  their CDs", cds, str(books["inventory"].cds), lossy),
        Check("orders captured by payment", orders, str(books["payment"].orders), lossy),
        Check("  their dollars", money, dollars(books["payment"].cents), lossy),
        Check("charges the gateway made", orders, str(gateway[0]), lossy),
        Check("  their dollars", money, dollars(gateway[1] or 0), lossy),
        Check("letters sent by notification", str(expected.orders - 1), str(books["notification"].orders), lossy),
        Check(f"  dead letter, of order {POISON}", "1", str(len(letters)), lossy),
        Check("done twice, in any service", "0", str(sum(book.orders - book.distinct for book in books.values()))),
        Check("dead letters in all", "1", str(sum(group.dead for group in groups)), lossy),
        Check("still waiting to be tried again", "0", str(sum(group.retry + group.blocked for group in groups))),
    ]


def dollars(cents: int) -> str:
    """Cents as people write them."""
    return f"{cents // 100:,}.{cents % 100:02}"


async def _books(place: Place, service: str) -> Books:
    table = TABLES[service]
    cds = "sum(cds)" if service in ("order", "inventory") else "0"
    cents = "sum(cents)" if service in ("order", "payment") else "0"
    log = await open_log(place.log_of(service))
    try:
        groups, dead = await log.ledger.groups(), await log.ledger.parked(state="dead")
        async with log.transaction() as tx:
            [row] = await tx.fetch(f"SELECT count(*), count(DISTINCT order_id), {cds}, {cents} FROM {table}")
    finally:
        await log.close()
    orders, distinct, total, money = (int(each or 0) for each in row)
    return Books(orders, distinct, total, money, groups, dead)


def _number(told: str) -> int:
    return int("".join(filter(str.isdigit, told)) or 0)


def _ask(path: Path, sql: str) -> Any:
    if not path.exists():
        return 0, 0  # nothing came as far as payment
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchone()
