"""CloudEvents in the headers of a message ("binary mode"): the attributes beside the data, which travels as it is.

Each carrier's binding has a prefix of its own, and the same words behind it: `ce_type` on Kafka, `ce-type` on NATS,
`cloudEvents:type` on AMQP, `type` on MQTT. Values are text, as all of these bindings have a text form for every type;
headers that are numbers or booleans are named in `headertypes`, so that they arrive as what they were.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from tidings.errors import InvalidEvent
from tidings.events import Event
from tidings.events.envelope import JSON, is_json

CONTENT_TYPE: Final = "content-type"
TYPES: Final = "headertypes"
_TEXTS: Final = (
    ("id", "id"),
    ("source", "source"),
    ("type", "type"),
    ("subject", "subject"),
    ("partitionkey", "key"),
    ("correlationid", "correlation_id"),
    ("causationid", "causation_id"),
    ("traceparent", "traceparent"),
)
ENOUGH: Final = 255  # characters that every attribute may have


class Binding:
    """The attributes of events as the headers of one carrier's messages, and back."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._names = {ours: prefix + theirs for theirs, ours in _TEXTS}
        self._specversion = prefix + "specversion"
        self._version = prefix + "eventversion"
        self._time = prefix + "time"
        self.attributes = {prefix + theirs: ours for theirs, ours in _TEXTS}
        self.attributes |= {self._version: "version", self._time: "time", self._specversion: "specversion"}
        self._moment: tuple[datetime | None, str] = None, ""  # the last one written
        self._texts = [(ours, prefix + theirs) for theirs, ours in _TEXTS[3:]]

    def headers(self, event: Event) -> dict[str, str]:
        """What stands beside the event's data; its content type is not among it, as carriers have a place for that."""
        names = self._names
        headers = {
            self._specversion: "1.0",
            names["id"]: event.id,
            names["source"]: event.source,
            names["type"]: event.type,
        }
        if event.version != 1:
            headers[self._version] = str(event.version)
        if event.time is not None:
            headers[self._time] = self._written(event.time)
        for ours, name in self._texts:
            value = getattr(event, ours)
            if value is not None:
                headers[name] = value
        if event.headers:
            headers |= self._extensions(event.headers)
        return headers

    def _written(self, moment: datetime) -> str:
        """The time as text; events made in one millisecond share the object, and so this too."""
        known, text = self._moment
        if known is not moment:
            text = moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
            self._moment = moment, text
        return text

    def is_event(self, headers: Iterable[str]) -> bool:
        """Do these headers speak of a CloudEvent?"""
        return self._specversion in headers

    def event(self, headers: Iterable[tuple[str, str]], data: bytes, content_type: str | None = None) -> Event:
        """The event of a message; its JSON data stays raw.

        Raises:
            InvalidEvent: it is no CloudEvent 1.0, or has an attribute that tidings refuses.
        """
        fields = self.attributes
        attributes: dict[str, Any] = {}
        others: dict[str, str] = {}
        for name, value in headers:
            field = fields.get(name)
            if field is not None:
                attributes[field] = value
            elif name.startswith(self.prefix):
                others[name[len(self.prefix) :]] = value
        if attributes.pop("specversion", None) != "1.0":
            raise InvalidEvent("specversion", "only CloudEvents '1.0' is understood", event_id=attributes.get("id"))
        return _event(attributes, others, data, content_type or others.pop("datacontenttype", None) or JSON)

    def _extensions(self, headers: dict[str, str | int | bool]) -> dict[str, str]:
        said = {self.prefix + name: _text(value) for name, value in headers.items()}
        kinds = [f"{name}={type(value).__name__}" for name, value in headers.items() if not isinstance(value, str)]
        if kinds:
            said[self.prefix + TYPES] = ",".join(kinds)
        return said


def payload(event: Event) -> bytes:
    """The event's data as bytes.

    Raises:
        InvalidEvent: it cannot be written as its content type says.
    """
    data = event.data
    if type(data) is msgspec.Raw:
        return bytes(data)
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    if isinstance(data, str) and not is_json(event.content_type):
        return data.encode()
    try:
        return msgspec.json.encode(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidEvent("data", f"it cannot be written as JSON ({error})", event_id=event.id) from error


def _event(attributes: dict[str, Any], others: dict[str, str], data: bytes, content_type: str) -> Event:
    texts = "".join(attributes.values())  # looked at in one piece: this is the path that every event takes
    is_plain = len(texts) <= ENOUGH and texts.isascii() and texts.isprintable() and all(attributes.values())
    for name in ("id", "source", "type"):
        if name not in attributes:
            raise InvalidEvent(name, "it is missing", event_id=attributes.get("id"))
    version, time = attributes.get("version"), attributes.get("time")
    try:
        if version is not None:
            attributes["version"] = int(version)
        if time is not None:
            attributes["time"] = moment = datetime.fromisoformat(time)
            is_plain = is_plain and moment.tzinfo is not None
    except ValueError as error:
        raise InvalidEvent("", f"its version or time cannot be read: {error}", event_id=attributes["id"]) from error
    source, type = attributes["source"], attributes["type"]
    if others:
        attributes["headers"] = _headers(others)
    if content_type != JSON:
        attributes["content_type"] = content_type
    json = content_type == JSON or is_json(content_type)
    event = Event(data=msgspec.Raw(data or b"null") if json else data, **attributes)
    is_plain = is_plain and not others and event.traceparent is None
    return event if is_plain and _is_sound(source, type, content_type, version) else event.checked()


@lru_cache(maxsize=4096)
def _is_sound(source: str, type: str, content_type: str, version: str | None) -> bool:
    """Are these fine as they are, whatever else the event says? Few of them come again and again."""
    event = Event(id="1", source=source, type=type, content_type=content_type, version=int(version or 1))
    try:
        return event.checked() == event
    except InvalidEvent:
        return False


def _headers(others: dict[str, str]) -> dict[str, str | int | bool]:
    kinds = dict(each.split("=", 1) for each in others.pop(TYPES, "").split(",") if "=" in each)
    return {name: _typed(value, kinds.get(name)) for name, value in others.items()}


def _typed(value: str, kind: str | None) -> str | int | bool:
    if kind == "bool" and value in ("true", "false"):
        return value == "true"
    if kind == "int" and value.lstrip("-").isdecimal() and len(value) <= 11:
        return int(value)
    return value


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
