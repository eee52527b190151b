"""Contracts: a class becomes an immutable value, and its data survives being written and read."""

import dataclasses
import datetime
import enum
import pickle
import uuid
from decimal import Decimal
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.errors import BrokenContracts, ConfigurationError, ContractError, InvalidName
from tidings.events import Contract, contract, contract_of, event


class Currency(enum.Enum):
    EURO = "EUR"
    DOLLAR = "USD"


@event("test:money")
class Money:
    amount: Decimal
    currency: Currency = Currency.EURO


@event("order:created", version=2, key="order_id", owner="sales", personal=["email"])
class OrderCreated:
    """An order was placed."""

    order_id: int
    total: Money
    lines: tuple[str, ...] = ()
    email: str | None = None
    placed_at: datetime.datetime | None = None
    basket: uuid.UUID | None = None
    within: datetime.timedelta | None = None

    def describe(self) -> str:
        return f"order {self.order_id}"

    @property
    def is_anonymous(self) -> bool:
        return self.email is None


class Greeting(msgspec.Struct):
    text: str


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: float = 0.0


class Row(TypedDict):
    name: str


class Account(pydantic.BaseModel):
    number: int
    owner: str


ORDER = OrderCreated(1, Money(Decimal("39.90")))


def of(value: Any) -> Contract:
    found = contract_of(value)
    assert found is not None
    return found


def test_the_class_keeps_its_name_module_docstring_methods_and_defaults() -> None:
    assert (OrderCreated.__name__, OrderCreated.__module__) == ("OrderCreated", __name__)
    assert OrderCreated.__doc__ == "An order was placed."
    assert (ORDER.describe(), ORDER.is_anonymous, ORDER.lines) == ("order 1", True, ())


def test_values_are_equal_by_content_immutable_and_picklable() -> None:
    assert OrderCreated(order_id=1, total=Money(Decimal("39.90"))) == ORDER
    assert pickle.loads(pickle.dumps(ORDER)) == ORDER
    with pytest.raises(AttributeError):
        ORDER.order_id = 2  # type: ignore[misc]


def test_super_and_dunder_class_mean_the_new_class() -> None:
    class Named:
        def name(self) -> str:
            return "named"

    @event("test:named")
    class Child(Named):
        number: int

        def name(self) -> str:
            return super().name() + f" {__class__.__name__} {self.number}"  # type: ignore[name-defined]

    assert Child(3).name() == "named Child 3"


def test_an_event_may_inherit_fields_but_not_the_contract() -> None:
    @event("test:base")
    class Base:
        a: int

    @event("test:child")
    class Child(Base):
        b: int

    class Unmarked(Child):
        pass

    assert (Child(1, 2).a, of(Child).name, of(Base).name) == (1, "test:child", "test:base")
    assert contract_of(Unmarked) is None


def test_the_contract_tells_what_was_declared() -> None:
    found = of(ORDER)

    assert found is of(OrderCreated)
    assert (found.name, found.version, found.key, found.owner) == ("order:created", 2, "order_id", "sales")
    assert (found.personal, found.public) == (("email",), True)
    assert found.key_of(ORDER) == "1"
    assert contract_of(3) is None
    assert "__contract__" not in OrderCreated.__struct_fields__  # type: ignore[attr-defined]


def test_the_version_may_stand_in_the_name() -> None:
    @event("test:suffix.v3")
    class Suffixed:
        a: int

    assert (of(Suffixed).name, of(Suffixed).version) == ("test:suffix", 3)


@pytest.mark.parametrize("version", [0, -1, True, "2", 1.5])
def test_a_version_that_counts_nothing_is_refused(version: Any) -> None:
    with pytest.raises(BrokenContracts):
        event("test:bad", version=version)


def test_two_versions_that_disagree_are_refused() -> None:
    with pytest.raises(BrokenContracts, match="disagree"):
        contract("test:bad.v2", Point, version=3)


def test_a_bad_name_is_refused_where_it_is_written() -> None:
    with pytest.raises(InvalidName):
        event("order created")


@pytest.mark.parametrize("foreign", [Point, Account])
def test_a_dataclass_or_model_is_sent_to_contract(foreign: type) -> None:
    with pytest.raises(ConfigurationError, match="contract"):
        event("test:foreign")(foreign)


@pytest.mark.parametrize("declared", [{"key": "nowhere"}, {"personal": ["nowhere"]}])
def test_a_declared_field_that_is_none_is_found_by_check(declared: dict[str, Any]) -> None:
    with pytest.raises(BrokenContracts, match="nowhere"):
        contract("test:point", Point, **declared).check()


def test_a_type_without_a_json_form_is_found_by_check() -> None:
    class Holder(msgspec.Struct):
        complex_: complex
        other: "Missing"  # type: ignore[name-defined]  # noqa: F821 - that it is not defined is the point

    with pytest.raises(BrokenContracts):
        contract("test:holder", Holder).check()


@given(
    st.builds(
        OrderCreated,
        order_id=st.integers(-(2**63), 2**63),
        total=st.builds(Money, st.decimals(allow_nan=False, allow_infinity=False), st.sampled_from(Currency)),
        lines=st.lists(st.text(st.characters(exclude_categories=["Cs"]))).map(tuple),
        email=st.none() | st.emails(),
        placed_at=st.none() | st.datetimes(timezones=st.just(datetime.UTC)),
        basket=st.none() | st.uuids(),
        within=st.none() | st.timedeltas(datetime.timedelta(0), datetime.timedelta(days=30)),
    )
)
def test_decimals_times_ids_enums_nested_and_optional_values_survive(order: OrderCreated) -> None:
    assert of(order).decode(of(order).encode(order)) == order


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (Greeting, Greeting("hi")),
        (Point, Point(1, 2.5)),
        (Row, {"name": "x"}),
        (Account, Account(number=1, owner="me")),
    ],
)
def test_a_foreign_type_is_read_and_written_and_nothing_is_attached_to_it(type_: Any, value: Any) -> None:
    made = contract("test:foreign", type_, version=2)
    made.check()

    assert made.decode(made.encode(value)) == value
    assert made.convert(msgspec.json.decode(made.encode(value))) == value
    assert "properties" in str(made.json_schema())
    assert contract_of(type_) is None


@pytest.mark.parametrize("data", [bytes, memoryview, msgspec.Raw])
@pytest.mark.parametrize("type_", [Point, Account])
def test_data_may_be_bytes_a_view_or_raw(data: Any, type_: Any) -> None:
    text = b'{"x": 1, "number": 1, "owner": "me"}'

    assert isinstance(contract("test:any", type_).decode(data(text)), type_)


@pytest.mark.parametrize(
    ("data", "path", "expected"),
    [
        (b'{"order_id": 1, "total": {"amount": true}}', "$.total.amount", "Expected `decimal`, got `bool`"),
        (b'{"order_id": 1, "total": {"amount": "1", "currency": "GBP"}}', "$.total.currency", "Invalid enum value"),
        (b'{"order_id": 1}', "$", "missing required field `total`"),
        (b'{"order_id": 1, "total": {"amount": "1"}, "lines": [1]}', "$.lines[0]", "Expected `str`"),
        (b"nonsense", "$", "malformed"),
        (b"", "$", "truncated"),
        (b"[" * 100_000, "$", "Expected `object`"),
    ],
)
def test_data_that_does_not_fit_is_refused_by_type_version_path_and_expectation(
    data: bytes, path: str, expected: str
) -> None:
    with pytest.raises(ContractError) as caught:
        of(OrderCreated).decode(data)

    assert (caught.value.type, caught.value.version, caught.value.path) == ("order:created", 2, path)
    assert expected in caught.value.expected


def test_a_pydantic_model_refuses_in_the_same_words() -> None:
    with pytest.raises(ContractError) as caught:
        contract("account:opened", Account, version=4).decode(b'{"number": "x", "owner": "me"}')

    assert (caught.value.type, caught.value.version, caught.value.path) == ("account:opened", 4, "$.number")
    assert "integer" in caught.value.expected


@pytest.mark.parametrize("value", [Greeting("hi"), None, {"order_id": 1}])
def test_a_value_of_another_type_is_not_written(value: Any) -> None:
    with pytest.raises(ContractError, match="expected OrderCreated"):
        of(OrderCreated).encode(value)


UNREADABLE: list[Any] = ["one", None, object]


@pytest.mark.parametrize("value", [Point(1, float("nan")), *map(Point, UNREADABLE)], ids=str)
def test_a_value_that_could_not_be_read_again_is_not_written(value: Any) -> None:
    with pytest.raises(ContractError):
        contract("test:point", Point).encode(value)


@given(st.binary())
def test_decoding_raises_nothing_but_contract_errors(data: bytes) -> None:
    for made in (of(OrderCreated), contract("test:account", Account), contract("test:row", Row)):
        with pytest.raises(ContractError):
            made.decode(data)


@pytest.mark.parametrize(("value", "expected"), [({"name": "x"}, "x"), ({"name": None}, None)])
def test_the_key_of_a_dict_is_its_member(value: dict[str, Any], expected: str | None) -> None:
    assert contract("test:row", Row, key="name").key_of(value) == expected


def test_without_a_declared_key_there_is_none() -> None:
    assert contract("test:row", Row).key_of({"name": "x"}) is None
