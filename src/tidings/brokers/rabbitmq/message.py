"""Events as AMQP messages: attributes in headers beginning with `cloudEvents:`, the data as the body, and back.

Those that begin with `cloudEvents_` or `ce-` are read, too: other programs write them. What tidings adds for itself
begins with `tidings-` and is no part of the event.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import msgspec

from tidings.brokers.binding import Binding, payload
from tidings.brokers.foreign import Foreign, Message
from tidings.brokers.interface import Arrival, DeadLetter
from tidings.brokers.rabbitmq.channels import Parcel
from tidings.brokers.rabbitmq.frames import UNDECODED
from tidings.brokers.rabbitmq.library import Properties, encode_table_value
from tidings.brokers.rabbitmq.names import channel_of
from tidings.errors import EventRefused, InvalidEvent
from tidings.events import Event, new_id

QUEUE: Final = "tidings-queue"  # where a message belongs that takes a way round
DUE: Final = "tidings-due"  # when it is to be handed over, in milliseconds since 1970
ATTEMPT: Final = "tidings-attempt"  # how many times it was, before it took the way round
KEY: Final = "tidings-routing-key"  # what it was published with
LETTER: Final = "tidings-letter"  # what a dead letter is known by
GROUP: Final = "tidings-group"
STEP: Final = "tidings-step"
_PLACE: Final = "tidings-place"
_REASON: Final = "tidings-reason"
_DETAIL: Final = "tidings-detail"
_OURS: Final = ("tidings-", "x-")
_MOST_DETAIL: Final = 20_000  # characters, as all headers together have to fit into one frame of 128 KiB
_FEWEST: Final = 500
_LASTING: Final = 2
_LONGEST: Final = 255  # bytes of a content type
_BINDING: Final = Binding("cloudEvents:")
_OTHERS: Final = (Binding("cloudEvents_"), Binding("ce-"))


class Received(msgspec.Struct, gc=False):
    """A message as it was delivered: what an arrival is known by."""

    tag: int  # the how manyth of its channel
    routing_key: str
    headers: Mapping[str, Any]
    content_type: str | None
    body: bytes
    message_id: str | None = None  # what its producer knows it by, if it says so
    reader: Any = None  # whose channel that is
    place: str = ""  # what makes the same event of it when it comes again

    @property
    def attempt(self) -> int:
        """The how manyth time it is handed over. What was delivered to who left or died is no attempt: RabbitMQ counts
        that, but also what was fetched ahead and never looked at."""
        return _number(self.headers.get(ATTEMPT)) + 1

    @property
    def due(self) -> float | None:
        """When it is to be handed over, if that was said."""
        said = self.headers.get(DUE)
        return said / 1000 if isinstance(said, int) else None


class Messages:
    """Makes messages of events and events of messages, for one connection."""

    def __init__(self, foreign: Foreign, max_size: int) -> None:
        self._foreign = foreign
        self._max_size = max_size

    def parcel(self, event: Event, exchange: str, routing_key: str) -> Parcel:
        """An event, to be published.

        Raises:
            InvalidEvent: its data cannot be written.
            EventRefused: it is too large.
        """
        headers, body, kind = _BINDING.headers(event), payload(event), event.content_type
        if len(body) > self._max_size:
            raise EventRefused(event.id, f"it has {len(body)} bytes, and max_size={self._max_size} is allowed")
        if len(kind) * 4 > _LONGEST:
            headers["cloudEvents:datacontenttype"], kind = kind, ""
        properties = Properties(content_type=kind or None, delivery_mode=_LASTING, headers=headers)  # type: ignore[arg-type]  # a dict of text is one of values
        return Parcel(routing_key, properties, body, event.id, exchange)

    def arrival(self, received: Received) -> Arrival:
        """What a message says; whatever it is, that is an arrival."""
        headers = received.headers
        failure: Exception | None = None
        if UNDECODED in headers:
            return self._other(received, InvalidEvent("", f"its headers cannot be decoded ({headers[UNDECODED]})"))
        try:
            if "cloudEvents:specversion" in headers:
                event = _BINDING.event(headers.items(), received.body, received.content_type)
                return Arrival(event, received, received.attempt)
        except Exception as error:
            failure = error
        return self._other(received, failure)

    def _other(self, received: Received, failure: Exception | None) -> Arrival:
        plain = {name: _plain(name, value) for name, value in received.headers.items()}
        for binding in (_BINDING, *_OTHERS):
            if binding.is_event(plain):
                try:
                    event = binding.event(plain.items(), received.body, received.content_type)
                    return Arrival(event, received, received.attempt)
                except Exception as error:
                    failure = error
        arrival = self._foreign.arrival(_message(received, plain), received, received.attempt, failure)
        if arrival.failure is None or received.message_id:
            return arrival
        # Nobody can tell two copies of it apart, so they may be one. Of what can be read, each has to be another event.
        received.place = f"{received.routing_key} {sha256(received.body).hexdigest()}"
        return self._foreign.arrival(_message(received, plain), received, received.attempt, failure)

    def letter(self, group: str, received: Received) -> DeadLetter:
        """A message among the dead letters of a group."""
        return DeadLetter(
            group,
            self.arrival(received).event,
            said_of(received, _REASON),
            said_of(received, _DETAIL),
            _number(received.headers.get(ATTEMPT)),
            said_of(received, LETTER),
        )


def later(received: Received, exchange: str, queue: str, group: str, due: float, step: int, attempt: int) -> Parcel:
    """A message on the way round: it comes to `queue` after `step` milliseconds."""
    headers = {DUE: round(due * 1000), ATTEMPT: attempt, GROUP: group, STEP: step}
    return _again(received, exchange, queue, headers | _origin(received))


def given_up(
    received: Received, dead: str, queue: str, attempts: int, reason: str, detail: str, *, bare: bool = False
) -> Parcel:
    """A message as a dead letter; `bare` without the headers that it came with, and with fewer words."""
    most = _FEWEST if bare else _MOST_DETAIL
    headers = {QUEUE: queue, ATTEMPT: attempts, LETTER: new_id()}
    headers |= {_REASON: reason[:most], _DETAIL: detail[-most:]}
    return _again(received, "", dead, headers | _origin(received), bare=bare)


def handed_back(received: Received) -> Parcel:
    """A dead letter as a message of its group."""
    return _again(received, "", said_of(received, QUEUE), _origin(received))


def said_of(received: Received, name: str) -> str:
    """A header of tidings' own; empty where there is none."""
    said = received.headers.get(name)
    return said if isinstance(said, str) else ""


def _again(received: Received, exchange: str, routing_key: str, ours: dict[str, Any], *, bare: bool = False) -> Parcel:
    theirs = {} if bare else received.headers
    headers = {name: _writable(value) for name, value in theirs.items() if not name.startswith(_OURS)} | ours
    kind, id = received.content_type, received.message_id
    properties = Properties(content_type=kind, delivery_mode=_LASTING, headers=headers, message_id=id)
    return Parcel(routing_key, properties, received.body, "", exchange, mandatory=True)


def _writable(value: Any) -> Any:
    """A header's value as the client library writes it: it reads some that it does not."""
    value = bytearray(value) if isinstance(value, bytes) else value
    try:
        encode_table_value(value)
    except Exception:  # whatever that says
        return str(value)
    return value


def _origin(received: Received) -> dict[str, Any]:
    said = {KEY: said_of(received, KEY) or received.routing_key}
    place = received.place or said_of(received, _PLACE)
    return said | ({_PLACE: place} if place else {})


def _message(received: Received, headers: Mapping[str, str]) -> Message:
    """A message for a decoder. RabbitMQ numbers nothing: only with a `message_id` it is known when it comes again."""
    place = received.place or said_of(received, _PLACE)
    received.place = place or (f"message_id {received.message_id}" if received.message_id else new_id())
    return Message(
        channel_of(said_of(received, KEY) or received.routing_key),
        received.body,
        received.place,
        {name: value for name, value in headers.items() if not name.startswith(_OURS)},
        None,
        received.content_type,
    )


def _plain(name: str, value: Any) -> str:
    """A header of another program as text: RabbitMQ has types for numbers, times and bytes."""
    if name.endswith("time") and isinstance(value, int) and not isinstance(value, bool):
        value = datetime.fromtimestamp(value / 1000, UTC)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    return value.decode(errors="replace") if isinstance(value, bytes | bytearray) else str(value)


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
