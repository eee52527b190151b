"""Floor 3. Carriers between services, one file each behind `interface.py`. Imports log and events."""

from tidings.brokers.connect import connect
from tidings.brokers.interface import Broker, Capabilities, Inbox

__all__ = ["Broker", "Capabilities", "Inbox", "connect"]
