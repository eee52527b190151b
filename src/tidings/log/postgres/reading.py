"""The reader's questions: slices of the log, of a stream, and places by time or id."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from zlib import crc32

from tidings.log.group import LANES
from tidings.log.position import Epoch
from tidings.log.postgres.connection import Connection
from tidings.log.postgres.edge import Edge
from tidings.log.reading import checked, refuse_damaged
from tidings.log.record import DATA_CRC, Record
from tidings.log.relational.reading import WHOLE
from tidings.log.slices import Slice, Where

_SPAN = 20_000  # events: no single question may keep a reader's thread for long, however little it finds
_LEANEST = "position, version, data, checksum"  # where one type alone is asked for
_LEAN = "position, type, version, data, checksum"
_WINDOW = f"(SELECT * FROM tidings_events WHERE position > ? AND position <= ? ORDER BY position LIMIT {_SPAN}) AS span"
_END = f"""
SELECT coalesce(max(position), 0), count(*) FROM (
  SELECT position FROM tidings_events WHERE position > ? AND position <= ? ORDER BY position LIMIT {_SPAN}) AS span"""
_LATER = "SELECT min(position) FROM tidings_events WHERE position > ? AND recorded_at >= ?"
_PROBE = "SELECT position, recorded_at FROM tidings_events WHERE position <= ? ORDER BY position DESC LIMIT 1"
_STIR = 10 * 60 * 1_000_000  # microseconds a transaction may last that records events; the time of its events may lag


def scan(connection: Connection, edge: Edge, after: int, where: Where, limit: int) -> Slice:
    """One look past `after`. In the middle of the log, where the end is known to be further on, it asks once.

    Raises:
        LogDamaged: a record's data is not what was written.
    """
    epoch = edge.life.epoch
    rows: list[Any] = []
    head = edge.head  # once: another thread moves it on, and what lies there was not looked at here
    if after < head:
        rows = _rows(connection, after, head, where, limit)
    if len(rows) < limit:
        head = edge.look(connection)
        rows = _rows(connection, after, head, where, limit) if after < head else []
    if len(rows) == limit:
        upto = rows[-1][0]
        if upto == head:
            head = edge.look(connection)
    else:
        upto = head if _sees_all(where) else _end(connection, after, head)
    only = _only_type(where)
    records = checked(rows, epoch) if only is None else _leanest(rows, only, epoch)
    upto = max(upto, after)
    return Slice(records, epoch.position(after), epoch.position(upto), at_head=upto >= head, epoch=epoch)


def related(connection: Connection, edge: Edge, after: int, mentions: Sequence[bytes], limit: int) -> Slice:
    """One look past `after` for rows whose envelope holds one of these texts. There is no index: see `_SPAN`.

    Raises:
        LogDamaged: a record's data is not what was written.
    """
    epoch, head = edge.life.epoch, edge.look(connection)
    speaks = " OR ".join(["position(? IN envelope) > 0"] * len(mentions)) or "false"
    sql = f"SELECT {WHOLE} FROM {_WINDOW} WHERE {speaks} ORDER BY span.position LIMIT ?"
    rows = connection.execute(sql, (after, head, *mentions, limit)).fetchall()
    upto = rows[-1][0] if len(rows) == limit else _end(connection, after, head)
    upto = max(upto, after)
    return Slice(checked(rows, epoch), epoch.position(after), epoch.position(upto), at_head=upto >= head, epoch=epoch)


def order_at(connection: Connection, head: int, microseconds: int) -> int:
    """The last kept order behind which lies all that was recorded from a moment on.

    A binary search: events lie in the order in which their transactions began, so that their times rise but for the
    length of a transaction. From a little before the moment it is looked closely.
    """
    low, high = 0, head
    while low < high:
        middle = (low + high + 1) // 2
        row = connection.execute(_PROBE, (middle,)).fetchone()
        if row is None or row[1] < microseconds - _STIR:
            low = middle
        else:
            high = row[0] - 1
    first = connection.execute(_LATER, (low, microseconds)).fetchone()[0]
    end = head if first is None or first > head else first - 1
    kept = connection.execute("SELECT max(position) FROM tidings_events WHERE position <= ?", (end,)).fetchone()[0]
    return kept or 0


def _rows(connection: Connection, after: int, head: int, where: Where, limit: int) -> list[Any]:
    types = tuple(sorted(where.types or ()))
    rows: list[Any] = connection.execute(_statement(where), (after, head, *types, limit)).fetchall()
    return rows


def _end(connection: Connection, after: int, head: int) -> int:
    """How far a look has come that went through so many events."""
    end, count = connection.execute(_END, (after, head)).fetchone()
    return head if count < _SPAN else int(end)


def _sees_all(where: Where) -> bool:
    is_whole = where.lanes is None or len(where.lanes) == LANES
    return where.types is None and is_whole and not where.public and not where.passing


def _only_type(where: Where) -> str | None:
    return next(iter(where.types)) if where.lean and where.types is not None and len(where.types) == 1 else None


def _leanest(rows: list[Any], only: str, epoch: Epoch) -> list[Record]:
    """Rows without their type, which is known: checked and made records in one pass, as a catch-up is mostly this."""
    records = [
        Record(order, only, version, data, checksum)
        for order, version, data, checksum in rows
        if crc32(data) == checksum & DATA_CRC
    ]
    if len(records) < len(rows):
        refuse_damaged([Record(order, only, version, data, checksum) for order, version, data, checksum in rows], epoch)
    return records


@lru_cache(maxsize=256)
def _statement(where: Where) -> str:
    columns = _LEANEST if _only_type(where) is not None else _LEAN if where.lean else WHOLE
    if _sees_all(where):
        return f"SELECT {columns} FROM tidings_events WHERE position > ? AND position <= ? ORDER BY position LIMIT ?"
    conditions = ["true"]
    if where.types is not None:
        conditions.append(f"type IN ({','.join('?' * len(where.types)) or 'NULL'})")
    if where.lanes is not None and len(where.lanes) < LANES:
        conditions.append(f"slot % {LANES} IN ({','.join(map(str, sorted(where.lanes))) or 'NULL'})")
    if where.passing:
        conditions.append(f"position NOT IN ({','.join(map(str, sorted(where.passing)))})")
    if where.public:
        conditions.append("public")
    return f"SELECT {columns} FROM {_WINDOW} WHERE {' AND '.join(conditions)} ORDER BY position LIMIT ?"
