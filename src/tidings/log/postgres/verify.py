"""Reading a whole log to find what is wrong with it, on a connection of its own, while others go on writing."""

from collections.abc import Generator, Iterator

from tidings.log.position import Epoch
from tidings.log.postgres.connection import Connection
from tidings.log.postgres.edge import Edge
from tidings.log.record import Record
from tidings.log.relational.reading import WHOLE
from tidings.log.verifying import DECIDE, MOVE, Columns, Examined, Flaw, broken_stream, wrong_with

_STEP = 1000  # events
_ROWS = f"""
SELECT {WHOLE}, id, source, key FROM tidings_events
WHERE position > ? AND position <= ? ORDER BY position LIMIT {_STEP}"""
_COUNT = "SELECT count(*) FROM tidings_events WHERE position <= ?"
_STREAMS = """
SELECT e.stream, min(e.stream_version), max(e.stream_version), count(*), s.version
FROM tidings_events e LEFT JOIN tidings_streams s ON s.stream = e.stream
WHERE e.stream IS NOT NULL GROUP BY e.stream, s.version
HAVING max(e.stream_version) - min(e.stream_version) + 1 != count(*)
  OR s.version IS DISTINCT FROM max(e.stream_version)"""
_PARKED = """
SELECT p.group_name, p.position FROM tidings_parked p LEFT JOIN tidings_events e ON e.position = p.position
WHERE e.position IS NULL ORDER BY 1, 2"""
_LANES = """
SELECT group_name, lane, position FROM tidings_lanes
WHERE position > (SELECT coalesce(max(position), 0) FROM tidings_events) ORDER BY 1, 2"""


def examine(connection: Connection, edge: Edge) -> Generator[Examined, None, None]:
    """Go through the log in steps. Times are not held against each other: transactions overlap."""
    epoch, head = edge.life.epoch, edge.look(connection)
    of: int = connection.execute(_COUNT, (head,)).fetchone()[0]
    yield Examined(0, of, [])
    after = seen = 0
    while rows := connection.execute(_ROWS, (after, head)).fetchall():
        flaws: list[Flaw] = []
        for row in rows:
            record, columns = Record(*row[:10]), Columns(*row[10:])
            flaws += wrong_with(record, columns, epoch.position(record.order), 0)
        after, seen = rows[-1][0], seen + len(rows)
        yield Examined(seen, of, flaws)
    yield Examined(of, of, [*_relations(connection, epoch)])


def _relations(connection: Connection, epoch: Epoch) -> Iterator[Flaw]:
    """Streams without holes, parked events that are there, lanes that are within the log."""
    for row in connection.execute(_STREAMS).fetchall():
        if (finding := broken_stream(*row)) is not None:
            yield finding
    for group, order in connection.execute(_PARKED).fetchall():
        yield Flaw(f"{group} has set it aside, and it is not in the log", DECIDE, epoch.position(order))
    for group, lane, order in connection.execute(_LANES).fetchall():
        yield Flaw(f"lane {lane} of {group} stands past the end of the log, at {order}", MOVE)
