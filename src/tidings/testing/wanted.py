"""What a test looks for among events: one value, or a class, name or pattern with some of its fields."""

from collections.abc import Mapping
from typing import Any

import msgspec

from tidings.errors import ConfigurationError, ContractError
from tidings.events import Catalog, Contract, Event, Pattern, contract_of, split_version
from tidings.testing.showing import differences, field_of, fields_of, show


class Words:
    """Knows the contracts a test may speak of: the application's, and whatever is an `@event`."""

    def __init__(self, catalog: Catalog) -> None:
        self._by_type = {each.type: each for each in catalog if isinstance(each.type, type)}

    def wanted(self, expected: Any, fields: Mapping[str, Any]) -> "Wanted":
        """What is looked for: a value, a class, a name or pattern, or an Event whose type and data are meant.

        Raises:
            ConfigurationError: it is no event, or has no such field.
        """
        if isinstance(expected, Event):
            return Wanted(Pattern(expected.type), None, {"$": _plain(expected.data), **fields}, show(expected.data))
        if isinstance(expected, str):
            name = split_version(expected)[0] if "*" not in expected else expected
            return Wanted(Pattern(name), None, fields, "any")
        contract = self._contract(expected)
        if not isinstance(expected, type):
            return Wanted(Pattern(contract.name), contract, {"$": expected, **fields}, show(expected))
        known = getattr(expected, "__annotations__", {})
        unknown = [name for name in fields if known and not hasattr(expected, name) and name not in known]
        if unknown:
            raise ConfigurationError(f"{expected.__name__} has no field {unknown[0]!r}: it has {', '.join(known)}")
        return Wanted(Pattern(contract.name), contract, fields, f"any {expected.__name__}")

    def _contract(self, expected: Any) -> Contract:
        kind = expected if isinstance(expected, type) else type(expected)
        contract = contract_of(kind) or self._by_type.get(kind)
        if contract is None:
            raise ConfigurationError(
                f"{show(expected)} is no event: give an @event value or class, a name or a pattern"
            )
        return contract


class Wanted:
    """`fields` are what the data's fields must be; `$` stands for all of it."""

    def __init__(self, pattern: Pattern, contract: Contract | None, fields: Mapping[str, Any], data: str) -> None:
        self.pattern = pattern
        self.fields = fields
        self._contract = contract
        self._data = data

    def __str__(self) -> str:
        given = ", ".join(f"{name}={show(value)}" for name, value in self.fields.items() if name != "$")
        return f"{self.pattern.text}  {self._data}{f' with {given}' if given else ''}"

    def fits(self, event: Event) -> bool:
        """Is this event meant?"""
        return self.pattern.matches(event.type) and not self.differences(event)

    def differences(self, event: Event) -> list[str]:
        """Where the event's data is another than what is looked for, a line each."""
        value = self.value(event)
        found: list[str] = []
        for name, expected in self.fields.items():
            actual = value if name == "$" else field_of(value, name)
            found += differences(expected, actual, "" if name == "$" else name)
        return found

    def nearness(self, event: Event) -> float:
        """How much of what is looked for the event has: above 1 when even the name is right."""
        same_name = self.pattern.matches(event.type)
        count = sum(len(fields_of(value) or [value]) if name == "$" else 1 for name, value in self.fields.items())
        return same_name + max(0.0, 1 - len(self.differences(event)) / max(count, 1))

    def value(self, event: Event) -> Any:
        """The event's data as the type that is looked for, where it has that form."""
        if self._contract is None or not self.pattern.matches(event.type):
            return event.data
        try:
            return self._contract.convert(event.data)
        except ContractError:
            return event.data


def _plain(data: Any) -> Any:
    return msgspec.json.decode(data) if isinstance(data, msgspec.Raw) else data
