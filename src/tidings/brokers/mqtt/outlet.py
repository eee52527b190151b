"""`Outlet`: messages on their way to the server over one connection, as many at a time as it takes, in order."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from tidings.brokers.mqtt.dialing import properties_of
from tidings.brokers.mqtt.wire import Outgoing
from tidings.errors import BrokerError, BrokerUnreachable, EventRefused

if TYPE_CHECKING:
    from paho.mqtt.client import Client

WINDOW: Final = 1000  # messages on their way at a time, if the server takes as many
LARGEST: Final = 268_435_455  # bytes of a message, unless the server says less
_TOO_LARGE: Final = 0x95  # a reason to refuse that is the message's own
_HEAD: Final = 1000  # bytes of a message beside its topic, payload and properties, at most


class Sending:
    """Messages that somebody waits for."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answered(self, failure: BrokerError | None) -> None:
        """One of them was taken, or refused."""
        self.left -= 1
        if failure is not None:
            self.fail(failure)
        elif not self.left and not self.done.done():
            self.done.set_result(None)

    def fail(self, failure: BrokerError) -> None:
        """They will not all be taken."""
        if not self.done.done():
            self.done.set_exception(failure)
            self.done.exception()  # whoever waited may be gone


class Outlet:
    """Sends over a client of paho, and keeps the count of what is on its way: paho's own count costs more with each."""

    def __init__(self, url: str, client: "Client", paho: Any) -> None:
        self._url = url
        self._client = client
        self._paho = paho
        self._waiting: deque[tuple[Outgoing, Sending]] = deque()
        self._sent: dict[int, tuple[Outgoing, Sending]] = {}
        self.answered = 0  # in all
        self.window = WINDOW
        self.largest = LARGEST

    def put(self, messages: Sequence[Outgoing]) -> Sending:
        """Send these after what waits already.

        Raises:
            EventRefused: one is larger than the server takes.
        """
        for message in messages:
            if len(message.payload) + len(message.topic) + _HEAD > self.largest:
                raise EventRefused(message.event_id, f"the server takes messages of {self.largest} bytes")
        sending = Sending(len(messages))
        self._waiting.extend((message, sending) for message in messages)
        self.pump()
        return sending

    def pump(self) -> None:
        """Send what there is room for."""
        while self._waiting and len(self._sent) < self.window:
            message, sending = self._waiting.popleft()
            if sending.done.done():
                continue  # one of them failed, or nobody waits any more
            properties = properties_of(self._paho, "PUBLISH", message.properties)
            mid = self._client.publish(message.topic, message.payload, 1, message.retain, properties).mid
            self._sent[mid] = message, sending

    def answer(self, mid: int, reason: Any) -> None:
        """The server has acknowledged a message, or refused it."""
        self.answered += 1
        message, sending = self._sent.pop(mid)
        failure: BrokerError | None = None
        if reason.is_failure:
            said = f"{self._url} refused event {message.event_id!r}: {reason}"
            failure = EventRefused(message.event_id, str(reason)) if reason.value == _TOO_LARGE else BrokerError(said)
        sending.answered(failure)

    def fail(self, failure: BrokerUnreachable) -> None:
        """The connection is lost, and whoever waits is told."""
        for _, sending in (*self._waiting, *self._sent.values()):
            sending.fail(failure)
        self._waiting.clear()
        self._sent.clear()
