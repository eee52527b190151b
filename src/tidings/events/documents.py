"""JSON text in and out for whole documents from outside: bounded in depth, and every failure an InvalidEvent."""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from tidings.errors import InvalidEvent

MAX_DEPTH: Final = 100
_OTHER_BYTES: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_AS_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)  # possessive, and open ends match: always linear


class _Payload(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")


_payload_decoder = msgspec.json.Decoder(_Payload)


def parse(text: bytes) -> Any:
    """The JSON value in `text`; of a repeated member the last one counts.

    Raises:
        InvalidEvent: it is no JSON (`NaN` is none), nested deeper than 100, or has a number out of range (`1e999`).
    """
    check_depth(text)
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidEvent("", f"it is not readable as JSON: {error}") from error


def parse_object(text: bytes) -> dict[str, Any]:
    """As `parse`, for a document that has to be a JSON object."""
    document = parse(text)
    if not isinstance(document, dict):
        raise InvalidEvent("", f"expected a JSON object, got {type(document).__name__}")
    return document


def encode_json(data: Any, *, event_id: str | None = None) -> bytes:
    """The JSON text of data that has no contract.

    Raises:
        InvalidEvent: a part has no JSON form (`nan` and lone surrogates have none), or it is nested deeper than 100.
    """
    try:
        text = msgspec.json.encode(data)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise InvalidEvent("data", f"it has no JSON form: {error}", event_id=event_id) from error
    if b"null" in text and _has_unwritable_number(data):  # msgspec writes nan and infinity as null
        raise InvalidEvent("data", "nan and infinity have no JSON form", event_id=event_id)
    check_depth(text, event_id)
    return text


def check_depth(text: bytes, event_id: str | None = None) -> None:
    """Refuse what is nested so deeply that a reader could run out of stack.

    Raises:
        InvalidEvent: more than 100 arrays and objects stand within each other.
    """
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return
    brackets = _STRING.sub(b"", text).translate(_AS_SQUARE, _OTHER_BYTES)
    for _ in range(MAX_DEPTH):  # each round takes the innermost pairs away, one level
        fewer = brackets.replace(b"[]", b"")
        if len(fewer) == len(brackets):
            return  # nothing left, or brackets that do not pair, which the parser refuses
        brackets = fewer
    if brackets:
        raise InvalidEvent("", f"it is nested deeper than {MAX_DEPTH}", event_id=event_id)


def data_text(document: bytes) -> msgspec.Raw:
    """The `data` member of a readable document as it stands there, digit for digit."""
    return _payload_decoder.decode(document).data.copy()


def optional_time(document: Mapping[str, Any], name: str) -> datetime | None:
    """A member that holds an RFC 3339 time with its offset, if it is there.

    Raises:
        InvalidEvent: it is something else.
    """
    value = document.get(name)
    if value is None:
        return None
    try:
        return msgspec.convert(value, datetime)
    except ValueError as error:
        raise InvalidEvent(name, "expected an RFC 3339 time such as 2026-01-31T12:00:00Z") from error


def optional_number(document: Mapping[str, Any], name: str) -> int | None:
    """A member that holds a whole number, or one written as text, if it is there.

    Raises:
        InvalidEvent: it is something else.
    """
    value = document.get(name)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,10}", value):
        return int(value)
    if value is not None and type(value) is not int:
        raise InvalidEvent(name, "expected a whole number")
    return value


def _has_unwritable_number(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(_has_unwritable_number(member) for member in value.values())
    return isinstance(value, (list, tuple, set, frozenset)) and any(_has_unwritable_number(item) for item in value)
