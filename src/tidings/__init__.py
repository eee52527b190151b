"""tidings: event-driven applications in Python, from an emitter in one process to brokers between many machines."""

from tidings.app import App
from tidings.brokers import Broker
from tidings.errors import Reject, TidingsError
from tidings.events import Contract, Event, contract, event, upcast
from tidings.handling import Delivery, Retry
from tidings.log import Log, Transaction

__version__ = "0.1.0"

__all__ = [
    "App",
    "Broker",
    "Contract",
    "Delivery",
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
