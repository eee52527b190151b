"""Events out of a log and into another, as lines of JSON: a CloudEvent each, read and written a batch at a time.

What an event is goes along: ids, names, data digit for digit, key, causes, headers, its stream and version, and whether
it is public. Where it stood (position, time of recording) is the log's own, and is new in another log.
"""

import os
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import BinaryIO

import msgspec

from tidings.errors import ConfigurationError, InvalidEvent, LogDamaged, VersionConflict
from tidings.events import Event, PatternSet, from_cloudevent, to_cloudevent
from tidings.events.documents import check_depth
from tidings.log.interface import Log
from tidings.log.position import START, Position
from tidings.log.record import Record, restore
from tidings.log.slices import Where

PUBLIC = "tidingspublic"  # the extension that says whether outbound relays it, where that does not go without saying
_EVENTS = 1000  # a batch
_BYTES = 4 << 20  # a batch of large events is a shorter one
_raw_decoder = msgspec.json.Decoder(msgspec.Raw)
_CHUNK = 1 << 16  # bytes read at a time when looking back
_LONGEST = 64 << 20  # bytes of one line: who writes longer ones has forgotten a line's end


class Exported(msgspec.Struct):
    """Some lines, how many events they are, how far in the log that is, and what was left out because it is damaged."""

    lines: bytes
    events: int
    upto: Position
    damaged: tuple[Position, ...] = ()


class Wrong(msgspec.Struct, frozen=True):
    """A line that was not imported: its number, counted from 1, and why."""

    line: int
    reason: str


class Imported(msgspec.Struct):
    """What became of some lines: how many are read, how many events of them are new, and which are wrong."""

    lines: int
    new: int
    wrong: list[Wrong]


async def exported(
    log: Log,
    patterns: Sequence[str] = ("**",),
    *,
    after: Position = START,
    upto: Position | None = None,
    skip_damaged: bool = False,
) -> AsyncIterator[Exported]:
    """The events past `after` up to `upto` (None: the head as it is now) that fit a pattern, in the log's order.

    Raises:
        LogTruncated: a position is not in this log.
        LogDamaged: a record is not what was written; what came before it has been handed out. With `skip_damaged` it is
            left out instead, and told.
    """
    hears, after = PatternSet(patterns), await _today(log, after)
    end = await log.head() if upto is None else await _today(log, upto)
    size = _EVENTS
    while after < end:
        try:
            part = await _part(log, hears, after, end, size)
        except LogDamaged as error:
            if size > 1:
                size = 1  # up to the damaged one, and from there on again in batches
                continue
            if not skip_damaged or not error.positions:
                raise
            part, size = Exported(b"", 0, error.positions[0], error.positions[:1]), _EVENTS
        if part.upto > end:
            return
        after = part.upto
        yield part


async def imported(log: Log, lines: Iterable[bytes], *, done: int = 0) -> AsyncIterator[Imported]:
    """Record what the lines say, those events that are not recorded yet: to go on after a failure, begin again.

    A wrong line is reported and the others go on; `done` lines came before these. Blank lines are none.

    Raises:
        DiskFull, LogLocked, LogReadOnly: this batch was not recorded, those before it were.
    """
    for first, batch in _batches(lines, done + 1):
        parsed: list[tuple[int, Event, bool]] = []
        wrong: list[Wrong] = []
        for number, line in enumerate(batch, start=first):
            if not line.strip():
                continue
            try:
                parsed.append((number, *_read(line)))
            except InvalidEvent as error:
                wrong.append(Wrong(number, str(error)))
        new = await _adopt(log, parsed, wrong)
        yield Imported(len(batch), new, sorted(wrong, key=lambda one: one.line))


def last_position(line: bytes) -> Position:
    """The position that an exported line says, for going on behind it.

    Raises:
        ConfigurationError: it says none.
    """
    try:
        position = from_cloudevent(line, raw=True).position
    except InvalidEvent:
        position = None
    if position is None:
        raise ConfigurationError("the file's last line is no event that was exported: export it anew to another file")
    return position


def whole_lines(file: BinaryIO) -> tuple[int, bytes]:
    """Where the last whole line of an export ends, and that line; what was cut short after it does not count."""
    end = _behind_line(file, file.seek(0, os.SEEK_END))
    start = _behind_line(file, end - 1) if end else 0
    file.seek(start)
    return end, file.read(end - start)


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """The lines of an import; of one that is too long to be an event no more than that is read."""
    while line := file.readline(_LONGEST + 1):
        rest = line
        while len(rest) > _LONGEST and not rest.endswith(b"\n"):
            rest = file.readline(_LONGEST + 1)
        yield line


async def _part(log: Log, hears: PatternSet, after: Position, end: Position, size: int) -> Exported:
    """One look past `after`, as lines."""
    found = await log.scan(after, Where(), size)
    public = await _public(log, after, found.upto, size)
    wanted = [one for one in found.records if found.position(one) <= end and hears.matches(one.type)]
    lines = [_line(record, found.position(record), is_public=record.order in public) for record in wanted]
    return Exported(b"".join(lines), len(lines), min(found.upto, end))


async def _adopt(log: Log, parsed: Sequence[tuple[int, Event, bool]], wrong: list[Wrong]) -> int:
    """Record them together; when one is refused, one by one, to tell which."""
    try:
        return await log.adopt([event for _, event, _ in parsed], [public for _, _, public in parsed])
    except (VersionConflict, InvalidEvent):
        new = 0
    for number, event, public in parsed:
        try:
            new += await log.adopt([event], [public])
        except (VersionConflict, InvalidEvent) as error:
            wrong.append(Wrong(number, str(error)))
    return new


async def _public(log: Log, after: Position, upto: Position, size: int) -> set[int]:
    """The orders of public events between two positions: a record does not say it, as only outbound asks."""
    orders: set[int] = set()
    while after < upto:
        try:
            found = await log.scan(after, Where(public=True, lean=True), size)
        except LogDamaged as error:
            if size > 1 or not error.positions or error.positions[0] <= upto:
                raise
            break  # the next public event is damaged, and none of these
        orders.update(record.order for record in found.records)
        after = found.upto
    return orders


async def _today(log: Log, position: Position) -> Position:
    """A position as the log's present life says it, so that it can be compared."""
    return (await log.survey(position, 1)).after


def _line(record: Record, position: Position, *, is_public: bool) -> bytes:
    event = restore(record, position)
    if is_public is not (event.stream is None):  # public is what has no stream, unless it is said otherwise
        event = msgspec.structs.replace(event, headers=event.headers | {PUBLIC: is_public})
    if isinstance(event.data, msgspec.Raw) and not _fits_a_line(record.data):
        event = msgspec.structs.replace(event, data=record.data)  # as bytes it is written in base64
    return to_cloudevent(event) + b"\n"


def _fits_a_line(data: bytes) -> bool:
    """Can this JSON stand in a line as it is, byte for byte?"""
    try:
        check_depth(data)
        _raw_decoder.decode(data)
    except (ValueError, RecursionError):  # nobody could read it, and it would spoil the line around it
        return False
    return b"\n" not in data and b"\r" not in data


def _read(line: bytes) -> tuple[Event, bool]:
    if len(line) > _LONGEST:
        raise InvalidEvent("", f"the line is longer than {_LONGEST >> 20} MiB")
    event = from_cloudevent(line, raw=True)
    headers = dict(event.headers)
    public = headers.pop(PUBLIC, event.stream is None) is True
    return msgspec.structs.replace(event, headers=headers), public


def _batches(lines: Iterable[bytes], first: int) -> Iterator[tuple[int, list[bytes]]]:
    """Lists of lines, none too large to be held, with the number of each list's first."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if len(batch) == _EVENTS or size >= _BYTES:
            yield first, batch
            first, batch, size = first + len(batch), [], 0
    if batch:
        yield first, batch


def _behind_line(file: BinaryIO, end: int) -> int:
    """The place behind the last line's end before `end`."""
    while end > 0:
        start = max(end - _CHUNK, 0)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
