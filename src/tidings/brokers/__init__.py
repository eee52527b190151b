"""Floor 3. Imports the log and what lies below it.

What carries events between services: one file a broker, behind one interface.
"""

from tidings.brokers.channels import Channels
from tidings.brokers.connect import connect
from tidings.brokers.interface import (
    Arrival,
    Broker,
    Capabilities,
    DeadLetter,
    Difference,
    Inbox,
    Standing,
    Wanted,
)

__all__ = [
    "Arrival",
    "Broker",
    "Capabilities",
    "Channels",
    "DeadLetter",
    "Difference",
    "Inbox",
    "Standing",
    "Wanted",
    "connect",
]
