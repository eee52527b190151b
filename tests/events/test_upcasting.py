"""Old versions are lifted step by step; a hole or a ring is found at start."""

from typing import Any

import pytest

from tidings.errors import BrokenContracts, ConfigurationError, ContractError, Reject
from tidings.events import Catalog, contract, contract_of, event, upcast


def test_a_chain_lifts_old_data_to_the_newest_version() -> None:
    @event("test:person", version=3)
    class Person:
        first: str
        last: str

    @upcast(Person, from_version=1)
    def name_became_full_name(data: dict[str, Any]) -> dict[str, Any]:
        return {"full_name": data["name"]}

    @upcast(Person, from_version=2)
    def full_name_was_split(data: dict[str, Any]) -> Person:
        first, _, last = data["full_name"].partition(" ")
        return Person(first, last)

    catalog = Catalog.collect(Person)

    assert catalog.reader("test:person", 1)(b'{"name": "Ada Lovelace"}') == Person("Ada", "Lovelace")
    assert catalog.reader("test:person", 2)(b'{"full_name": "Ada Lovelace"}') == Person("Ada", "Lovelace")
    assert catalog.reader("test:person", 3)(b'{"first": "Ada", "last": "L"}') == Person("Ada", "L")
    assert name_became_full_name({"name": "x"}) == {"full_name": "x"}


def test_a_step_may_skip_versions() -> None:
    @event("test:skip", version=5)
    class Skip:
        a: int

    @upcast(Skip, from_version=2, to_version=5)
    def far(data: dict[str, Any]) -> dict[str, Any]:
        return {"a": data["b"]}

    assert Catalog.collect(Skip).reader("test:skip", 2)(b'{"b": 1}') == Skip(1)


def test_a_foreign_type_is_lifted_by_its_contract() -> None:
    made = contract("test:row", dict[str, int], version=2)

    @upcast(made, from_version=1)
    def lift(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "b": 2}

    assert Catalog.collect(made).reader("test:row", 1)(b'{"a": 1}') == {"a": 1, "b": 2}


def test_upcasters_of_an_older_class_of_the_name_count_too() -> None:
    @event("test:kept", version=2)
    class Second:
        b: int

    @event("test:kept", version=3)
    class Third:
        c: int

    upcast(Second, from_version=1)(lambda data: {"b": data["a"]})
    upcast(Third, from_version=2)(lambda data: {"c": data["b"]})

    assert Catalog.collect(Third, Second).reader("test:kept", 1)(b'{"a": 7}') == Third(7)


def test_a_missing_step_is_found_at_start_and_named() -> None:
    @event("test:hole", version=4)
    class Hole:
        a: int

    upcast(Hole, from_version=1)(lambda data: data)
    upcast(Hole, from_version=3)(lambda data: data)

    with pytest.raises(BrokenContracts, match=r"from version 2 to 4.*from_version=2"):
        Catalog.collect(Hole)


def test_a_step_that_leads_past_the_newest_version_is_a_hole() -> None:
    @event("test:past", version=2)
    class Past:
        a: int

    upcast(Past, from_version=1, to_version=3)(lambda data: data)

    with pytest.raises(BrokenContracts, match="from version 1 to 2"):
        Catalog.collect(Past)


def test_an_older_class_that_nothing_leads_away_from_is_a_hole() -> None:
    @event("test:two")
    class First:
        a: int

    @event("test:two", version=2)
    class Second:
        a: int

    with pytest.raises(BrokenContracts, match="from_version=1"):
        Catalog.collect(First, Second)


@pytest.mark.parametrize(("from_version", "to_version"), [(2, 1), (2, 2)])
def test_a_ring_is_refused_where_it_is_written(from_version: int, to_version: int) -> None:
    @event("test:ring", version=3)
    class Ring:
        a: int

    with pytest.raises(BrokenContracts, match="ring"):
        upcast(Ring, from_version=from_version, to_version=to_version)(lambda data: data)


def test_two_functions_for_one_step_are_refused() -> None:
    @event("test:fork", version=2)
    class Fork:
        a: int

    upcast(Fork, from_version=1)(lambda data: data)

    with pytest.raises(BrokenContracts, match="keep one"):
        upcast(Fork, from_version=1)(lambda data: data)


def test_a_class_without_a_contract_cannot_be_lifted_to() -> None:
    with pytest.raises(ConfigurationError, match="no contract"):
        upcast(dict, from_version=1)


def test_a_failing_function_is_named_with_the_version_it_was_given() -> None:
    @event("test:failing", version=2)
    class Failing:
        a: int

    @upcast(Failing, from_version=1)
    def needs_b(data: dict[str, Any]) -> dict[str, Any]:
        return {"a": data["b"]}

    read = Catalog.collect(Failing).reader("test:failing", 1)

    with pytest.raises(ContractError, match=r"needs_b.*KeyError") as caught:
        read(b"{}")
    with pytest.raises(ContractError, match=r"\$\.a") as misfit:
        read(b'{"b": "text"}')
    assert (caught.value.version, misfit.value.version) == (1, 1)


def test_an_upcaster_may_reject_the_event() -> None:
    @event("test:rejected", version=2)
    class Rejected:
        a: int

    @upcast(Rejected, from_version=1)
    def refuse(data: dict[str, Any]) -> dict[str, Any]:
        raise Reject("version 1 was a mistake")

    with pytest.raises(Reject):
        Catalog.collect(Rejected).reader("test:rejected", 1)(b"{}")


def test_the_steps_are_noted_at_the_contract() -> None:
    @event("test:noted", version=2)
    class Noted:
        a: int

    upcast(Noted, from_version=1)(lambda data: data)
    found = contract_of(Noted)

    assert found is not None
    assert [(step.from_version, step.to_version) for step in found.upcasters] == [(1, 2)]
