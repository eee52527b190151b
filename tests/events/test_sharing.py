"""Which payloads several handlers may be given at once."""

import dataclasses
import datetime
import decimal
import enum
import uuid
from typing import Annotated, Any, Literal, NewType

import msgspec
import pytest

from tidings.events import contract_of, event
from tidings.events.sharing import is_deeply_frozen


class Colour(enum.Enum):
    RED = 1


class Frozen(msgspec.Struct, frozen=True):
    a: int
    next: "Frozen | None" = None


class Loose(msgspec.Struct):
    a: int


class HoldsLoose(msgspec.Struct, frozen=True):
    a: tuple[Loose, ...]


@dataclasses.dataclass(frozen=True)
class FrozenPoint:
    x: int


@dataclasses.dataclass
class LoosePoint:
    x: int


OrderNumber = NewType("OrderNumber", int)


@pytest.mark.parametrize(
    "type_",
    [
        int,
        None,
        bytes,
        decimal.Decimal,
        datetime.datetime,
        uuid.UUID,
        Colour,
        Frozen,
        FrozenPoint,
        OrderNumber,
        tuple[int, ...],
        frozenset[str],
        int | None,
        Literal["a", 1],
        Annotated[str, msgspec.Meta(min_length=1)],
        tuple[Frozen | FrozenPoint, ...],
    ],
    ids=str,
)
def test_what_nobody_can_change_may_be_shared(type_: Any) -> None:
    assert is_deeply_frozen(type_)


@pytest.mark.parametrize(
    "type_",
    [
        list[int],
        dict[str, int],
        set[int],
        list,
        tuple,
        Any,
        object,
        bytearray,
        Loose,
        LoosePoint,
        HoldsLoose,
        int | list[int],
        tuple[list[int], ...],
        tuple[Any, ...],
    ],
    ids=str,
)
def test_what_somebody_could_change_may_not(type_: Any) -> None:
    assert not is_deeply_frozen(type_)


def test_a_contract_says_whether_its_values_may_be_shared() -> None:
    @event("test:shared")
    class Shared:
        numbers: tuple[int, ...]

    @event("test:own")
    class Own:
        numbers: list[int]

    shared, own = contract_of(Shared), contract_of(Own)

    assert shared is not None
    assert shared.shareable
    assert own is not None
    assert not own.shareable
