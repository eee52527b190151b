"""`Listening`: hearing without a group, over a session that ends with its connection."""

from tidings.brokers.mqtt.dialing import Life
from tidings.brokers.mqtt.inbox import MqttInbox
from tidings.brokers.mqtt.part import Hearing, Part
from tidings.brokers.mqtt.settings import Settings
from tidings.errors import BrokerUnreachable


class Listening:
    """All partitions in one session of its own, from `join` to `leave`."""

    def __init__(self, settings: Settings, name: str, hearing: Hearing, inbox: MqttInbox, prefetch: int) -> None:
        self._settings = settings
        self._hearing = hearing
        self._inbox = inbox
        self._part = Part(settings, Life(name, prefetch=prefetch), inbox.take, self._lose)

    async def join(self) -> None:
        """Returns when all that is published from now on will be heard.

        Raises:
            BrokerError: the server did not do its part in time.
        """
        await self._part.open()
        await self._part.hear(self._hearing)

    async def leave(self) -> None:
        """Hear nothing more."""
        await self._part.leave()

    def cut(self) -> None:
        """End as if the process had ended."""
        self._part.cut()
        self._inbox.fail(BrokerUnreachable(self._settings.url, "the connection was closed here"))

    def _lose(self, part: Part, failure: BrokerUnreachable) -> None:
        self._inbox.fail(failure)
