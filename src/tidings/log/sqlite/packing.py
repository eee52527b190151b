"""Lean records, which SQLite hands over as one row for all of them.

`sqlite3` lets go of the interpreter's lock at each row and takes it again. Where other threads are at work, that was
measured to take three times as long as reading the row does, and it holds them up as well.
"""

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from tidings.log.position import Epoch
from tidings.log.reading import refuse_damaged
from tidings.log.record import DATA_CRC, Record

_LARGE = 10_000  # bytes of data: of such it is no gain, and a thousand of them put together would take much memory
_integers = msgspec.json.Decoder(list[int]).decode
_texts = msgspec.json.Decoder(list[str]).decode


class Packed(NamedTuple):
    """Some lean records in the order they were asked for: columns as JSON lists, and all data in one piece."""

    size: int  # records; without any there is nothing else
    orders: str
    types: str | None  # None where one alone was asked for
    versions: str
    lengths: str  # of the data of each, in bytes
    checksums: str
    data: bytes  # without what is large

    def records(self, only: str | None, epoch: Epoch) -> list[Record] | None:
        """The records, all of type `only` if that is what was asked for; None when large data is left out.

        Raises:
            LogDamaged: naming the positions of those whose data is not what was written.
        """
        if not self.size:
            return []
        ends = list(accumulate(_integers(self.lengths), initial=0))
        if ends[-1] != len(self.data):
            return None
        types = [only or ""] * self.size if self.types is None else _texts(self.types)
        data = [self.data[start:end] for start, end in pairwise(ends)]
        checksums = _integers(self.checksums)
        records = list(map(Record, _integers(self.orders), types, _integers(self.versions), data, checksums))
        if list(map(crc32, data)) != [checksum & DATA_CRC for checksum in checksums]:
            refuse_damaged(records, epoch)
        return records


def packed(connection: sqlite3.Connection, matching: str, parameters: Sequence[Any], only: str | None) -> Packed:
    """The records of a FROM clause; the last parameter limits them."""
    return Packed(*connection.execute(_together(matching, is_of_one_type=only is not None), parameters).fetchone())


@lru_cache(maxsize=256)
def _together(matching: str, *, is_of_one_type: bool) -> str:
    """The LIMIT within keeps SQLite from dropping its ORDER BY. Names are escaped, as a damaged one may need it.

    Bytes put together are text to SQLite, which does not look at it, until it is told that they are bytes.
    """
    types = "NULL" if is_of_one_type else "json_group_array(type)"
    return f"""
    SELECT count(*), {_list("position")}, {types}, {_list("version")}, {_list("bytes")}, {_list("checksum")},
      CAST(coalesce(group_concat(small, ''), '') AS BLOB)
    FROM (
      SELECT position, type, version, checksum, length(data) AS bytes,
        CASE WHEN length(data) <= {_LARGE} THEN data END AS small
      {matching} ORDER BY position LIMIT ?
    )"""


def _list(column: str) -> str:
    return f"'[' || group_concat({column}) || ']'"
