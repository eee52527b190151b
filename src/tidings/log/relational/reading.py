"""The reader's questions that all relational logs are asked alike, and the columns of a whole record.

What lies past a position is asked by each log in its own way: it is where catching up spends its time.
"""

from typing import Any

from tidings.log.relational.session import Connection

WHOLE = "position, type, version, data, checksum, slot, recorded_at, stream, stream_version, envelope"
_FEW = 10  # records of a prefix: more than one is a question back
_STREAM = f"""
SELECT {WHOLE} FROM tidings_events WHERE stream = ? AND stream_version > ? AND stream_version <= ?
ORDER BY stream_version {{order}} LIMIT ?"""
_WITH_ID = f"SELECT {WHOLE} FROM tidings_events WHERE id = ? ORDER BY position"
_WITH_PREFIX = f"SELECT {WHOLE} FROM tidings_events WHERE id >= ? AND id < ? ORDER BY id LIMIT {_FEW}"


def stream(connection: Connection, name: str, after: int, upto: int | None, backwards: bool, limit: int) -> list[Any]:
    """A page of one stream's rows by version."""
    sql = _STREAM.format(order="DESC" if backwards else "ASC")
    return connection.execute(sql, (name, after, 2**62 if upto is None else upto, limit)).fetchall()


def with_id(connection: Connection, event_id: str, *, prefix: bool = False) -> list[Any]:
    """The rows with this id, of whatever source; with `prefix` the first few whose id begins so."""
    if prefix:
        return connection.execute(_WITH_PREFIX, (event_id, f"{event_id}\U0010ffff")).fetchall()
    return connection.execute(_WITH_ID, (event_id,)).fetchall()
