"""What everything that uses one server has in common."""

from tidings.brokers.channels import Channels
from tidings.brokers.nats.letters import Letters
from tidings.brokers.nats.messages import Reading
from tidings.brokers.nats.names import Names
from tidings.brokers.nats.settings import Settings
from tidings.brokers.nats.streams import Streams
from tidings.brokers.nats.wire import Wire


class Carrier:
    """The connection to it, and what is known of it."""

    def __init__(self, settings: Settings, channels: Channels) -> None:
        self.settings = settings
        self.channels = channels
        self.wire = Wire(settings)
        self.names = Names(settings.prefix)
        self.streams = Streams(self.wire, self.names)
        self.letters = Letters(self.wire, self.names)
        self.reading = Reading(settings.shown, channels)
