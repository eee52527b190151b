"""How an event is written down: `Draft` on its way in, `Record` on its way out.

Columns are for finding; the *envelope* is what is believed. The data and the envelope each carry a CRC-32, checked when
they are used: the data whenever it is read, the envelope when the whole event is restored.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zlib import crc32

import msgspec

from tidings.errors import InvalidEvent, LogDamaged
from tidings.events import Event
from tidings.events.envelope import JSON as _JSON
from tidings.events.envelope import is_json

SLOTS = 256
DATA_CRC = 0xFFFFFFFF
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Draft(msgspec.Struct, gc=False):
    """One event as the log is about to write it."""

    id: str
    source: str
    type: str
    version: int
    slot: int
    key: str | None
    public: bool
    envelope: bytes
    data: bytes
    checksum: int


class Adopted(msgspec.Struct, gc=False):
    """One event that another log had recorded, with its place in a stream."""

    draft: Draft
    stream: str | None
    version: int  # in the stream; 0 without one


class Record(msgspec.Struct, gc=False):
    """One event as the log holds it, raw. Lean reads leave out what stands after `checksum`."""

    order: int
    type: str
    version: int
    data: bytes
    checksum: int
    slot: int = -1
    recorded_at: int = 0  # microseconds since 1970, the log's own time, never falling
    stream: str | None = None
    stream_version: int | None = None
    envelope: bytes | None = None


class Envelope(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    """What an event carries beside type, version and data; a JSON array, so that a person can read it in the table."""

    id: str
    source: str
    key: str | None = None
    time: datetime | None = None
    subject: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    content_type: str = _JSON
    headers: dict[str, str | int | bool] = {}


_encode = msgspec.json.encode
_decode_envelope = msgspec.json.Decoder(Envelope).decode


def slot_of(delivery_key: str) -> int:
    """The slot, 0 to 255, of a delivery key: the same in every process and on every backend."""
    return crc32(delivery_key.encode()) & (SLOTS - 1)


def draft(event: Event, *, public: bool, stream: str | None = None) -> Draft:
    """Write `event` down.

    Raises:
        InvalidEvent: its data cannot be written as its content type says.
    """
    data = _data_of(event)
    key = event.key
    envelope = _encode(
        Envelope(
            event.id,
            event.source,
            key,
            event.time,
            event.subject,
            event.correlation_id,
            event.causation_id,
            event.traceparent,
            event.content_type,
            event.headers,
        )
    )
    slot = crc32((key or stream or event.id).encode()) & (SLOTS - 1)
    checksum = crc32(data) | _envelope_crc(event.type, event.version, envelope) << 32
    return Draft(event.id, event.source, event.type, event.version, slot, key, public, envelope, data, checksum)


def bare_draft(
    id: str, source: str, type: str, version: int, key: str | None, time: datetime | None, data: bytes
) -> Draft:
    """Write down, for this log alone, an event with JSON data of which no more is said than this."""
    envelope = _encode((id, source, key, time))  # what an `Envelope` leaves out at its end is at its default
    slot = crc32((key or id).encode()) & (SLOTS - 1)
    checksum = crc32(data) | _envelope_crc(type, version, envelope) << 32
    return Draft(id, source, type, version, slot, key, False, envelope, data, checksum)


def size_of(drafts: Sequence[Draft]) -> int:
    """How many bytes their data and envelopes have."""
    return sum([len(draft.data) + len(draft.envelope) for draft in drafts])


def written(events: Iterable[Event | Draft], *, public: bool) -> list[Draft]:
    """Write down those that are not.

    Raises:
        InvalidEvent: the data of one cannot be written as its content type says.
    """
    return [each if isinstance(each, Draft) else draft(each, public=public) for each in events]


def adopted(event: Event, *, public: bool) -> Adopted:
    """Write down an event that another log had recorded.

    Raises:
        InvalidEvent: it names a stream without a version; or see `draft`.
    """
    if event.stream is not None and not event.stream_version:
        raise InvalidEvent("stream_version", f"it is of the stream {event.stream!r}: say which", event_id=event.id)
    version = event.stream_version or 0 if event.stream is not None else 0
    return Adopted(draft(event, public=public, stream=event.stream), event.stream, version)


def restore(record: Record, position: str, data: Any = msgspec.UNSET) -> Event:
    """The event `record` holds; its data stays raw JSON (`msgspec.Raw`) or bytes unless `data` is given.

    Raises:
        LogDamaged: the envelope is not what was written.
    """
    envelope = envelope_of(record, position)
    if data is msgspec.UNSET:
        data = msgspec.Raw(record.data) if _is_json(envelope.content_type) else record.data
    return Event(
        id=envelope.id,
        source=envelope.source,
        type=record.type,
        version=record.version,
        data=data,
        subject=envelope.subject,
        time=envelope.time,
        key=envelope.key,
        correlation_id=envelope.correlation_id,
        causation_id=envelope.causation_id,
        traceparent=envelope.traceparent,
        headers=envelope.headers,
        content_type=envelope.content_type,
        position=position or None,
        recorded_at=from_microseconds(record.recorded_at) if record.recorded_at else None,
        stream=record.stream,
        stream_version=record.stream_version,
    )


def drafted(draft: Draft) -> Event:
    """The event that was written down, with raw data."""
    record = Record(0, draft.type, draft.version, draft.data, draft.checksum, draft.slot, envelope=draft.envelope)
    return restore(record, "")


def envelope_of(record: Record, position: str) -> Envelope:
    """The envelope of a whole (not lean) record.

    Raises:
        LogDamaged: it is not what was written.
    """
    raw = record.envelope or b""
    if record.checksum >> 32 != _envelope_crc(record.type, record.version, raw):
        raise LogDamaged("the envelope's checksum does not fit", [position])
    return _decode_envelope(raw)


def mentions(ids: Sequence[str]) -> list[bytes]:
    """What stands in the envelope of each event that speaks of one of these ids."""
    return [_encode(each) for each in ids]


def delivery_key(record: Record, position: str) -> str | None:
    """The key whose order matters to this record: `key`, else its stream; None when it asks for no order."""
    return envelope_of(record, position).key or record.stream


def damaged(records: Iterable[Record]) -> list[Record]:
    """Those whose data is not what was written."""
    return [record for record in records if crc32(record.data) != record.checksum & DATA_CRC]


def to_microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970 UTC."""
    span = moment - _EPOCH
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


def from_microseconds(microseconds: int) -> datetime:
    """The moment `microseconds` after 1970 UTC."""
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(microsecond=microseconds % 1_000_000)


def _data_of(event: Event) -> bytes:
    data = event.data
    if type(data) is msgspec.Raw:
        return bytes(data)
    if not _is_json(event.content_type):
        if isinstance(data, str):
            return data.encode()
        if isinstance(data, bytes | bytearray | memoryview):
            return bytes(data)
        raise InvalidEvent("data", f"{event.content_type} needs bytes or text", event_id=event.id)
    try:
        return _encode(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidEvent("data", f"it cannot be written as JSON ({error})", event_id=event.id) from error


def _envelope_crc(type: str, version: int, envelope: bytes) -> int:
    return crc32(envelope, _type_crc(type, version)) & 0x7FFFFFFF  # 63 bits in all: SQLite's integers are signed


@lru_cache(maxsize=4096)
def _type_crc(type: str, version: int) -> int:
    return crc32(f"{type} {version}".encode())


def _is_json(content_type: str) -> bool:
    return content_type == _JSON or is_json(content_type)
