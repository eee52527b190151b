"""Events as Kafka's messages, in the binding of CloudEvents: attributes in headers `ce_…`, data as the value.

The record's key is the event's, by which its producer chooses the partition. A dead letter is the message it was, with
headers beside its own that tell where it came from and why it was given up.
"""

import contextlib
from collections.abc import Sequence
from typing import Final

import msgspec

from tidings.brokers.binding import CONTENT_TYPE, Binding, payload
from tidings.brokers.foreign import Foreign, Message
from tidings.brokers.interface import Arrival
from tidings.brokers.kafka.names import channel_of
from tidings.brokers.kafka.received import Received
from tidings.brokers.kafka.settings import Settings
from tidings.brokers.noticing import Noticing
from tidings.errors import InvalidEvent
from tidings.events import Event

Headers = Sequence[tuple[str, str | bytes]]  # the client writes text down itself, up to a NUL; events have none
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
        self._noticing = Noticing(self._binding)
        self._foreign = foreign

    def outgoing(self, event: Event, topic: str) -> Outgoing:
        """The event as a message.

        Raises:
            InvalidEvent: its data cannot be written.
        """
        headers = [*self._binding.headers(event).items(), (CONTENT_TYPE, event.content_type)]
        key = event.key or event.stream
        return Outgoing(topic, None if key is None else key.encode(), payload(event), headers, event.id)

    def arrivals(self, received: Sequence[Received]) -> list[Arrival]:
        """Messages as arrivals; those of a channel mostly look alike, and are read together then."""
        names = received[0].names if received else ()
        if any(it.names is not names and it.names != names for it in received):
            return list(map(self.arrival, received))
        notices = self._noticing.notices(names, [it.values for it in received], [it.value for it in received])
        return [
            Arrival(notice, it) if notice and (notice.key is not None or it.key is None) else self.arrival(it)
            for notice, it in zip(notices, received, strict=True)
        ]

    def arrival(self, received: Received) -> Arrival:
        """The message as an arrival, with it as its ticket; what cannot be read has a `failure`."""
        names, values = received.names, received.values
        notice = self._noticing.notice(names, values, received.value)
        if notice is not None and (notice.key is not None or received.key is None):
            return Arrival(notice, received)
        try:
            said = {name: value.decode() for name, value in zip(names, values, strict=True) if name[:3] == _PREFIX}
            content = dict(zip(names, values, strict=True)).get(CONTENT_TYPE, b"").decode()
            if said and not content.startswith(_STRUCTURED):
                event = self._binding.event(said.items(), received.value, content or None)
                if not _is_letter(received):  # each of those says how often it was tried
                    self._noticing.learn(names, values, event)
                return Arrival(_keyed(event, key_of(received)), received, attempts_in(received) + 1)
        except (InvalidEvent, UnicodeDecodeError, AttributeError) as error:
            return self._foreign_arrival(received, error)
        return self._foreign_arrival(received, None)

    def _foreign_arrival(self, received: Received, failure: Exception | None) -> Arrival:
        topic, headers = received.topic, {name: _text(value) for name, value in received.headers}
        seen = Message(
            headers.get(CHANNEL) or channel_of(self._prefix, topic) or topic,
            received.value,
            headers.get(PLACE) or received.place,
            {name: text for name, text in headers.items() if not name.startswith(OWN)},
            _text(key_of(received)) or None,
            headers.get(CONTENT_TYPE),
        )
        return self._foreign.arrival(seen, received, attempts_in(received) + 1, failure)


def key_of(received: Received) -> bytes | None:
    """The key of a record; that of a dead letter is kept in a header."""
    return dict(received.headers).get(KEY) if _is_letter(received) else received.key


def attempts_in(received: Received) -> int:
    """How often a message that was given up had been tried."""
    if not _is_letter(received):
        return 0
    try:
        return max(int(dict(received.headers).get(ATTEMPTS, 0)), 0)
    except ValueError:
        return 0


def _is_letter(received: Received) -> bool:
    return bool(received.names) and received.names[-1].startswith(OWN)


def _keyed(event: Event, key: bytes | None) -> Event:
    """With the record's key, where a producer told it nowhere else, and it can be one of an event."""
    if event.key is None and key:
        with contextlib.suppress(InvalidEvent, UnicodeDecodeError):
            return msgspec.structs.replace(event, key=key.decode()).checked()
    return event


def _text(said: bytes | None) -> str:
    return (said or b"").decode(errors="replace")
