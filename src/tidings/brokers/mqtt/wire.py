"""Events as MQTT's messages, in the binding of CloudEvents: attributes as user properties, data as the payload."""

import re
from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tidings.brokers.binding import Binding, payload
from tidings.brokers.channels import PARTITIONS, Channels, partition_of
from tidings.brokers.foreign import Foreign, Message
from tidings.brokers.interface import Arrival
from tidings.brokers.mqtt.names import channel_of, topic_of
from tidings.brokers.mqtt.settings import Settings
from tidings.errors import EventRefused, InvalidEvent
from tidings.events import Event, new_id

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

_LONGEST: Final = 65_535  # bytes of a topic, and of one user property
_ATTRIBUTE: Final = re.compile(r"[a-z0-9]+")
_STRUCTURED: Final = "application/cloudevents"


class Outgoing(msgspec.Struct, gc=False):
    """A message on its way to the server."""

    topic: str
    payload: bytes
    properties: dict[str, Any] = {}
    retain: bool = False
    event_id: str = ""


class Wire:
    """Writes and reads the messages of one broker."""

    def __init__(self, settings: Settings, channels: Channels) -> None:
        self._settings = settings
        self._channels = channels
        self._binding = Binding("")
        self._foreign = Foreign(settings.url, channels.decoders)

    def outgoing(self, event: Event) -> Outgoing:
        """The event as a message.

        Raises:
            InvalidEvent: its data cannot be written, or an attribute has what text may not have.
            EventRefused: its name or key, or an attribute, is longer than MQTT's headers can be.
        """
        headers = self._binding.headers(event)
        if not all(map(str.isprintable, headers.values())):
            event.checked()  # a server ends the connection of who sends it a control character
        retain = self._settings.retained.matches(event.type)
        key = (event.key or event.stream or "") if retain else None
        partition = partition_of(event.delivery_key, PARTITIONS)
        topic = topic_of(self._settings.prefix, self._channels.of(event.type), partition, event.type, key)
        if len(topic) > _LONGEST or any(len(each) > _LONGEST // 4 and _is_long(each) for each in headers.values()):
            raise EventRefused(event.id, f"its topic or an attribute has more than {_LONGEST} bytes")
        properties = {"UserProperty": list(headers.items()), "ContentType": event.content_type}
        return Outgoing(topic, payload(event), properties, retain, event.id)

    def arrival(self, message: "MQTTMessage", ticket: Any) -> Arrival:
        """The message as an arrival; what cannot be read has a `failure`."""
        said: Any = message.properties
        pairs: list[tuple[str, str]] = getattr(said, "UserProperty", [])
        content: str | None = getattr(said, "ContentType", None)
        data, failure = bytes(message.payload), None
        if any(name == "specversion" for name, _ in pairs) and not (content or "").startswith(_STRUCTURED):
            try:
                return Arrival(self._event(pairs, data, content), ticket)
            except InvalidEvent as error:
                failure = error
        seen = self._foreign_message(message.topic, data, content, dict(pairs))
        return self._foreign.arrival(seen, ticket, 1, failure)

    def _event(self, pairs: Iterable[tuple[str, str]], data: bytes, content: str | None) -> Event:
        try:
            return self._binding.event(pairs, data, content)
        except InvalidEvent:  # a property that is no attribute, as this binding's have no prefix to know them by
            return self._binding.event([each for each in pairs if _ATTRIBUTE.fullmatch(each[0])], data, content)

    def _foreign_message(self, topic: str, data: bytes, content: str | None, headers: dict[str, str]) -> Message:
        channel = self._channel_of(topic)
        place = _place(topic, data, is_fresh=channel in self._channels.decoders)
        return Message(channel, data, place, headers, None, content)

    def _channel_of(self, topic: str) -> str:
        """The longest name with a decoder that the topic lies below, else its first level."""
        prefix = self._settings.prefix
        levels = topic.removeprefix(prefix) + "/"
        found = [each for each in self._channels.decoders if levels.startswith(f"{each}/")]
        return max(found, key=len, default=channel_of(prefix, topic))


def _place(topic: str, data: bytes, *, is_fresh: bool) -> str:
    """MQTT gives a message no name. The same bytes on a topic are one unreadable message however often they come, but
    two measurements: there, what is received again is another event, unless its decoder gives it an id of its own.
    """
    return f"{topic}/{new_id() if is_fresh else sha256(data).hexdigest()[:32]}"


def _is_long(text: str) -> bool:
    return len(text.encode()) > _LONGEST
