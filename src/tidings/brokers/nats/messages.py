"""Events as messages of NATS, and back: the attributes in `ce-` headers, percent-encoded, as CloudEvents' binding says.

A message also has the `Nats-Msg-Id` by which the server drops what is published twice within a stream's window.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, unquote

from tidings.brokers.binding import CONTENT_TYPE, Binding, payload
from tidings.brokers.channels import Channels
from tidings.brokers.foreign import Foreign, Message
from tidings.brokers.interface import Arrival
from tidings.errors import InvalidEvent
from tidings.events import Event
from tidings.events.envelope import JSON

BINDING: Final = Binding("ce-")
ID: Final = "Nats-Msg-Id"
CHANNEL: Final = "Tidings-Channel"  # of a dead letter, and of what a group has again: where it came from,
PLACE: Final = "Tidings-Place"  # and where it lay there
_IS_EVENT: Final = re.compile(rb"\r\nce-specversion:", re.IGNORECASE)
_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9_.:/-]+")
_NAME: Final = re.compile(r"[a-z0-9]+")
_AS_IT_IS: Final = "".join(map(chr, range(0x21, 0x7F))).replace('"', "").replace("%", "")


def written(event: Event) -> tuple[bytes, bytes]:
    """Headers and data of an event's message.

    Raises:
        InvalidEvent: it cannot be written.
    """
    headers = BINDING.headers(event)
    if event.headers:
        _check_names(event)
    texts = "".join(headers.values())
    if texts.isascii() and texts.isprintable() and not (" " in texts or '"' in texts or "%" in texts):
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    else:
        lines = [f"{name}: {encoded(value)}\r\n" for name, value in headers.items()]
    kind = "application/json" if event.content_type == JSON else encoded(event.content_type)
    said = "".join(lines)
    text = f"NATS/1.0\r\n{said}ce-datacontenttype: {kind}\r\n{ID}: {_once(event.source)} {_once(event.id)}\r\n\r\n"
    return text.encode(), payload(event)


def encoded(text: str) -> str:
    """A value as a header can have it."""
    return quote(text, safe=_AS_IT_IS, errors="replace")


def header_lines(head: bytes, *, without: Iterable[str] = ()) -> bytes:
    """Headers of a message that came, for one that goes."""
    left_out = tuple(f"{name.lower()}:" for name in without)
    lines = head.decode("latin-1").split("\r\n")[1:]
    kept = [line for line in lines if line and not line.lower().startswith(left_out)]
    return "".join(f"{line}\r\n" for line in kept).encode("latin-1")


def pairs_of(head: bytes) -> list[tuple[str, str]]:
    """The headers of a message, decoded."""
    lines = head.decode(errors="replace").split("\r\n")[1:]
    pairs = [line.partition(":") for line in lines if line]
    return [(name.strip(), unquote(value.strip(), errors="replace")) for name, _, value in pairs]


class Reading:
    """Makes events of what comes."""

    def __init__(self, shown: str, channels: Channels) -> None:
        self.shown = shown
        self._foreign = Foreign(shown, channels.decoders)

    def arrival(self, head: bytes, data: bytes, channel: str, place: str, ticket: object, attempt: int) -> Arrival:
        """A message as an arrival, whatever it is."""
        failure: Exception | None = None
        if _IS_EVENT.search(head):
            try:
                return Arrival(_event(head, data), ticket, attempt)
            except (InvalidEvent, UnicodeDecodeError) as error:
                failure = error
        headers = dict(pairs_of(head))
        kind = next((value for name, value in headers.items() if name.lower() == "content-type"), None)
        if (kind or "").startswith("application/cloudevents"):
            failure = None  # its headers repeat what its data says
        message = Message(headers.pop(CHANNEL, channel), data, headers.pop(PLACE, place), headers, None, kind)
        return self._foreign.arrival(message, ticket, attempt, failure)


def _event(head: bytes, data: bytes) -> Event:
    text = head.decode()
    is_ours = text.startswith("NATS/1.0\r\nce-specversion: ") and "\r\nce-datacontenttype: " in text
    if is_ours and "%" not in text:
        return BINDING.event([line.split(": ", 1) for line in text[10:-4].split("\r\n")], data)  # type: ignore[misc]
    lines = [line.partition(":") for line in text.split("\r\n")[1:] if line]
    pairs = [(name.lower(), unquote(value.strip(), errors="strict")) for name, _, value in lines]
    said = dict(pairs)
    return BINDING.event(pairs, data, None if "ce-datacontenttype" in said else said.get(CONTENT_TYPE))


def _check_names(event: Event) -> None:
    for name in event.headers:
        if not _NAME.fullmatch(name):
            raise InvalidEvent(name, "a header's name is of a-z and 0-9", event_id=event.id)


def _once(text: str) -> str:
    return text if _PLAIN_ID.fullmatch(text) else quote(text, errors="replace")
