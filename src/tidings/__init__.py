"""tidings: event-driven applications in Python, from an emitter in one process to brokers between many machines.

The names below are loaded when they are first used: who wants an emitter does not wait for the rest.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from tidings.app import App
    from tidings.brokers import Broker
    from tidings.emitter import Emitter
    from tidings.errors import Reject, TidingsError
    from tidings.events import Contract, Event, contract, event, upcast
    from tidings.handling import Alerts, Delivery, Retry
    from tidings.log import Log, Transaction

__version__ = "0.1.0"

__all__ = [
    "Alerts",
    "App",
    "Broker",
    "Contract",
    "Delivery",
    "Emitter",
    "Event",
    "Log",
    "Reject",
    "Retry",
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
    "tidings.errors": ("Reject", "TidingsError"),
    "tidings.events": ("Contract", "Event", "contract", "event", "upcast"),
    "tidings.handling": ("Alerts", "Delivery", "Retry"),
    "tidings.log": ("Log", "Transaction"),
}


def __getattr__(name: str) -> typing.Any:
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(importlib.import_module(home), name)
            return value
    raise AttributeError(f"module 'tidings' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
