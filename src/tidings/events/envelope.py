"""The envelope: what every event carries, whoever made it and whatever it says."""

import re
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import msgspec

from tidings.errors import InvalidEvent, InvalidName
from tidings.events.identity import new_id
from tidings.events.names import check_name, split_version

JSON: Final = "application/json"
MAX_HEADERS: Final = 64
MAX_HEADER_LENGTH: Final = 4096
LENGTH_LIMITS: Final = {
    "id": 255,
    "source": 1024,
    "type": 255,
    "subject": 1024,
    "key": 255,
    "correlation_id": 255,
    "causation_id": 255,
    "stream": 255,
    "position": 255,
    "content_type": 255,
}
_REQUIRED: Final = frozenset({"id", "source", "type", "content_type"})
# What the envelope itself is called on the wire, in CloudEvents words; a header may not pose as one of them.
RESERVED_HEADERS: Final = frozenset(
    "id source specversion type datacontenttype subject time data eventversion partitionkey correlationid causationid"
    " traceparent sequence recordedtime stream streamversion headertypes".split()
)
_HEADER_NAME = re.compile(r"[a-z0-9]{1,64}")
# CloudEvents' String: no control characters, no halves of surrogate pairs, no noncharacters.
_PLANE_ENDS = "".join(chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF))
_FORBIDDEN = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_PLANE_ENDS}]")
_URI_REFERENCE = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+ *(?:;.*)?")
_JSON_TYPE = re.compile(r"[^/]+/(?:[^/;]+\+)?json", re.IGNORECASE)
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.{0,400})?")

_raw_decoder = msgspec.json.Decoder(msgspec.Raw)  # looks at the syntax and builds nothing


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something that happened: a CloudEvent 1.0, and where it is recorded once it is.

    Making one checks nothing, because the hot path makes many from what was checked before. What comes from outside,
    or from a user's hand, goes through `checked()`.

    One that a handler returns is recorded under an id that derives from what the handler was given, whatever id it was
    made with: a handler that is run again publishes the same events, and not others. An id of your own is kept by
    `await app.publish(event)`, in a handler too; it is then not part of the handler's commit.
    """

    id: str = msgspec.field(default_factory=new_id)  # with `source`, what makes two events the same event
    source: str  # who says so: a URI reference, usually the application's name
    type: str  # "order:created", without a version
    version: int = 1  # of the type's contract
    data: Any = None  # JSON values; or msgspec.Raw: JSON text passed through; or bytes with another content_type
    subject: str | None = None
    time: datetime | None = None  # the producer's word for when it happened
    key: str | None = None  # events of one key stay in order
    correlation_id: str | None = None  # shared by all that one cause set going
    causation_id: str | None = None  # the id of the event that this one answers
    traceparent: str | None = None  # W3C trace context
    headers: dict[str, str | int | bool] = {}
    content_type: str = JSON
    position: str | None = None  # from here on: known once recorded
    recorded_at: datetime | None = None
    stream: str | None = None
    stream_version: int | None = None

    @property
    def delivery_key(self) -> str:
        """What is handled in order: the key, else the stream, else the event's own id, which asks for no order."""
        return self.key or self.stream or self.id

    def checked(self) -> "Event":
        """This event, when it is sound; `order:created.v2` becomes `order:created`, version 2.

        A malformed traceparent is left out instead of refused, as W3C Trace Context demands, and a tracestate without
        a traceparent with it.

        Raises:
            InvalidEvent: an attribute is empty, of the wrong type, too long, or has characters no CloudEvent may have.
        """
        _check_texts(self)
        _check_numbers(self)
        _check_times(self)
        _check_headers(self)
        _check_data(self)
        return _with_sound_trace(_with_plain_type(self))


def is_json(content_type: str) -> bool:
    """Does this media type hold JSON? Parameters such as a charset do not matter."""
    return _JSON_TYPE.fullmatch(content_type.partition(";")[0].strip()) is not None


def is_traceparent(text: object) -> bool:
    """Is this a W3C traceparent that may be continued?"""
    found = _TRACEPARENT.fullmatch(text) if isinstance(text, str) else None
    if found is None or not found[0].isprintable():
        return False
    return found[1] != "00" or found[2] is None


def _check_texts(event: Event) -> None:
    for name, limit in LENGTH_LIMITS.items():
        value = getattr(event, name)
        if value is None and name not in _REQUIRED:
            continue
        if type(value) is str and 0 < len(value) <= limit and value.isascii() and value.isprintable():
            continue  # nearly always; below is what remains to be said about the others
        if not isinstance(value, str):
            _refuse(event, name, f"expected text, got {type(value).__name__}")
        if not value:
            _refuse(event, name, "it is empty")
        if len(value) > limit:
            _refuse(event, name, f"it has {len(value)} characters, {limit} are allowed")
        if not _is_plain(value):
            _refuse(event, name, "it has a control character, a lone surrogate or a noncharacter")
    if _URI_REFERENCE.fullmatch(event.source) is None:
        _refuse(event, "source", "it is not a URI reference; percent-encode spaces and everything outside ASCII")
    if _MEDIA_TYPE.fullmatch(event.content_type) is None:
        _refuse(event, "content_type", "it is not a media type such as application/json")


def _check_numbers(event: Event) -> None:
    for name, least in (("version", 1), ("stream_version", 0)):
        value = getattr(event, name)
        if value is None and name == "stream_version":
            continue
        if type(value) is not int or not least <= value <= 0x7FFF_FFFF:
            _refuse(event, name, f"expected a whole number from {least} to {0x7FFF_FFFF}")


def _check_times(event: Event) -> None:
    for name in ("time", "recorded_at"):
        value = getattr(event, name)
        if value is None:
            continue
        if not isinstance(value, datetime) or value.utcoffset() is None:
            _refuse(event, name, "expected a datetime with a timezone, such as datetime.now(UTC)")
        try:
            value.astimezone(UTC)
        except (OverflowError, ValueError) as error:
            _refuse(event, name, "it is outside the years 1 to 9999 in UTC", error)


def _check_headers(event: Event) -> None:
    if not isinstance(event.headers, dict):
        _refuse(event, "headers", "expected a dict of names to text, whole numbers or booleans")
    if len(event.headers) > MAX_HEADERS:
        _refuse(event, "headers", f"there are {len(event.headers)}, {MAX_HEADERS} are allowed")
    for name, value in event.headers.items():
        if not isinstance(name, str) or _HEADER_NAME.fullmatch(name) is None:
            _refuse(event, "headers", f"{name!r:.80} is not a header name: 1 to 64 of a-z and 0-9")
        if name in RESERVED_HEADERS:
            _refuse(event, "headers", f"{name!r} is an attribute of the envelope, not a header")
        _check_header_value(event, name, value)


def _check_header_value(event: Event, name: str, value: object) -> None:
    if isinstance(value, str):
        if len(value) > MAX_HEADER_LENGTH:
            _refuse(event, name, f"it has {len(value)} characters, {MAX_HEADER_LENGTH} are allowed in a header")
        if not _is_plain(value):
            _refuse(event, name, "it has a control character, a lone surrogate or a noncharacter")
    elif isinstance(value, bool):
        return
    elif type(value) is not int or not -0x8000_0000 <= value <= 0x7FFF_FFFF:
        _refuse(event, name, "a header is text, a boolean or a whole number of 32 bits")


def _check_data(event: Event) -> None:
    if isinstance(event.data, (bytes, bytearray, memoryview)) and is_json(event.content_type):
        _refuse(event, "data", "bytes need a content_type other than JSON; wrap JSON text in msgspec.Raw")
    if isinstance(event.data, msgspec.Raw):
        try:
            _raw_decoder.decode(event.data)
        except ValueError as error:
            _refuse(event, "data", f"msgspec.Raw has to hold JSON text: {error}", error)


def _with_plain_type(event: Event) -> Event:
    name, version = split_version(event.type)
    try:
        check_name(name)
    except InvalidName as error:
        _refuse(event, "type", error.reason, error)
    if version is None:
        return event
    if event.version not in (1, version):
        _refuse(event, "version", f"it says {event.version}, the type says {event.type!r}")
    return msgspec.structs.replace(event, type=name, version=version)


def _with_sound_trace(event: Event) -> Event:
    if event.traceparent is None and "tracestate" not in event.headers:
        return event
    if is_traceparent(event.traceparent):
        return event
    headers = {name: value for name, value in event.headers.items() if name != "tracestate"}
    return msgspec.structs.replace(event, traceparent=None, headers=headers)


def _is_plain(text: str) -> bool:
    return (text.isascii() and text.isprintable()) or _FORBIDDEN.search(text) is None


def _refuse(event: Event, attribute: str, reason: str, cause: Exception | None = None) -> NoReturn:
    known = event.id if isinstance(event.id, str) and event.id else None
    raise InvalidEvent(attribute, reason, event_id=known) from cause
