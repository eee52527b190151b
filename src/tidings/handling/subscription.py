"""`Subscription`: a group, what it hears, who handles it and how: everything asynchronous is one of these."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tidings.errors import ConfigurationError
from tidings.events import Contract, PatternSet, contract_of
from tidings.handling.form import Form, Handler, form_of
from tidings.handling.policy import Policy
from tidings.log.interface import Group

MARKS = ("*",)


class Subscription(msgspec.Struct, frozen=True):
    """One named reader with a handler."""

    group: Group
    form: Form
    policy: Policy
    contracts: tuple[Any, ...] = ()  # @event classes and Contracts its handler speaks of

    @property
    def name(self) -> str:
        """The group's name."""
        return self.group.name

    @property
    def types(self) -> frozenset[str] | None:
        """The exact names it hears, or None when it hears a pattern."""
        if any(mark in pattern for pattern in self.group.patterns for mark in MARKS):
            return None
        return frozenset(self.group.patterns)

    def matcher(self) -> PatternSet:
        """Does it hear a name? Remembers the answers."""
        return PatternSet(self.group.patterns)


def subscription(
    app: str, heard: Sequence[Any], handler: Handler, policy: Policy, *, group: str | None, start: str
) -> Subscription:
    """A subscription of `handler` to what is `heard`: names, patterns, `@event` classes or Contracts.

    Raises:
        ConfigurationError: nothing is heard, or the handler cannot be called so.
    """
    form = form_of(handler)
    contracts = [each for each in (*heard, form.data_type) if each is not None and not isinstance(each, str)]
    patterns = tuple(dict.fromkeys(_pattern(each) for each in heard or contracts))
    name = group or f"{app}.{getattr(handler, '__name__', type(handler).__name__)}"
    if not patterns:
        raise ConfigurationError(f"{name} hears nothing: name an event, as in @app.on(OrderCreated)")
    if form.uses_tx and policy.concurrency > 1:
        raise ConfigurationError(f"{name} takes tx and concurrency={policy.concurrency}: with tx it is 1")
    return Subscription(Group(name, patterns, start), form, policy, tuple(contracts))


def _pattern(heard: Any) -> str:
    if isinstance(heard, str):
        PatternSet([heard])  # refuses what is outside the grammar
        return heard
    if isinstance(heard, Contract):
        return heard.name
    contract = contract_of(heard) if isinstance(heard, type) else None
    if contract is None:
        raise ConfigurationError(f"{heard!r} is no event: give a name, a pattern, an @event class or a Contract")
    return contract.name
