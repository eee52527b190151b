"""`Subscription`: a group, what it hears, who handles it and how: everything asynchronous is one of these."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tidings.errors import ConfigurationError
from tidings.events import Contract, Pattern, PatternSet, contract_of, split_version
from tidings.handling.flow.checking import quarrel_over
from tidings.handling.flow.settings import Batch
from tidings.handling.form import Form, Handler, form_of
from tidings.handling.policy import Policy
from tidings.log.group import Group


class Subscription(msgspec.Struct, frozen=True):
    """One named reader with a handler."""

    group: Group
    form: Form
    policy: Policy
    contracts: tuple[Any, ...] = ()  # @event classes and Contracts its handler speaks of
    limit: Any = None  # an asyncio.Semaphore, where several readers share the policy's concurrency
    direct: bool = False  # does it hear the broker itself, with no log between?
    broadcast: bool = False  # does every process hear all of it?

    @property
    def name(self) -> str:
        """The group's name."""
        return self.group.name

    @property
    def types(self) -> frozenset[str] | None:
        """The exact names it hears, or None when it hears a pattern."""
        literal = all(Pattern(each).literal for each in self.group.patterns)
        return frozenset(self.group.patterns) if literal else None

    @property
    def takes_data_alone(self) -> bool:
        """Is the data of an event all that is needed of it, as long as nothing goes wrong? Then it may be read lean."""
        form = self.form
        wants = ("data",) if form.is_async else ("data", "tx")
        is_plain = form.wants == wants and not form.returns_events and self.policy.concurrency == 1
        return is_plain and not self.policy.flow.asks_for_keys

    def matcher(self) -> PatternSet:
        """Does it hear a name? Remembers the answers."""
        return PatternSet(self.group.patterns)


def subscription(
    app: str,
    heard: Sequence[Any],
    handler: Handler,
    policy: Policy,
    *,
    group: str | None,
    start: str,
    direct: bool = False,
    broadcast: bool = False,
) -> Subscription:
    """A subscription of `handler` to what is `heard`: names, patterns, `@event` classes or Contracts.

    Raises:
        ConfigurationError: nothing is heard, or the handler cannot be called so.
    """
    form = form_of(handler)
    spoken = [each for each in heard or [form.data_type] if each is not None]
    patterns = tuple(dict.fromkeys(pattern_of(each) for each in spoken))
    contracts = [each for each in (*spoken, form.data_type, *form.returned) if isinstance(each, type | Contract)]
    name = group or f"{app}.{getattr(handler, '__name__', type(handler).__name__)}"
    if not patterns:
        raise ConfigurationError(f"{name} hears nothing: name an event, as in @app.on(OrderCreated)")
    taken = contract_of(form.data_type) if form.data_type is not None else None
    if taken is not None and not PatternSet(patterns).matches(taken.name):
        raise ConfigurationError(f"{name} hears {', '.join(patterns)} but takes {taken.name}: change one of them")
    policy = _with_batch(policy, form, name)
    quarrel = quarrel_over(policy.flow, name, uses_tx=form.uses_tx, concurrency=policy.concurrency)
    if quarrel is not None:
        raise ConfigurationError(quarrel)
    if form.uses_tx and policy.concurrency > 1:
        raise ConfigurationError(f"{name} takes tx and concurrency={policy.concurrency}: with tx it is 1")
    return Subscription(
        Group(name, patterns, start), form, policy, tuple(contracts), direct=direct, broadcast=broadcast
    )


def _with_batch(policy: Policy, form: Form, name: str) -> Policy:
    """A handler that takes a list is called with batches, whether or not anything was said of them."""
    if policy.flow.batch is not None and not form.takes_list:
        raise ConfigurationError(f"{name} has batch= and takes one event: annotate its first parameter as list[...]")
    if policy.flow.batch is not None or not form.takes_list:
        return policy
    return msgspec.structs.replace(policy, flow=msgspec.structs.replace(policy.flow, batch=Batch()))


def pattern_of(heard: Any) -> str:
    """The pattern, or plain name, of what is to be heard: a name, a pattern, an `@event` class or a Contract.

    Raises:
        ConfigurationError: it is none of these.
        InvalidName: it is outside the grammar.
    """
    if isinstance(heard, str):
        return split_version(heard)[0] if Pattern(heard).literal else heard  # a version is no part of a recorded name
    if isinstance(heard, Contract):
        return heard.name
    contract = contract_of(heard) if isinstance(heard, type) else None
    if contract is None:
        raise ConfigurationError(f"{heard!r} is no event: give a name, a pattern, an @event class or a Contract")
    return contract.name
