"""Contracts: what an event of a name and version says, as a Python type.

`@event` makes the type and its contract together; `contract()` makes one for a type that exists already.
"""

import dataclasses
import typing
from collections.abc import Callable, Iterable
from functools import cached_property
from types import CellType, FunctionType
from typing import Any, Final, TypeVar

import msgspec

from tidings.errors import BrokenContracts, ConfigurationError, ContractError
from tidings.events.names import check_name, split_version
from tidings.events.shapes import READ_FAILURES, WRITE_FAILURES, Shape, shape_of, where_and_what
from tidings.events.sharing import is_deeply_frozen

ATTRIBUTE: Final = "__contract__"
_STRUCT: Final[Any] = type(msgspec.Struct)  # the metaclass, which takes a class apart again
_Payload = TypeVar("_Payload", bound=type)


@dataclasses.dataclass(frozen=True, slots=True)
class Upcaster:
    """One step from an older version's decoded JSON towards the newest; `to_version=None` is the version after."""

    function: Callable[[dict[str, Any]], Any]
    from_version: int
    to_version: int

    def __str__(self) -> str:
        return f"{self.function.__module__}.{self.function.__qualname__} ({self.from_version} -> {self.to_version})"


class Contract:
    """A name and version, and the type its data has.

    `key` names the attribute used as the delivery key, `public` says whether other services may see the events,
    `owner` who answers for it, `personal` which fields hold personal data.
    """

    def __init__(
        self,
        name: str,
        type: Any,
        *,
        version: int = 1,
        key: str | None = None,
        public: bool = True,
        owner: str | None = None,
        personal: Iterable[str] = (),
    ) -> None:
        self.name = check_name(name)
        self.version = version
        self.type = type
        self.key = key
        self.public = public
        self.owner = owner
        self.personal = tuple(personal)
        self.upcasters: list[Upcaster] = []

    @cached_property
    def shape(self) -> Shape:
        """How values become JSON and back; made on first use, so that a contract may name types defined after it.

        Raises:
            BrokenContracts: the type cannot be read from JSON.
        """
        try:
            return shape_of(self.type)
        except (TypeError, NameError, AttributeError) as error:
            raise BrokenContracts(self.name, f"version {self.version} has no JSON form: {error}") from error

    @cached_property
    def shareable(self) -> bool:
        """Can several handlers be given one decoded value, because nobody can change it however deep they look?"""
        try:
            return is_deeply_frozen(self.type)
        except NameError:
            return False

    def check(self) -> None:
        """Make sure that the contract can work, before the first event arrives.

        Raises:
            BrokenContracts: the type has no JSON form, or lacks a field named by `key` or `personal`.
        """
        _ = self.shape.decode
        fields = _field_names(self.type)
        for name in filter(None, (self.key, *self.personal)):
            if fields and name not in fields:
                told = f"version {self.version} names {name!r}, which is no field of its type"
                raise BrokenContracts(self.name, told)

    def json_schema(self) -> dict[str, Any]:
        """The data's JSON Schema (2020-12)."""
        return self.shape.json_schema()

    def key_of(self, value: Any) -> str | None:
        """The delivery key of a value: its key attribute as text; `None` when the contract or the value has none."""
        if self.key is None:
            return None
        key = value[self.key] if isinstance(value, dict) else getattr(value, self.key)
        return None if key is None else str(key)

    def encode(self, value: Any) -> bytes:
        """The value as JSON, known to be readable again.

        Raises:
            ContractError: it is not an instance of the contract's type, or a field holds what the type does not allow.
        """
        if self._has_instances and not isinstance(value, self.type):
            told = f"expected {self.type.__name__}, got {type(value).__name__}"
            raise ContractError(self.name, self.version, "$", told)
        try:
            data = self.shape.encode(value)
            self.shape.decode(data)  # msgspec checks no field when a Struct is made, and writes nan as null
        except WRITE_FAILURES as error:
            raise self.misfit(error) from error
        return data

    def decode(self, data: bytes | msgspec.Raw | memoryview) -> Any:
        """The value that this JSON says.

        Raises:
            ContractError: it is no JSON, or does not fit the type.
        """
        try:
            return self.shape.decode(data)
        except READ_FAILURES as error:
            raise self.misfit(error) from error

    def convert(self, value: Any, *, version: int | None = None) -> Any:
        """The value that this decoded JSON of an event of `version` says; a typed value is given back as it is.

        Raises:
            ContractError: it does not fit the type.
        """
        if self._has_instances and isinstance(value, self.type):
            return value
        try:
            return self.shape.convert(value)
        except WRITE_FAILURES as error:  # an upcaster may have put anything there
            raise self.misfit(error, version=version) from error

    def misfit(self, error: Exception, *, version: int | None = None) -> ContractError:
        """A read failure as the error of this contract, for an event of `version`."""
        path, expected = where_and_what(error)
        return ContractError(self.name, version or self.version, path, expected)

    @cached_property
    def _has_instances(self) -> bool:
        return isinstance(self.type, type) and not typing.is_typeddict(self.type)

    def __repr__(self) -> str:
        return f"Contract({self.name!r}, {getattr(self.type, '__name__', self.type)}, version={self.version})"


def contract(
    name: str,
    type: Any,
    *,
    version: int | None = None,
    key: str | None = None,
    public: bool = True,
    owner: str | None = None,
    personal: Iterable[str] = (),
) -> Contract:
    """A contract for an existing Struct, dataclass, TypedDict or pydantic model; nothing is attached to the type.

    Raises:
        InvalidName: the name is outside the grammar.
        BrokenContracts: the version is below 1, or the name's own ("order:created.v2") says otherwise.
    """
    plain, number = _name_and_version(name, version)
    return Contract(plain, type, version=number, key=key, public=public, owner=owner, personal=personal)


@typing.dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
def event(
    name: str,
    *,
    version: int | None = None,
    key: str | None = None,
    public: bool = True,
    owner: str | None = None,
    personal: Iterable[str] = (),
) -> Callable[[_Payload], _Payload]:
    """Make a plain annotated class an immutable value with a contract.

    Raises:
        InvalidName: the name is outside the grammar.
        BrokenContracts: the version is below 1, or the name's own ("order:created.v2") says otherwise.
        ConfigurationError: the class is a dataclass or pydantic model; `contract()` is for those.
    """
    plain, number = _name_and_version(name, version)

    def make(cls: _Payload) -> _Payload:
        struct: _Payload = _as_struct(cls)
        made = Contract(plain, struct, version=number, key=key, public=public, owner=owner, personal=personal)
        setattr(struct, ATTRIBUTE, made)
        return struct

    return make


def contract_of(value: Any) -> Contract | None:
    """The contract that `@event` gave to this class, or to this value's class; a subclass does not inherit it."""
    owner = value if isinstance(value, type) else type(value)
    found = getattr(owner, ATTRIBUTE, None)
    return found if isinstance(found, Contract) and found.type is owner else None


def _name_and_version(name: str, version: int | None) -> tuple[str, int]:
    plain, suffix = split_version(check_name(name))
    number = version if version is not None else suffix or 1
    if type(number) is not int or number < 1:
        raise BrokenContracts(plain, f"version {number!r} is not a whole number from 1")
    if suffix not in (None, number):
        raise BrokenContracts(plain, f"the name {name!r} and version={number} disagree; give the version once")
    return plain, number


def _as_struct(cls: Any) -> Any:
    if issubclass(cls, msgspec.Struct):
        return cls
    if dataclasses.is_dataclass(cls) or hasattr(cls, "model_validate_json"):
        raise ConfigurationError(f"{cls.__qualname__} is a dataclass or model: write contract(name, {cls.__name__})")
    members = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
    bases = tuple(base for base in cls.__bases__ if base is not object)
    if not any(issubclass(base, msgspec.Struct) for base in bases):
        bases = (*bases, msgspec.Struct)
    struct = _STRUCT(cls.__name__, bases, members, frozen=True)
    _point_super_at(struct, cls)
    return struct


def _point_super_at(struct: type, original: type) -> None:
    # Methods that say super() or __class__ hold the class they were written in; it is another one now.
    for member in vars(struct).values():
        function = getattr(member, "fget", None) or getattr(member, "__func__", member)
        cells: tuple[CellType, ...] = (function.__closure__ or ()) if isinstance(function, FunctionType) else ()
        for cell in cells:
            if _content(cell) is original:
                cell.cell_contents = struct


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _field_names(type_: Any) -> set[str]:
    try:
        return set(typing.get_type_hints(type_))
    except (NameError, TypeError):
        return set()
