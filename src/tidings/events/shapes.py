"""How values of a payload type become JSON and come back: one shape for what msgspec knows, one for pydantic models."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

Failures = tuple[type[Exception], ...]
READ_FAILURES: Failures = (ValueError, RecursionError)  # msgspec's and pydantic's own errors are ValueErrors
WRITE_FAILURES: Failures = (ValueError, RecursionError, TypeError, OverflowError)  # TypeError: no JSON form at all

_ENCODER = msgspec.json.Encoder()


class Shape(Protocol):
    """A payload type's way to JSON and back. Every method raises one of `READ_FAILURES` for data that does not fit."""

    decode: Callable[[Any], Any]  # JSON text as bytes, msgspec.Raw or memoryview -> a value
    convert: Callable[[Any], Any]  # decoded JSON -> a value
    encode: Callable[[Any], bytes]
    json_schema: Callable[[], dict[str, Any]]


class MsgspecShape:
    """Structs, dataclasses, TypedDicts and whatever else msgspec reads."""

    def __init__(self, type: Any) -> None:
        self.decode: Callable[[Any], Any] = msgspec.json.Decoder(type).decode
        self.convert: Callable[[Any], Any] = lambda value: msgspec.convert(value, type, str_keys=True)
        self.encode: Callable[[Any], bytes] = _ENCODER.encode
        self.json_schema: Callable[[], dict[str, Any]] = lambda: msgspec.json.schema(type)


class PydanticShape:
    """Pydantic models, by the methods they bring along: pydantic is never imported here."""

    def __init__(self, type: Any) -> None:
        self.decode: Callable[[Any], Any] = lambda data: type.model_validate_json(bytes(data))
        self.convert: Callable[[Any], Any] = type.model_validate
        self.encode: Callable[[Any], bytes] = lambda value: value.model_dump_json(by_alias=True).encode()
        self.json_schema: Callable[[], dict[str, Any]] = type.model_json_schema


def shape_of(type: Any) -> Shape:
    """The shape for a payload type.

    Raises:
        TypeError, NameError: msgspec cannot read the type, or an annotation names what is not defined.
    """
    return PydanticShape(type) if hasattr(type, "model_validate_json") else MsgspecShape(type)


def where_and_what(error: Exception) -> tuple[str, str]:
    """Where the data departs from its type ("$.total"), and what was expected there, out of a read failure."""
    listed = getattr(error, "errors", None)
    if callable(listed):  # pydantic's; the first is enough to act on
        first: Mapping[str, Any] = listed()[0]
        return "$" + "".join(_step(step) for step in first["loc"]), str(first["msg"])
    if isinstance(error, RecursionError):
        return "$", "it is nested too deeply"
    expected, found, path = str(error).rpartition(" - at `")
    return (path.rstrip("`"), expected) if found else ("$", str(error))


def _step(step: int | str) -> str:
    return f"[{step}]" if isinstance(step, int) else f".{step}"
