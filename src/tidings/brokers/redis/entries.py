"""An event as the fields of a stream's entry, and back.

There is no CloudEvents binding for Redis; this is what Kafka's does with headers: an attribute is a field that begins
with `ce_`, beside `content-type` and `data`. What the carrier adds when it hands an event over once more begins with
`tidings-`.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from tidings.brokers.binding import CONTENT_TYPE, Binding, payload
from tidings.brokers.foreign import Foreign, Message
from tidings.brokers.interface import Arrival
from tidings.brokers.noticing import Noticing
from tidings.brokers.redis.part import Part
from tidings.events import Event

BINDING: Final = Binding("ce_")
DATA: Final = b"data"
OWN: Final = b"tidings-"
ATTEMPT: Final = b"tidings-attempt"  # how often it was handed over before
CHANNEL: Final = b"tidings-channel"  # where it came from,
PLACE: Final = b"tidings-place"  # and where it stood there: its stream, and its id in it
REASON: Final = b"tidings-reason"  # why it was given up
DETAIL: Final = b"tidings-detail"
_CONTENT_TYPE: Final = CONTENT_TYPE.encode()
_SPECVERSION: Final = b"ce_specversion"


class Ticket(msgspec.Struct, gc=False):
    """What an inbox knows an arrival by."""

    part: Part
    id: bytes  # of the entry
    fields: Sequence[bytes]  # of it, names and values in turn
    channel: str = ""  # where it came from, and where it stood there, when that was elsewhere
    place: str = ""


def fields_of(event: Event) -> list[str | bytes]:
    """Names and values in turn. The data stands last, so that a reader can take all before it for text.

    Raises:
        InvalidEvent: its data cannot be written.
    """
    fields: list[str | bytes] = []
    for pair in BINDING.headers(event).items():
        fields += pair
    fields += (CONTENT_TYPE, event.content_type, DATA, payload(event))
    return fields


class Entries:
    """Reads the entries of one connection's streams."""

    def __init__(self, foreign: Foreign) -> None:
        self._foreign = foreign
        self._noticing = Noticing(BINDING)
        self._shapes: dict[tuple[bytes, ...], tuple[str, ...] | None] = {}

    def arrivals(self, part: Part, entries: Sequence[tuple[bytes, list[bytes]]]) -> list[Arrival]:
        """Entries of a stream as arrivals; they mostly look alike, and are read together then."""
        names = entries[0][1][::2]
        shape = self._shapes.get(tuple(names))
        if shape is None or any(fields[::2] != names for _, fields in entries):
            return [self.arrival(part, id, fields) for id, fields in entries]
        values = [fields[1::2] for _, fields in entries]
        notices = self._noticing.notices(shape, values, [each.pop() for each in values])
        return [
            Arrival(notice, Ticket(part, id, fields)) if notice else self.arrival(part, id, fields)
            for notice, (id, fields) in zip(notices, entries, strict=True)
        ]

    def arrival(self, part: Part, id: bytes, fields: list[bytes], attempt: int = 1) -> Arrival:
        """An entry as an arrival."""
        names = tuple(fields[::2])
        try:
            shape = self._shapes[names]
        except KeyError:
            shape = self._shape(names)
        if shape is None:
            return self._other(part, id, fields, attempt)
        values, ticket = fields[1::2], Ticket(part, id, fields)
        data = values.pop()
        notice = self._noticing.notice(shape, values, data)
        if notice is not None:
            return Arrival(notice, ticket, attempt)
        try:
            texts = list(map(bytes.decode, values))
            event = BINDING.event(zip(shape, texts, strict=True), data, texts[-1])
            self._noticing.learn(shape, values, event)
            return Arrival(event, ticket, attempt)
        except ValueError as error:  # InvalidEvent, and bytes that are no text
            message = _message(part.channel, f"{part.key} {id.decode()}", fields)
            return self._foreign.arrival(message, ticket, attempt, error)

    def lost(self, part: Part, id: bytes, error: Exception, attempt: int) -> Arrival:
        """What stands for an entry that was removed before its group was done with it."""
        place = f"{part.key} {id.decode()}"
        return self._foreign.arrival(Message(part.channel, b"", place), Ticket(part, id, []), attempt, error)

    def event(self, part: Part, id: bytes, fields: list[bytes]) -> Event:
        """The event of an entry; what holds its bytes, when nobody can read it."""
        return self.arrival(part, id, fields).event

    def _other(self, part: Part, id: bytes, fields: list[bytes], attempt: int) -> Arrival:
        """What is not as we write it: another's message, or one that is handed over once more."""
        own = {name: value.decode(errors="replace") for name, value in _pairs(fields) if name.startswith(OWN)}
        fields = [each for pair in _pairs(fields) if not pair[0].startswith(OWN) for each in pair]
        channel, place = own.get(CHANNEL, part.channel), own.get(PLACE) or f"{part.key} {id.decode()}"
        ticket, before = Ticket(part, id, fields, channel, place), own.get(ATTEMPT, "")
        attempt += int(before) if before.isdecimal() and len(before) < 10 else 0
        message = _message(channel, place, fields)
        if _SPECVERSION not in fields[::2]:
            return self._foreign.arrival(message, ticket, attempt)
        try:
            texts = [(name.decode(), value.decode()) for name, value in _pairs(fields) if name != DATA]
            event = BINDING.event(texts, message.data, message.content_type)
            return Arrival(event, ticket, attempt)
        except ValueError as error:
            return self._foreign.arrival(message, ticket, attempt, error)

    def _shape(self, names: tuple[bytes, ...]) -> tuple[str, ...] | None:
        """The names of the headers, where all is as we write it; a few shapes come again and again."""
        is_ours = names[-2:] == (_CONTENT_TYPE, DATA) and _SPECVERSION in names
        is_plain = is_ours and all(name.startswith(b"ce_") and name.isascii() for name in names[:-2])
        shape = tuple(name.decode() for name in names[:-1]) if is_plain else None
        if len(self._shapes) < 4096:  # a bound, so that foreign entries cannot fill the memory
            self._shapes[names] = shape
        return shape


def kept_fields(ticket: Ticket, attempts: int, reason: str = "", detail: str = "") -> list[str | bytes | int]:
    """The fields of an entry that is to be handed over once more, or was given up."""
    channel, place = ticket.channel or ticket.part.channel, ticket.place or f"{ticket.part.key} {ticket.id.decode()}"
    told: tuple[bytes | str | int, ...] = (REASON, reason, DETAIL, detail) if reason else ()
    return [*ticket.fields, ATTEMPT, attempts, CHANNEL, channel, PLACE, place, *told]


def _pairs(fields: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(fields[::2], fields[1::2], strict=False))


def _message(channel: str, place: str, fields: Sequence[bytes]) -> Message:
    """An entry without `data` is what people write by hand: its fields are the data, as a JSON object."""
    found = dict(_pairs(fields))
    texts = {_text(name): _text(value) for name, value in found.items() if name != DATA}
    data = found[DATA] if DATA in found else msgspec.json.encode(texts)
    key = texts.get("ce_partitionkey") or texts.get("key")
    return Message(channel, data, place, texts, key, texts.get(CONTENT_TYPE))


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
