"""What others put on a channel: messages that are no CloudEvents in the headers of their carrier's binding."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from tidings.brokers.binding import payload
from tidings.brokers.interface import Arrival
from tidings.errors import InvalidEvent
from tidings.events import Event, derived_id, from_cloudevent
from tidings.events.documents import parse
from tidings.events.envelope import JSON, is_json

UNREADABLE: Final = "tidings:unreadable"  # the name of what holds a message that nobody could read
STRUCTURED: Final = "application/cloudevents+json"
_OCTETS: Final = "application/octet-stream"
_HEADERS: Final = "messageheaders"  # of such a message, in pieces,
_KEY: Final = "messagekey"  # and its key and content type
_PIECE: Final = 4000  # characters; a header of an event has 4096 at most
_MOST_PIECES: Final = 16


class Message(msgspec.Struct, frozen=True):
    """A message as it came from a carrier."""

    channel: str
    data: bytes
    place: str  # where it lies in the carrier: the same each time it comes
    headers: Mapping[str, str] = {}
    key: str | None = None
    content_type: str | None = None


Decode = Callable[[Message], Event]


class Foreign:
    """Reads the messages of one carrier that are not in its binding, with the decoders declared for its channels."""

    def __init__(self, url: str, decoders: Mapping[str, Decode]) -> None:
        self._url = url
        self._decoders = decoders

    def arrival(self, message: Message, ticket: Any, attempt: int = 1, failure: Exception | None = None) -> Arrival:
        """It as an arrival: a structured CloudEvent, what the channel's decoder makes of it, or unreadable.

        `failure` is what is wrong with it, where it had been meant to be an event of the carrier's binding.
        """
        try:
            if failure is not None:
                raise failure
            return Arrival(self._read(message), ticket, attempt)
        except Exception as error:  # a decoder is a user's code
            return Arrival(unreadable(self._url, message, error), ticket, attempt, error)

    def _read(self, message: Message) -> Event:
        if (message.content_type or "").partition(";")[0].strip().lower() == STRUCTURED:
            return from_cloudevent(message.data, raw=True)
        decode = self._decoders.get(message.channel)
        if decode is not None:
            event = decode(message).checked()
            return msgspec.structs.replace(event, data=msgspec.Raw(payload(event))) if _is_json(event) else event
        if message.data[:1] == b"{" and b'"specversion"' in message.data:
            return from_cloudevent(message.data, raw=True)
        told = f"channel {message.channel!r} has a message that is no CloudEvent: declare a decoder for the channel"
        raise InvalidEvent("", told)


def json_decoder(type: str, *, source: str = "foreign", key: str | None = None) -> Decode:
    """A decoder for plain JSON: each message becomes an event of this `type`.

    Its id comes from where the message lies, so that the same message is the same event; `key` names the member of the
    JSON object that keeps order, where the message has no key of its own.
    """

    def decode(message: Message) -> Event:
        data = parse(message.data)
        found = data.get(key) if key is not None and isinstance(data, dict) else None
        ordered = message.key if found is None else str(found)
        id = derived_id(message.place, source, type)
        return Event(id=id, source=source, type=type, data=msgspec.Raw(message.data), key=ordered)

    return decode


def unreadable(url: str, message: Message, error: Exception) -> Event:
    """What holds a message that nobody could read: its bytes, and in headers what stood beside them."""
    return Event(
        id=derived_id(message.place, url, UNREADABLE),
        source="tidings",
        type=UNREADABLE,
        data=message.data,
        content_type=_OCTETS,
        subject=message.channel,
        headers={
            "reason": _plain(f"{type(error).__name__}: {error}"),
            "place": _plain(message.place),
            "carrier": _plain(url),
            **_beside(message),
        },
    )


def message_in(event: Event) -> Message:
    """The message of which `unreadable` made this event; of very many headers, those that could be kept."""
    said = {name: str(value) for name, value in event.headers.items()}
    pieces = [said[name] for name in sorted(said) if name.startswith(_HEADERS)]
    key, *kind = msgspec.json.decode(said.get(_KEY, "[null,null]"), type=list[str | None])
    return Message(
        event.subject or "",
        bytes(event.data),
        said.get("place", ""),
        msgspec.json.decode("".join(pieces) or "{}", type=dict[str, str]),
        key,
        kind[0] if kind else None,
    )


def _beside(message: Message) -> dict[str, str]:
    """Its headers, key and content type, as an event can have them: none too long, and of plain characters."""
    kept: dict[str, str] = {}
    left = _PIECE * _MOST_PIECES
    for name, value in message.headers.items():
        left -= len(json.dumps({name: value}))
        if left >= 0:
            kept[name] = value
    text, said = json.dumps(kept), json.dumps([message.key, message.content_type])
    pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)] if kept else []
    beside = {f"{_HEADERS}{number:02}": piece for number, piece in enumerate(pieces)}
    return beside if len(said) > _PIECE or said == "[null, null]" else {**beside, _KEY: said}


def _is_json(event: Event) -> bool:
    return event.content_type == JSON or is_json(event.content_type)


def _plain(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)[:1000]
