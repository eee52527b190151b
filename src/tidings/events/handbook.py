"""The handbook's plain JSON form: `event`, `version`, `timestamp`, `eventId`, `traceId`, `source` and `data`.

What may be missing there and is filled in: `source` by the reader's parameter, and `eventId` by an id derived from the
whole document and source, so that a redelivery has the same id and is recognised. `traceId` is the correlation id.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tidings.errors import InvalidEvent
from tidings.events.documents import encode_json, optional_number, optional_time, parse_object
from tidings.events.envelope import Event
from tidings.events.identity import derived_id

_MEMBERS: Final = frozenset({"event", "version", "timestamp", "eventId", "traceId", "source", "data"})


def from_handbook(data: bytes, *, source: str = "unknown") -> Event:
    """The event in one document of this form; `source` counts when the document names none.

    Raises:
        InvalidEvent: it is no JSON object, has no `event`, a member of the wrong kind, or one this form does not know.
    """
    return from_handbook_object(parse_object(data), source=source)


def from_handbook_object(document: Mapping[str, Any], *, source: str) -> Event:
    """As `from_handbook`, for a document that is parsed already."""
    unknown = document.keys() - _MEMBERS
    if unknown:
        raise InvalidEvent(sorted(unknown)[0], "the handbook's form has no such member; put it into data")
    if document.get("event") is None:
        raise InvalidEvent("event", "it is missing")
    present = {name: value for name, value in document.items() if value is not None}
    attributes = {
        "id": present["eventId"] if "eventId" in present else _derived_id(document, source),
        "source": present.get("source", source),
        "type": present["event"],
        "time": optional_time(present, "timestamp"),
        "correlation_id": present.get("traceId"),
        "data": document.get("data"),
    }
    if "version" in present:
        attributes["version"] = optional_number(present, "version")
    return Event(**attributes).checked()


def to_handbook(event: Event) -> bytes:
    """The event in this form, which has no room for its key, subject, headers and place in the log.

    Raises:
        InvalidEvent: its data has no JSON form, or is bytes.
    """
    if isinstance(event.data, (bytes, bytearray, memoryview)):
        raise InvalidEvent("data", "the handbook's form holds JSON data only", event_id=event.id)
    document = {
        "event": event.type,
        "version": event.version,
        "eventId": event.id,
        "traceId": event.correlation_id,
        "timestamp": event.time,
        "source": event.source,
        "data": event.data,
    }
    return encode_json({name: value for name, value in document.items() if value is not None}, event_id=event.id)


def _derived_id(document: Mapping[str, Any], source: str) -> str:
    canonical = msgspec.json.encode(document, order="sorted").decode()
    return derived_id("handbook", source, canonical)
