"""Reading a whole file to find what is wrong with it, on a connection of its own, while others go on writing."""

import contextlib
import sqlite3
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tidings.errors import LogDamaged, LogError
from tidings.log.position import Epoch
from tidings.log.record import Record
from tidings.log.sqlite.inspection import sign_of
from tidings.log.sqlite.schema import epochs, tip_of
from tidings.log.verifying import DECIDE, MOVE, RESTORE, Columns, Examined, Flaw, broken_stream, wrong_with

_SPAN = 1000  # orders a step
_MOST = 20  # lines of SQLite's own report
_ROWS = """
SELECT position, type, version, data, checksum, slot, recorded_at, stream, stream_version, envelope, id, source, key
FROM tidings_events WHERE position > ? AND position <= ? ORDER BY position"""
_NEXT = "SELECT min(position) FROM tidings_events WHERE position > ?"
_STREAMS = """
SELECT e.stream, min(e.stream_version), max(e.stream_version), count(*), s.version
FROM tidings_events e LEFT JOIN tidings_streams s ON s.stream = e.stream
WHERE e.stream IS NOT NULL GROUP BY e.stream
HAVING max(e.stream_version) - min(e.stream_version) + 1 != count(*) OR s.version IS NOT max(e.stream_version)"""
_PARKED = """
SELECT p.group_name, p.position FROM tidings_parked p LEFT JOIN tidings_events e ON e.position = p.position
WHERE e.position IS NULL ORDER BY 1, 2"""
_LANES = """
SELECT group_name, lane, position FROM tidings_lanes
WHERE position > (SELECT coalesce(max(position), 0) FROM tidings_events) ORDER BY 1, 2"""


def examine(path: Path, *, is_alone: bool = False) -> Generator[Examined, None, None]:
    """Go through the file at `path` in steps; `is_alone`: it is a backup, which nobody has open.

    Raises:
        LogDamaged: it is so broken that not even its head can be read.
        LogError: it was at rest, and has been written to meanwhile.
    """
    sign = sign_of(path)
    mode = "immutable=1" if is_alone or sign is not None else "mode=ro"
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True)) as connection:
        try:
            connection.execute("PRAGMA query_only = 1")
            tip, epoch = tip_of(connection), epochs(connection)[-1]
        except (sqlite3.Error, IndexError) as error:
            raise LogDamaged(f"its tables cannot be read ({error})", path=str(path)) from error
        of = _count(connection, tip)
        yield Examined(0, of, _structure(connection))
        yield from _records(connection, epoch, tip, of)
        yield Examined(of, of, [*_relations(connection, epoch)])
    if sign is not None and sign_of(path) != sign:
        raise LogError(f"{path} was opened and written to while it was read as if nobody used it: verify it again")


def _count(connection: sqlite3.Connection, tip: int) -> int:
    """How many events there are; at most, where that cannot be told."""
    try:
        row = connection.execute("SELECT count(*) FROM tidings_events WHERE position <= ?", (tip,)).fetchone()
    except sqlite3.Error:
        return tip
    return int(row[0])


def _structure(connection: sqlite3.Connection) -> list[Flaw]:
    """What SQLite says of pages, indexes and constraints."""
    try:
        rows = connection.execute(f"PRAGMA integrity_check({_MOST})").fetchall()
    except sqlite3.Error as error:
        rows = [(str(error),)]
    return [Flaw(f"the file: {line}", RESTORE) for (line,) in rows if line != "ok"]


def _records(connection: sqlite3.Connection, epoch: Epoch, tip: int, of: int) -> Iterator[Examined]:
    after = seen = earliest = 0
    while after < tip:
        end = min(_before_next(connection, after, tip) + _SPAN, tip)
        flaws: list[Flaw] = []
        for row in _rows(connection, epoch, after, end, flaws):
            record, columns = Record(*row[:10]), Columns(*row[10:])
            flaws += wrong_with(record, columns, epoch.position(record.order), earliest)
            earliest = max(earliest, record.recorded_at)
            seen += 1
        after = end
        yield Examined(seen, of, flaws)


def _rows(
    connection: sqlite3.Connection, epoch: Epoch, after: int, end: int, flaws: list[Flaw]
) -> list[tuple[Any, ...]]:
    """The rows of some orders; where a page cannot be read, all that can be had one by one."""
    try:
        return connection.execute(_ROWS, (after, end)).fetchall()
    except sqlite3.Error:
        rows: list[tuple[Any, ...]] = []
    for order in range(after + 1, end + 1):
        try:
            rows += connection.execute(_ROWS, (order - 1, order)).fetchall()
        except sqlite3.Error as error:
            flaws.append(Flaw(f"it cannot be read: {error}", RESTORE, epoch.position(order)))
    return rows


def _before_next(connection: sqlite3.Connection, after: int, tip: int) -> int:
    """The last order before the next event: what was trimmed is passed over at once."""
    try:
        found = connection.execute(_NEXT, (after,)).fetchone()[0]
    except sqlite3.Error:
        return after
    return tip if found is None else int(found) - 1


def _relations(connection: sqlite3.Connection, epoch: Epoch) -> Iterator[Flaw]:
    """Streams without holes, parked events that are there, lanes that are within the log."""
    try:
        for row in connection.execute(_STREAMS):
            if (finding := broken_stream(*row)) is not None:
                yield finding
        for group, order in connection.execute(_PARKED):
            yield Flaw(f"{group} has set it aside, and it is not in the log", DECIDE, epoch.position(order))
        for group, lane, order in connection.execute(_LANES):
            yield Flaw(f"lane {lane} of {group} stands past the end of the log, at {order}", MOVE)
    except sqlite3.Error as error:
        yield Flaw(f"streams and groups cannot all be read: {error}", RESTORE)
