"""What a handler's signature asks for, read once when it is registered.

The first parameter is the event: its data as the contract's type when annotated with one, the whole envelope when
annotated `Event`, plain data otherwise; or a list of these, for a handler that takes many at once. Further parameters
are found by annotation (`Event`, `Delivery`, `Transaction`) or by the name `tx`.
"""

import functools
import inspect
import operator
import typing
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from tidings.errors import ConfigurationError
from tidings.events import Event, contract_of
from tidings.handling.delivery import Delivery, Item, event_of
from tidings.log import Transaction

Handler = Callable[..., Any]
Want = Literal["data", "event", "delivery", "tx"]
_value_of: Callable[[Item], Any] = operator.attrgetter("value")


class Form(msgspec.Struct, frozen=True):
    """A handler, and how to call it."""

    handler: Handler
    is_async: bool
    wants: tuple[Want, ...]
    data_type: Any  # the first parameter's annotation, when it is a contract's type
    returns_events: bool  # as far as the annotation tells
    returned: tuple[type, ...] = ()  # the contracts' types in that annotation
    takes_list: bool = False  # is its first parameter a list of events?

    @property
    def uses_tx(self) -> bool:
        """Does it write in the log's own transaction?"""
        return "tx" in self.wants

    @property
    def timeout(self) -> float:
        """Seconds for one call, unless its policy says otherwise: few where everybody waits for the handler to end."""
        return 0.25 if self.uses_tx and not self.is_async else 60.0

    @property
    def is_plain(self) -> bool:
        """Is data all it takes?"""
        return self.wants == ("data",)

    @property
    def of_value(self) -> Handler | None:
        """The handler itself, where it takes one event's data alone: called without a detour, as most are."""
        return self.handler if self.is_plain and not self.takes_list else None

    def caller(self, group: str) -> Callable[[Any, Any], Any]:
        """`call(item, tx)`: the handler with the arguments it asked for; `call(items, tx)` when it takes a list."""
        handler = self.handler
        if self.takes_list:
            one = event_of if self.wants[0] == "event" else _value_of
            if self.uses_tx:
                return lambda items, tx: handler(list(map(one, items)), tx)
            return lambda items, tx: handler(list(map(one, items)))
        if self.is_plain:
            return lambda item, tx: handler(item.value)
        if self.wants == ("data", "tx"):
            return lambda item, tx: handler(item.value, tx)
        wants = self.wants

        def call(item: Item, tx: Any) -> Any:
            event = event_of(item)
            offered = {
                "data": item.value,
                "event": event,
                "delivery": Delivery(event, group, item.attempts + 1),
                "tx": tx,
            }
            return handler(*[offered[want] for want in wants])

        return call


def form_of(handler: Handler, *, may_take_nothing: bool = False) -> Form:
    """Read a handler's signature.

    Raises:
        ConfigurationError: it asks for something that cannot be given, and what can be.
    """
    if not callable(handler):
        raise ConfigurationError(f"{handler!r} is no handler: give a function that takes an event")
    name = getattr(handler, "__qualname__", repr(handler))
    function = _function_of(handler)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(f"handler {name} yields: let it return a list of its events")
    try:
        hints = typing.get_type_hints(function)
        needed = [each for each in inspect.signature(handler).parameters.values() if _is_needed(each)]
    except (NameError, TypeError, ValueError) as error:
        raise ConfigurationError(f"the signature of handler {name} cannot be read: {error}") from error
    if not needed and not may_take_nothing:
        raise ConfigurationError(f"handler {name} takes no parameter: its first one is the event")
    first, takes_list = _one_of(hints.get(needed[0].name)) if needed else (None, False)
    hints |= {needed[0].name: first} if needed else {}
    wants = tuple(_want(index, each, hints.get(each.name), name) for index, each in enumerate(needed))
    if takes_list and set(wants) - {"data", "event", "tx"} | set(wants[1:]) - {"tx"}:
        raise ConfigurationError(
            f"handler {name} takes a list of events: beside it there may be the transaction, as 'tx'"
        )
    returns = hints.get("return", Any)
    return Form(
        handler,
        inspect.iscoroutinefunction(function),
        wants,
        first if isinstance(first, type) and contract_of(first) is not None else None,
        returns is not type(None),
        _contracts_in(returns),
        takes_list,
    )


def _function_of(handler: Handler) -> Any:
    """Where a handler's code and annotations are: behind a partial, and behind an object that can be called."""
    if isinstance(handler, functools.partial):
        return _function_of(handler.func)
    return handler if inspect.isroutine(handler) else type(handler).__call__


def _one_of(annotation: Any) -> tuple[Any, bool]:
    """What one event is, of the first parameter's annotation; and whether a list of such is asked for."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is not list or len(arguments) != 1:
        return annotation, False
    one = arguments[0]
    is_event = one is Event or one is dict or typing.get_origin(one) is dict
    if is_event or (isinstance(one, type) and contract_of(one) is not None):
        return one, True
    return annotation, False


def _contracts_in(annotation: Any) -> tuple[type, ...]:
    """The contracts' types in an annotation: itself, or in a union or list of such."""
    if isinstance(annotation, type) and contract_of(annotation) is not None:
        return (annotation,)
    return tuple(found for each in typing.get_args(annotation) for found in _contracts_in(each))


def _is_needed(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    )


def _want(index: int, parameter: inspect.Parameter, annotation: Any, handler: str) -> Want:
    if parameter.kind is parameter.KEYWORD_ONLY:
        raise ConfigurationError(f"handler {handler} takes {parameter.name!r} by keyword only: give it a default")
    if annotation is Event:
        return "event"
    if annotation is Delivery:
        return "delivery"
    if annotation is Transaction or parameter.name == "tx":
        return "tx"
    if index == 0:
        return "data"
    raise ConfigurationError(
        f"handler {handler} asks for {parameter.name!r}, which nobody gives: after the event it may take an Event, a"
        " Delivery, or the transaction as 'tx'; give other parameters a default"
    )
