"""Events as JSON documents: CloudEvents 1.0, structured and in batches, and which of the two known shapes a text has.

Attributes without a CloudEvents name of their own travel as extensions: `eventversion`, `partitionkey` (the key),
`correlationid`, `causationid`, `traceparent`, and of a recorded event `sequence` (its position), `recordedtime`,
`stream`, `streamversion`. Headers are the remaining extensions, `dataschema` among them.
"""

import base64
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from tidings.errors import InvalidEvent
from tidings.events.documents import data_text, encode_json, optional_number, optional_time, parse, parse_object
from tidings.events.envelope import JSON, Event, is_json
from tidings.events.handbook import from_handbook_object

OCTETS: Final = "application/octet-stream"
_TEXTS: Final = {  # CloudEvents' word -> ours
    "id": "id",
    "source": "source",
    "type": "type",
    "subject": "subject",
    "partitionkey": "key",
    "correlationid": "correlation_id",
    "causationid": "causation_id",
    "traceparent": "traceparent",
    "sequence": "position",
    "stream": "stream",
}
_TIMES: Final = {"time": "time", "recordedtime": "recorded_at"}
_NUMBERS: Final = {"eventversion": "version", "streamversion": "stream_version"}
_PAYLOAD: Final = frozenset({"specversion", "datacontenttype", "data", "data_base64"})
_KNOWN: Final = frozenset({*_TEXTS, *_TIMES, *_NUMBERS, *_PAYLOAD})


def to_cloudevent(event: Event) -> bytes:
    """The event as one CloudEvents JSON document (application/cloudevents+json).

    Raises:
        InvalidEvent: its data has no JSON form.
    """
    return encode_json(_to_object(event), event_id=event.id)


def to_cloudevents(events: Iterable[Event]) -> bytes:
    """The events as a batch (application/cloudevents-batch+json), which may be empty.

    Raises:
        InvalidEvent: the data of one has no JSON form.
    """
    return b"[" + b",".join([to_cloudevent(event) for event in events]) + b"]"


def from_cloudevent(data: bytes, *, raw: bool = False) -> Event:
    """The event in one CloudEvents JSON document; with `raw` its JSON data stays msgspec.Raw, digit for digit.

    Raises:
        InvalidEvent: it is no JSON, nested deeper than 100, no CloudEvent 1.0, or has an attribute tidings refuses.
    """
    return _from_object(parse_object(data), data if raw else None)


def from_cloudevents(data: bytes) -> list[Event]:
    """The events of a batch; one invalid element spoils it.

    Raises:
        InvalidEvent: it is no JSON array of CloudEvents.
    """
    documents = parse(data)
    if not isinstance(documents, list):
        raise InvalidEvent("", "a batch is a JSON array of events")
    return [_from_object(document, None) for document in documents]


def read_event(data: bytes, *, source: str = "unknown") -> Event:
    """The event in a JSON document of either shape: `specversion` marks a CloudEvent, `event` the handbook's form.

    `source` is for handbook events that name none.

    Raises:
        InvalidEvent: it is neither, or not sound.
    """
    document = parse_object(data)
    if "specversion" in document:
        return _from_object(document, None)
    if "event" in document:
        return from_handbook_object(document, source=source)
    raise InvalidEvent("", "it has neither 'specversion', as CloudEvents do, nor 'event', as the handbook's form does")


def _to_object(event: Event) -> dict[str, Any]:
    document: dict[str, Any] = {"specversion": "1.0"}
    for words in (_TEXTS, _TIMES, _NUMBERS):
        for theirs, ours in words.items():
            value = getattr(event, ours)
            if value is not None:
                document[theirs] = value
    document |= event.headers
    document["datacontenttype"] = event.content_type
    is_binary = isinstance(event.data, (bytes, bytearray, memoryview))
    document["data_base64" if is_binary else "data"] = event.data
    return document


def _from_object(document: Any, text: bytes | None) -> Event:
    if not isinstance(document, dict):
        raise InvalidEvent("", "a CloudEvent is a JSON object")
    present = {name: value for name, value in document.items() if value is not None}
    if present.get("specversion") != "1.0":
        raise InvalidEvent("specversion", "only CloudEvents '1.0' is understood", event_id=_id_of(present))
    attributes: dict[str, Any] = {ours: present[theirs] for theirs, ours in _TEXTS.items() if theirs in present}
    attributes |= {ours: optional_time(present, theirs) for theirs, ours in _TIMES.items()}
    attributes |= {ours: optional_number(present, theirs) for theirs, ours in _NUMBERS.items() if theirs in present}
    attributes["headers"] = {name: value for name, value in present.items() if name not in _KNOWN}
    content_type, attributes["data"] = _payload(document, text)
    for name in ("id", "source", "type"):
        if name not in attributes:
            raise InvalidEvent(name, "it is missing", event_id=_id_of(present))
    return Event(content_type=content_type, **attributes).checked()


def _payload(document: Mapping[str, Any], text: bytes | None) -> tuple[str, Any]:
    content_type = document.get("datacontenttype")
    if content_type is not None and not isinstance(content_type, str):
        raise InvalidEvent("datacontenttype", "expected text", event_id=_id_of(document))
    if document.get("data_base64") is not None:
        return _binary_payload(document, content_type or OCTETS, raw=text is not None)
    content_type = content_type or JSON
    data = document.get("data")
    if is_json(content_type):
        return content_type, data if text is None or data is None else data_text(text)
    if data is not None and not isinstance(data, str):
        raise InvalidEvent("data", f"{content_type} data has to be text or data_base64", event_id=_id_of(document))
    return content_type, data


def _binary_payload(document: Mapping[str, Any], content_type: str, *, raw: bool) -> tuple[str, Any]:
    if "data" in document:
        raise InvalidEvent("data_base64", "data and data_base64 exclude each other", event_id=_id_of(document))
    try:
        data = base64.b64decode(document["data_base64"], validate=True)
    except (TypeError, ValueError) as error:
        raise InvalidEvent("data_base64", "it is not base64", event_id=_id_of(document)) from error
    if not is_json(content_type):
        return content_type, data
    value = parse(data)
    return content_type, msgspec.Raw(data) if raw else value


def _id_of(document: Mapping[str, Any]) -> str | None:
    found = document.get("id")
    return found if isinstance(found, str) else None
