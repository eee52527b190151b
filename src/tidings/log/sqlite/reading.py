"""The reader's questions: slices of the log, of a stream, and places by time or id."""

import sqlite3
from collections.abc import Callable, Sequence
from functools import lru_cache

from tidings.log.group import LANES
from tidings.log.position import Epoch
from tidings.log.reading import checked
from tidings.log.record import Record
from tidings.log.relational.reading import WHOLE
from tidings.log.slices import Slice, Where
from tidings.log.sqlite.schema import tip_of

SPAN = 20_000  # orders: no single question may keep the reader's thread for long, however little it finds
_LEAN = "position, type, version, data, checksum"
Fetch = Callable[[sqlite3.Connection, Epoch, int, int, Where, int], list[Record]]  # as `row_by_row`


def row_by_row(
    connection: sqlite3.Connection, epoch: Epoch, after: int, end: int, where: Where, limit: int
) -> list[Record]:
    """The first records past `after`, up to `end`.

    Raises:
        LogDamaged: a record's data is not what was written.
    """
    sql = f"SELECT {_LEAN if where.lean else WHOLE} {matching(where)} ORDER BY position LIMIT ?"
    return checked(connection.execute(sql, (after, end, *(where.types or ()), limit)).fetchall(), epoch)


def scan(
    connection: sqlite3.Connection, epoch: Epoch, after: int, where: Where, limit: int, fetch: Fetch = row_by_row
) -> Slice:
    """One look past `after`.

    Raises:
        LogDamaged: a record's data is not what was written.
    """
    tip = tip_of(connection)  # first: what is appended between the two questions waits for the next look
    if after >= tip:
        return Slice([], epoch.position(after), epoch.position(after), at_head=True, epoch=epoch)
    end = min(tip, after + SPAN)
    records = fetch(connection, epoch, after, end, where, limit)
    full = len(records) == limit
    upto = records[-1].order if full else end if records else _before_next(connection, end, tip)
    return Slice(records, epoch.position(after), epoch.position(upto), at_head=upto == tip, epoch=epoch)


def related(connection: sqlite3.Connection, epoch: Epoch, after: int, mentions: Sequence[bytes], limit: int) -> Slice:
    """One look past `after` for rows whose envelope holds one of these texts. There is no index: see `SPAN`.

    Raises:
        LogDamaged: a record's data is not what was written.
    """
    tip = tip_of(connection)
    end = min(tip, after + SPAN)
    speaks = " OR ".join(["instr(envelope, ?)"] * len(mentions)) or "0"
    sql = f"""
    SELECT {WHOLE} FROM tidings_events WHERE position > ? AND position <= ? AND ({speaks}) ORDER BY position LIMIT ?"""
    rows = connection.execute(sql, (after, end, *mentions, limit)).fetchall()
    upto = rows[-1][0] if len(rows) == limit else max(end, after)
    return Slice(checked(rows, epoch), epoch.position(after), epoch.position(upto), at_head=upto >= tip, epoch=epoch)


def order_at(connection: sqlite3.Connection, microseconds: int) -> int:
    """The last kept order recorded before a moment: a binary search, as log time never falls."""
    low, high = 0, tip_of(connection)
    while low < high:
        middle = (low + high + 1) // 2
        sql = "SELECT position, recorded_at FROM tidings_events WHERE position <= ? ORDER BY position DESC LIMIT 1"
        row = connection.execute(sql, (middle,)).fetchone()
        if row is None or row[1] < microseconds:
            low = middle
        else:
            high = row[0] - 1
    kept: int | None = connection.execute(
        "SELECT max(position) FROM tidings_events WHERE position <= ?", (low,)
    ).fetchone()[0]
    return kept or 0


def before_first(connection: sqlite3.Connection) -> int:
    """The order that all kept events come after."""
    return _before_next(connection, 0, tip_of(connection))


def _before_next(connection: sqlite3.Connection, order: int, tip: int) -> int:
    """The last order before the next event past `order`: what was trimmed there is passed over at once."""
    if order >= tip:
        return tip
    found = connection.execute("SELECT min(position) FROM tidings_events WHERE position > ?", (order,)).fetchone()[0]
    return tip if found is None else int(found) - 1


@lru_cache(maxsize=256)
def matching(where: Where) -> str:
    """FROM and WHERE of a look between two orders; their parameters are those, and then the types."""
    conditions = ["position > ?", "position <= ?"]
    if where.types is not None:
        conditions.append(f"type IN ({','.join('?' * len(where.types))})")
    if where.lanes is not None and len(where.lanes) < LANES:
        conditions.append(f"slot % {LANES} IN ({','.join(map(str, sorted(where.lanes)))})")
    if where.passing:
        conditions.append(f"position NOT IN ({','.join(map(str, sorted(where.passing)))})")
    if where.public:
        conditions.append("public")
    return f"FROM tidings_events WHERE {' AND '.join(conditions)}"
