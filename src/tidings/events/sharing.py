"""Which payloads may be handed to several handlers at once: those that nobody can change, however deep they look."""

import dataclasses
import datetime
import decimal
import enum
import types
import typing
import uuid
from typing import Any, Final

import msgspec

_ATOMS: Final = frozenset(
    {
        str, int, float, bool, bytes, type(None), decimal.Decimal, uuid.UUID,
        datetime.datetime, datetime.date, datetime.time, datetime.timedelta,
    }
)  # fmt: skip
_CONTAINERS: Final = (tuple, frozenset)


def is_deeply_frozen(type_: Any) -> bool:
    """Can no part of a value of this type be changed? Whatever is not known to be frozen counts as changeable."""
    return _is_frozen(type_, set())


def _is_frozen(type_: Any, seen: set[Any]) -> bool:
    if type_ is None:
        return True
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if origin is typing.Literal:
        return True
    if origin is typing.Annotated:
        return _is_frozen(arguments[0], seen)
    if origin in (typing.Union, types.UnionType):
        return all(_is_frozen(argument, seen) for argument in arguments)
    if origin in _CONTAINERS:
        return all(argument is Ellipsis or _is_frozen(argument, seen) for argument in arguments)
    if isinstance(type_, typing.NewType):
        return _is_frozen(type_.__supertype__, seen)
    return isinstance(type_, type) and (type_ in _ATOMS or _is_frozen_class(type_, seen))


def _is_frozen_class(type_: type, seen: set[Any]) -> bool:
    if issubclass(type_, enum.Enum) or type_ in seen:  # a type that holds itself is as frozen as its other fields
        return True
    if issubclass(type_, msgspec.Struct):
        frozen = bool(type_.__struct_config__.frozen)
    elif dataclasses.is_dataclass(type_):
        frozen = bool(type_.__dataclass_params__.frozen)  # type: ignore[attr-defined]
    else:
        return False
    seen.add(type_)
    return frozen and all(_is_frozen(hint, seen) for hint in _field_types(type_))


def _field_types(type_: type) -> list[Any]:
    hints = typing.get_type_hints(type_, include_extras=True)
    return [hint for hint in hints.values() if typing.get_origin(hint) is not typing.ClassVar]
