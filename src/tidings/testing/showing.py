"""Values and events as a person reads them when a test has failed, and where two values differ."""

import dataclasses
from typing import Any

import msgspec

from tidings.events import Event

_LONGEST = 200


class _Absent:
    def __repr__(self) -> str:
        return "(absent)"


ABSENT = _Absent()


def show(value: Any) -> str:
    """A value on one line, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def show_event(event: Event) -> str:
    """An event's name and data, and its key where it has one that the data does not show."""
    return f"{event.type}  {show(event.data)}"


def fields_of(value: Any) -> dict[str, Any]:
    """A value's fields by name; none when it has no such parts."""
    if isinstance(value, dict):
        return {str(name): each for name, each in value.items()}
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if hasattr(type(value), "model_fields"):
        return {name: getattr(value, name) for name in type(value).model_fields}
    return {}


def field_of(value: Any, name: str) -> Any:
    """One field of a value, `ABSENT` when there is none."""
    return fields_of(value).get(name, getattr(value, name, ABSENT))


def differences(expected: Any, actual: Any, path: str = "") -> list[str]:
    """Where two values differ, a line each: `lines[0].price: expected 3, was 4`."""
    if expected == actual and (type(expected) is type(actual) or not fields_of(expected)):
        return []
    parts = _parts(expected, actual)
    if parts is None:
        return [f"{path or 'data'}: expected {show(expected)}, was {show(actual)}"]
    return [line for name, left, right in parts for line in differences(left, right, _within(path, name))]


def _parts(expected: Any, actual: Any) -> list[tuple[str, Any, Any]] | None:
    """What two values of one shape are made of, pairwise; None when only the whole can be compared."""
    if isinstance(expected, list | tuple) and isinstance(actual, list | tuple) and len(expected) == len(actual):
        return [(f"[{index}]", left, right) for index, (left, right) in enumerate(zip(expected, actual, strict=True))]
    left, right = fields_of(expected), fields_of(actual)
    if not left or not right:
        return None
    names = [*left, *(name for name in right if name not in left)]
    return [(name, left.get(name, ABSENT), right.get(name, ABSENT)) for name in names]


def _within(path: str, name: str) -> str:
    return f"{path}{name}" if not path or name.startswith("[") else f"{path}.{name}"
