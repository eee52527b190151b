"""tidings: event-driven applications in Python, from an emitter in one process to brokers between many machines.

The names below are loaded when they are first used: who wants an emitter does not wait for the rest.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from tidings.app import App
    from tidings.brokers import Broker
    from tidings.emitter import Emitter
    from tidings.errors import CircuitOpen, Reject, TidingsError
    from tidings.events import Contract, Event, contract, event, upcast
    from tidings.handling import (
        Alerts,
        Batch,
        Breaker,
        BreakerClosed,
        BreakerOpened,
        CircuitBreaker,
        Debounce,
        Delivery,
        EventsDead,
        GroupCaughtUp,
        GroupLagging,
        GroupOrphaned,
        GroupPaused,
        Later,
        Rate,
        Retry,
        Throttle,
        Tick,
    )
    from tidings.log import Log, Retain, Transaction

__version__ = "0.1.0"

__all__ = [
    "Alerts",
    "App",
    "Batch",
    "Breaker",
    "BreakerClosed",
    "BreakerOpened",
    "Broker",
    "CircuitBreaker",
    "CircuitOpen",
    "Contract",
    "Debounce",
    "Delivery",
    "Emitter",
    "Event",
    "EventsDead",
    "GroupCaughtUp",
    "GroupLagging",
    "GroupOrphaned",
    "GroupPaused",
    "Later",
    "Log",
    "Rate",
    "Reject",
    "Retain",
    "Retry",
    "Throttle",
    "Tick",
    "TidingsError",
    "Transaction",
    "__version__",
    "contract",
    "event",
    "upcast",
]

_HOMES = {
    "tidings.app": ("App",),
    "tidings.brokers": ("Broker",),
    "tidings.emitter": ("Emitter",),
    "tidings.errors": ("CircuitOpen", "Reject", "TidingsError"),
    "tidings.events": ("Contract", "Event", "contract", "event", "upcast"),
    "tidings.handling": (
        "Alerts",
        "Batch",
        "Breaker",
        "BreakerClosed",
        "BreakerOpened",
        "CircuitBreaker",
        "Debounce",
        "Delivery",
        "EventsDead",
        "GroupCaughtUp",
        "GroupLagging",
        "GroupOrphaned",
        "GroupPaused",
        "Later",
        "Rate",
        "Retry",
        "Throttle",
        "Tick",
    ),
    "tidings.log": ("Log", "Retain", "Transaction"),
}


def __getattr__(name: str) -> typing.Any:
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(importlib.import_module(home), name)
            return value
    raise AttributeError(f"module 'tidings' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
