"""Columns of values as Postgres' own binary arrays, so that a statement takes any number of rows.

psycopg writes lists as text, a value at a time; this is several times as fast, which a group commit feels.
"""

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, TypeVar

from tidings.log.postgres.driver import psycopg

_HEAD = Struct("!iiIii").pack  # dimensions, has nulls, type of the elements, how many, the first one's index
_LENGTH = Struct("!i").pack
_BIG = Struct("!iq").pack
_NULL = b"\xff\xff\xff\xff"
_TEXT, _BYTES, _BIGINT, _BOOL = 25, 17, 20, 16
Value = TypeVar("Value")
_TRUE, _FALSE = _LENGTH(1) + b"\x01", _LENGTH(1) + b"\x00"


class Column:
    """A finished array."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class Texts(Column):
    """`text[]`."""


class Bytes(Column):
    """`bytea[]`."""


class Numbers(Column):
    """`bigint[]`."""


class Flags(Column):
    """`boolean[]`."""


_ARRAYS = {Texts: 1009, Bytes: 1001, Numbers: 1016, Flags: 1000}


def texts(values: Sequence[str | None]) -> Texts:
    """Strings, or NULL."""
    return Texts(_array(_TEXT, values, lambda each: [_NULL if v is None else _sized(v.encode()) for v in each]))


def chunks(values: Sequence[bytes]) -> Bytes:
    """Bytes."""
    return Bytes(_array(_BYTES, values, lambda each: [_LENGTH(len(value)) + value for value in each]))


def numbers(values: Sequence[int | None]) -> Numbers:
    """Integers, or NULL."""
    return Numbers(_array(_BIGINT, values, lambda each: [_NULL if v is None else _BIG(8, v) for v in each]))


def flags(values: Sequence[bool]) -> Flags:
    """Booleans."""
    return Flags(_array(_BOOL, values, lambda each: [_TRUE if value else _FALSE for value in each]))


def register(connection: "psycopg.Connection[Any] | psycopg.AsyncConnection[Any]") -> None:
    """Have a connection pass columns on as they are."""
    for kind, oid in _ARRAYS.items():
        connection.adapters.register_dumper(kind, _dumper(oid))


def _dumper(oid: int) -> type:
    made = _DUMPERS.get(oid)
    if made is None:
        made = _DUMPERS[oid] = type("ColumnDumper", (_Dumper,), {"oid": oid})
    return made


class _Dumper(psycopg.adapt.Dumper):
    format = psycopg.pq.Format.BINARY

    def dump(self, obj: Column) -> bytes:
        return obj.data


_DUMPERS: dict[int, type] = {}


def _sized(value: bytes) -> bytes:
    return _LENGTH(len(value)) + value


def _array(oid: int, values: Sequence[Value], items: Callable[[Sequence[Value]], list[bytes]]) -> bytes:
    """Half of an append's columns have one value throughout, such as the source; it is written once."""
    count = len(values)
    if not count:
        return Struct("!iiI").pack(0, 0, oid)
    is_uniform = values.count(values[0]) == count
    content = items(values[:1])[0] * count if is_uniform else b"".join(items(values))
    return _HEAD(1, 1, oid, count, 1) + content
