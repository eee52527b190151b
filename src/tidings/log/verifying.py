"""What is wrong with a log, found by reading all of it: the words, and the checks of single records."""

from collections.abc import Iterator
from typing import Final
from zlib import crc32

import msgspec

from tidings.errors import LogDamaged
from tidings.log.position import Position
from tidings.log.record import DATA_CRC, Record, envelope_of, slot_of

RESTORE: Final = (
    "stop what writes to it, keep the file, open a backup as the log, and import there what came after it:"
    " 'tidings export --after --skip-damaged' on this one, then 'tidings import'"
)
DECIDE: Final = "nobody can handle it any more: 'tidings dead drop' lets it go"
MOVE: Final = "'tidings replay' moves the group to a place the log has"


class Flaw(msgspec.Struct, frozen=True):
    """One thing that is wrong, what to do about it, and the event it is about, if it is about one."""

    what: str
    cure: str
    position: Position | None = None


class Examined(msgspec.Struct):
    """How far an examination is, in events, and what this part of it has found."""

    events: int
    of: int
    flaws: list[Flaw]


class Columns(msgspec.Struct):
    """What stands beside a record, to find it by."""

    id: str
    source: str
    key: str | None


def wrong_with(record: Record, columns: Columns, position: Position, earliest: int) -> Iterator[Flaw]:
    """What is wrong with one record; `earliest` is when the one before it was recorded."""
    if crc32(record.data) != record.checksum & DATA_CRC:
        yield Flaw("its data is not what was written", RESTORE, position)
    if record.recorded_at < earliest:
        yield Flaw("it was recorded before the event in front of it", RESTORE, position)
    try:
        envelope = envelope_of(record, position)
    except (LogDamaged, ValueError):
        yield Flaw("its envelope is not what was written", RESTORE, position)
        return
    if (envelope.id, envelope.source, envelope.key) != (columns.id, columns.source, columns.key):
        yield Flaw("it is found by another id, source or key than its envelope says", RESTORE, position)
    if record.slot != slot_of(envelope.key or record.stream or envelope.id):
        yield Flaw("it lies in another slot than its key", RESTORE, position)


def broken_stream(stream: str, first: int, last: int, count: int, known: int | None) -> Flaw | None:
    """A stream with a hole, or whose newest version is not the one that is known."""
    if last - first + 1 != count:
        return Flaw(f"stream {stream!r} has {count} events from version {first} to {last}", RESTORE)
    if known != last:
        return Flaw(f"stream {stream!r} ends at version {last}, and is known to be at {known}", RESTORE)
    return None
