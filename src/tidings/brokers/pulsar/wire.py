"""Events as Pulsar's messages: attributes in properties `ce_…`, data as the payload.

CloudEvents has no binding for Pulsar; this is the one of Kafka, with properties in place of headers. A message's key is
the event's delivery key, by which subscriptions share out events and partitions are chosen.
"""

import contextlib
from typing import Any, Final

import msgspec

from tidings.brokers.binding import CONTENT_TYPE, Binding, payload
from tidings.brokers.foreign import Foreign, Message
from tidings.brokers.interface import Arrival
from tidings.brokers.pulsar.names import channel_of
from tidings.brokers.pulsar.settings import Settings
from tidings.errors import EventRefused, InvalidEvent
from tidings.events import Event

OWN: Final = "tidings_"  # what our own properties begin with; they are no attributes of the event
ATTEMPTS: Final = OWN + "attempts"  # how often the message had been tried before it was put here
DUE: Final = OWN + "due"  # seconds since 1970 before which it is not to be handed over
_CHANNEL: Final = OWN + "channel"
_PLACE: Final = OWN + "place"
_BINDING: Final = Binding("ce_")
_MARK: Final = "ce_specversion"
_STRUCTURED: Final = "application/cloudevents"


class Outgoing(msgspec.Struct, gc=False):
    """A message on its way to Pulsar."""

    topic: str
    key: str
    data: bytes
    properties: dict[str, str]
    event_id: str = ""
    delay: float = 0.0  # seconds


class Wire:
    """Writes and reads the messages of one broker."""

    def __init__(self, settings: Settings, foreign: Foreign) -> None:
        self._settings = settings
        self._foreign = foreign

    def outgoing(self, event: Event, topic: str) -> Outgoing:
        """The event as a message.

        Raises:
            InvalidEvent: its data cannot be written.
            EventRefused: it is too large.
        """
        properties, data = _BINDING.headers(event), payload(event)
        properties[CONTENT_TYPE] = event.content_type
        if len(data) > self._settings.max_size:
            told = f"{len(data):,} bytes, and max_size={self._settings.max_size}; publish a reference to the data"
            raise EventRefused(event.id, told)
        return Outgoing(topic, event.delivery_key, data, properties, event.id)

    def arrival(self, message: Any, ticket: Any = None) -> Arrival:
        """The message as an arrival; what cannot be read has a `failure`."""
        try:
            properties: dict[str, str] = message.properties()
            content = properties.get(CONTENT_TYPE)
            if _MARK not in properties or (content is not None and content.startswith(_STRUCTURED)):
                return self._foreign_arrival(message, ticket, None)
            arrival = Arrival(_BINDING.event(properties.items(), message.data(), content), ticket)
            if ATTEMPTS in properties:
                arrival.attempt = attempts_in(properties) + 1
        except (InvalidEvent, UnicodeDecodeError) as error:
            return self._foreign_arrival(message, ticket, error)
        return arrival if arrival.notice.key is not None else _keyed(arrival, message)

    def copied(self, message: Any, topic: str, said: dict[str, str]) -> Outgoing:
        """The message as it came, for a topic of ours, with what is `said` of it and where it was first."""
        before = properties_of(message)
        kept = {name: value for name, value in before.items() if not name.startswith(OWN)}
        origin = {
            _CHANNEL: before.get(_CHANNEL) or self._channel(message),
            _PLACE: before.get(_PLACE) or place_of(message),
        }
        return Outgoing(topic, key_of(message), message.data(), kept | origin | said, before.get("ce_id", ""))

    def _foreign_arrival(self, message: Any, ticket: Any, failure: Exception | None) -> Arrival:
        properties = properties_of(message)
        seen = Message(
            properties.get(_CHANNEL) or self._channel(message),
            message.data(),
            properties.get(_PLACE) or place_of(message),
            {name: text for name, text in properties.items() if not name.startswith(OWN)},
            key_of(message) or None,
            properties.get(CONTENT_TYPE),
        )
        attempt = attempts_in(properties) + 1 if ATTEMPTS in properties else 1
        return self._foreign.arrival(seen, ticket, attempt, failure)

    def _channel(self, message: Any) -> str:
        topic = str(message.topic_name())
        return channel_of(self._settings, topic) or topic


def place_of(message: Any) -> str:
    """Where a message lies: ids of ledgers are never given again."""
    id = message.message_id()
    return f"{message.topic_name()}/{id.ledger_id()}:{id.entry_id()}:{id.batch_index()}"


def properties_of(message: Any) -> dict[str, str]:
    """The properties of a message; none where somebody wrote what is no text."""
    try:
        return dict(message.properties())
    except UnicodeDecodeError:
        return {}


def key_of(message: Any) -> str:
    """The key of a message; none where it is no text."""
    try:
        return str(message.partition_key())
    except UnicodeDecodeError:
        return ""


def attempts_in(properties: dict[str, str]) -> int:
    """How often a message had been tried."""
    said = properties.get(ATTEMPTS, "")
    return int(said) if said.isdecimal() else 0


def _keyed(arrival: Arrival, message: Any) -> Arrival:
    """With the message's key, where a producer told it nowhere else, and it can be one of an event."""
    key = key_of(message)
    if key and key != arrival.notice.id:
        with contextlib.suppress(InvalidEvent):
            arrival.notice = msgspec.structs.replace(arrival.event, key=key).checked()
    return arrival
