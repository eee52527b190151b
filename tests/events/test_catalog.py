"""A catalog reads every event as the newest contract of its name, and says so when it cannot."""

from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.errors import BrokenContracts, ConfigurationError, ContractError, NewerVersion
from tidings.events import DECODE_FAILURES, Catalog, catalog, contract, contract_of, event, upcast


@event("order:created", version=2)
class OrderCreated:
    order_id: int
    total: str = "0"


@upcast(OrderCreated, from_version=1)
def number_became_order_id(data: dict[str, Any]) -> dict[str, Any]:
    return {"order_id": data["number"]}


PAIR = contract("test:pair", tuple[int, int])


def test_contracts_come_from_classes_contracts_modules_and_catalogs() -> None:
    module = ModuleType("orders")
    vars(module).update(OrderCreated=OrderCreated, pair=PAIR, number=3)

    found = Catalog.collect(module, Catalog.collect(PAIR), OrderCreated, PAIR)

    assert list(found) == [contract_of(OrderCreated), PAIR]
    assert len(found) == 2


@pytest.mark.parametrize("source", [int, "orders", 3, None])
def test_a_source_without_contracts_is_refused(source: Any) -> None:
    with pytest.raises(ConfigurationError):
        Catalog.collect(source)


def test_two_types_of_one_name_and_version_are_refused() -> None:
    with pytest.raises(BrokenContracts, match="version 1 is both"):
        Catalog.collect(contract("test:pair", tuple[int, int]), contract("test:pair", tuple[str, str]))


def test_the_same_type_described_twice_is_one_contract_to_readers() -> None:
    again = contract("test:pair", PAIR.type)

    assert Catalog.collect(PAIR, again).contract_for("test:pair") in (PAIR, again)


def test_contracts_are_found_by_name_and_by_version() -> None:
    found = Catalog.collect(OrderCreated)

    assert found.contract_for("order:created") is contract_of(OrderCreated)
    assert found.contract_for("order:created", 2) is contract_of(OrderCreated)
    assert found.contract_for("order:created", 1) is None
    assert found.contract_for("other") is None


def test_an_old_event_is_read_as_the_newest_contract() -> None:
    assert Catalog.collect(OrderCreated).reader("order:created", 1)(b'{"number": 7}') == OrderCreated(7)


@pytest.mark.parametrize("data", [bytes, memoryview, msgspec.Raw])
@pytest.mark.parametrize(("version", "text"), [(1, b'{"number": 7}'), (2, b'{"order_id": 7}'), (3, b'{"order_id": 7}')])
def test_data_may_be_bytes_a_view_or_raw(data: Any, version: int, text: bytes) -> None:
    assert Catalog.collect(OrderCreated).reader("order:created", version)(data(text)) == OrderCreated(7)


def test_a_newer_event_that_still_fits_is_read() -> None:
    read = Catalog.collect(OrderCreated).reader("order:created", 3)

    assert read(b'{"order_id": 7, "added_later": true}') == OrderCreated(7)


def test_a_newer_event_that_does_not_fit_says_that_this_process_is_older() -> None:
    with pytest.raises(NewerVersion) as caught:
        Catalog.collect(OrderCreated).reader("order:created", 3)(b'{"order": {"id": 7}}')

    assert (caught.value.version, caught.value.known, caught.value.path) == (3, 2, "$")


def test_an_old_event_without_an_upcaster_is_read_when_it_fits() -> None:
    @event("test:grown", version=2)
    class Grown:
        a: int
        b: int = 0

    read = Catalog.collect(Grown).reader("test:grown", 1)

    assert read(b'{"a": 1}') == Grown(1)
    with pytest.raises(ContractError) as caught:
        read(b"{}")
    assert caught.value.version == 1
    assert not isinstance(caught.value, NewerVersion)


def test_an_event_without_a_contract_is_read_plainly() -> None:
    read = Catalog.collect().reader("any:thing", 4)

    assert read(b'{"a": [1, null]}') == {"a": [1, None]}
    with pytest.raises(ContractError, match="any:thing version 4"):
        read(b"\xff")


def test_the_decoder_of_the_newest_version_is_that_of_msgspec_itself() -> None:
    found = Catalog.collect(OrderCreated)
    decode = found.decoder("order:created", 2)

    assert type(decode).__name__ == "builtin_function_or_method"
    assert decode is found.decoder("order:created", 2)
    with pytest.raises(DECODE_FAILURES) as caught:
        decode(b'{"order_id": "x"}')
    assert str(found.translate("order:created", 2, caught.value)).startswith("order:created version 2 does not fit")


def test_a_contract_error_is_translated_to_itself() -> None:
    error = ContractError("order:created", 1, "$", "anything")

    assert Catalog.collect().translate("order:created", 1, error) is error


def test_readers_are_remembered_in_a_bounded_number() -> None:
    found = Catalog.collect()

    for version in range(1, catalog._REMEMBERED_READERS * 2):
        found.reader("any:thing", version)

    assert len(found._readers) <= catalog._REMEMBERED_READERS
    assert len(found._decoders) <= catalog._REMEMBERED_READERS


CATALOG = Catalog.collect(OrderCreated, PAIR)


@given(
    st.binary() | st.just(b"[" * 100_000), st.sampled_from(["order:created", "test:pair", "other"]), st.integers(1, 4)
)
def test_reading_raises_nothing_but_contract_errors(data: bytes, name: str, version: int) -> None:
    try:
        CATALOG.reader(name, version)(data)
    except ContractError as error:
        refused = (error.type, error.version)
    else:
        refused = (name, version)

    assert refused == (name, version)
