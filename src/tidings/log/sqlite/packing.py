"""Lean records, which SQLite hands over as one row for all of them.

`sqlite3` lets go of the interpreter's lock at each row and takes it again. Where other threads are at work, that was
measured to take three times as long as reading the row does, and it holds them up as well.
"""

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any

import msgspec

from tidings.log.record import Record

_integers = msgspec.json.Decoder(list[int]).decode
_texts = msgspec.json.Decoder(list[str]).decode


def packed(connection: sqlite3.Connection, statement: str, parameters: Sequence[Any]) -> list[Record]:
    """The records of a lean SELECT, in its order."""
    try:
        row = connection.execute(_together(statement), parameters).fetchone()
    except sqlite3.DataError:  # it would be longer than SQLite allows
        return [Record(*row) for row in connection.execute(statement, parameters)]
    orders, types, versions, lengths, checksums, data = row
    places = pairwise(accumulate(_integers(lengths), initial=0))
    return [
        Record(order, type_, version, data[start:end], checksum)
        for order, type_, version, (start, end), checksum in zip(
            _integers(orders), _texts(types), _integers(versions), places, _integers(checksums), strict=True
        )
    ]


@lru_cache(maxsize=256)
def _together(statement: str) -> str:
    """Bytes put together are text to SQLite, which does not look at it, until it is told that they are bytes."""
    return f"""
    SELECT json_group_array(position), json_group_array(type), json_group_array(version),
      json_group_array(length(data)), json_group_array(checksum), CAST(group_concat(data, '') AS BLOB)
    FROM ({statement})"""
