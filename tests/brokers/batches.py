"""Batches of records as they lie on a Kafka's disk, for tests without a server."""

import struct
from collections.abc import Sequence
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder  # type: ignore[import-untyped]
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder  # type: ignore[import-untyped]
from aiokafka.record.util import calc_crc32c  # type: ignore[import-untyped]

Headers = Sequence[tuple[str, bytes | None]]
_PRODUCED = 1_700_000_000_000  # milliseconds
_A: Headers = [("a", b"1")]
_ATTRIBUTES = 21  # where they stand in a batch, behind the checksum of themselves and all that follows
_GZIP = 1


def batch(
    first: int,
    count: int,
    *,
    value: bytes | None = b"x",
    key: bytes | None = None,
    headers: Headers = _A,
    producer: int = -1,
    lies: bool = False,
) -> bytes:
    """So many records, the first at this offset; of a transaction if it has a producer; it `lies` that it is packed."""
    builder: Any = DefaultRecordBatchBuilder(2, 0, producer >= 0, producer, 0, 0, 1 << 24)
    for number in range(count):
        builder.append(number, _PRODUCED, key, value, list(headers))
    built = bytearray(builder.build())
    if lies:
        built[_ATTRIBUTES + 1] |= _GZIP
        built[_ATTRIBUTES - 4 : _ATTRIBUTES] = struct.pack(">I", calc_crc32c(bytes(built[_ATTRIBUTES:])))
    return struct.pack(">q", first) + bytes(built[8:])


def old_message(offset: int) -> bytes:
    """As Kafka wrote them before it had headers."""
    builder: Any = LegacyRecordBatchBuilder(1, 0, 1 << 20)
    builder.append(offset, _PRODUCED, None, b"x")
    return bytes(builder.build())
