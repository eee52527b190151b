"""Events as Kafka's messages, in the binding of CloudEvents: attributes in headers `ce_…`, data as the value.

The record's key is the event's, by which its producer chooses the partition. A dead letter is the message it was, with
headers beside its own that tell where it came from and why it was given up.
"""

import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tidings.brokers.binding import CONTENT_TYPE, Binding, payload
from tidings.brokers.foreign import Foreign, Message
from tidings.brokers.interface import Arrival
from tidings.brokers.kafka.names import channel_of
from tidings.brokers.kafka.settings import Settings
from tidings.errors import InvalidEvent
from tidings.events import Event
from tidings.events.envelope import JSON

if TYPE_CHECKING:
    import confluent_kafka

Headers = list[tuple[str, bytes]]
OWN: Final = "tidings_"  # what our own headers begin with; they are no attributes of the event
GROUP: Final = OWN + "group"
REASON: Final = OWN + "reason"
DETAIL: Final = OWN + "detail"
ATTEMPTS: Final = OWN + "attempts"
CHANNEL: Final = OWN + "channel"
PLACE: Final = OWN + "place"
KEY: Final = OWN + "key"
_PREFIX: Final = "ce_"
_STRUCTURED: Final = "application/cloudevents"
_JSON: Final = (CONTENT_TYPE, JSON.encode())


class Outgoing(msgspec.Struct, gc=False):
    """A message on its way to Kafka."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    event_id: str = ""


class Wire:
    """Writes and reads the messages of one broker."""

    def __init__(self, settings: Settings, foreign: Foreign) -> None:
        self._prefix = settings.prefix
        self._binding = Binding(_PREFIX)
        self._foreign = foreign

    def outgoing(self, event: Event, topic: str) -> Outgoing:
        """The event as a message.

        Raises:
            InvalidEvent: its data cannot be written.
        """
        headers: Headers = [(name, text.encode()) for name, text in self._binding.headers(event).items()]
        headers.append(_JSON if event.content_type == JSON else (CONTENT_TYPE, event.content_type.encode()))
        key = event.key or event.stream
        return Outgoing(topic, None if key is None else key.encode(), payload(event), headers, event.id)

    def arrival(self, message: "confluent_kafka.Message", ticket: Any = None) -> Arrival:
        """The message as an arrival; what cannot be read has a `failure`."""
        headers: Any = message.headers() or ()
        try:
            pairs: list[tuple[str, str]] = []
            content: str | None = None
            for name, said in headers:
                if name[:3] == _PREFIX:
                    pairs.append((name, said.decode()))
                elif name == CONTENT_TYPE:
                    content = said.decode()
            if pairs and not (content and content.startswith(_STRUCTURED)):
                event = self._binding.event(pairs, message.value() or b"", content)
                arrival = Arrival(event, ticket)
                if headers[-1][0][:8] == OWN:
                    arrival.attempt = attempts_in(dict(headers)) + 1
                return arrival if event.key is not None else _keyed(arrival, key_of(message))
        except (InvalidEvent, UnicodeDecodeError, AttributeError) as error:
            return self._foreign_arrival(message, ticket, error)
        return self._foreign_arrival(message, ticket, None)

    def _foreign_arrival(self, message: "confluent_kafka.Message", ticket: Any, failure: Exception | None) -> Arrival:
        said: Any = message.headers() or ()
        headers = {name: _text(value) for name, value in said}
        topic = str(message.topic())
        seen = Message(
            headers.get(CHANNEL) or channel_of(self._prefix, topic) or topic,
            message.value() or b"",
            headers.get(PLACE) or place_of(message),
            {name: text for name, text in headers.items() if not name.startswith(OWN)},
            _text(key_of(message)) or None,
            headers.get(CONTENT_TYPE),
        )
        attempt = attempts_in(headers) + 1 if ATTEMPTS in headers else 1
        return self._foreign.arrival(seen, ticket, attempt, failure)


def place_of(message: "confluent_kafka.Message") -> str:
    """Where a message lies."""
    return f"{message.topic()}/{message.partition()}/{message.offset()}"


def key_of(message: "confluent_kafka.Message") -> bytes | None:
    """The key of a record; that of a dead letter is kept in a header."""
    headers: Any = message.headers()
    if headers and headers[-1][0][:8] == OWN:
        return dict(headers).get(KEY)
    return message.key()


def attempts_in(headers: dict[str, Any]) -> int:
    """How often a message that was given up had been tried."""
    try:
        return max(int(headers.get(ATTEMPTS, 0)), 0)
    except ValueError:
        return 0


def _keyed(arrival: Arrival, key: bytes | None) -> Arrival:
    """With the record's key, where a producer told it nowhere else, and it can be one of an event."""
    with contextlib.suppress(InvalidEvent, UnicodeDecodeError):
        if key:
            arrival.event = msgspec.structs.replace(arrival.event, key=key.decode()).checked()
    return arrival


def _text(said: object) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said or "")
