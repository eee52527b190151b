"""Messages read at a glance. Those of a channel look alike, and what was once found sound is not looked at again.

Messages with the same headers in the same order have one *shape*. Within it, those with the same source, type, version
and content type are of one *kind*, which is read with care when it is met first. Of any other there is only to see
whether what is its own (id, key, time ...) is plain text; where it is not, the message is read with care as well.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain
from operator import itemgetter
from typing import Any, Final, TypeVar

import msgspec

from tidings.brokers.binding import CONTENT_TYPE, ENOUGH, TYPES, Binding
from tidings.brokers.interface import Notice
from tidings.events import Event
from tidings.events.envelope import JSON
from tidings.log.record import Draft, bare_draft, draft

_ALIKE: Final = ("specversion", "source", "type", "eventversion", "datacontenttype")
_FEW: Final = 16  # messages that are looked at together where not all of many are sound
_SHAPES: Final = 256  # that are remembered, and as many kinds of each, so that foreign messages cannot fill the memory

fromisoformat = datetime.fromisoformat
Thing = TypeVar("Thing")
Values = Sequence[str] | Sequence[bytes]
Kind = tuple[str, str, int]  # source, type and version


class Noticing:
    """Reads the messages of one carrier, whose headers are text, or the bytes of text."""

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        self._last: _Shape | None = None  # which the next message is likely to have, too

    def notice(self, names: tuple[str, ...], values: Values, data: bytes) -> Notice | None:
        """What a message with these headers, its content type among them, says; None: it is to be read with care."""
        shape = self._shape(names)
        kind = None if shape is None else shape.kinds.get(shape.alike(values))
        if shape is None or kind is None:
            return None
        try:
            texts = _plain(shape.own(values))
            time = None if shape.time is None else _moment(texts[shape.time])
        except (ValueError, TypeError):
            return None
        source, type_, version = kind
        key = None if shape.key is None else texts[shape.key]
        return Notice(texts[shape.id], source, type_, version, key, data or b"null", time, values, shape)

    def notices(
        self, names: tuple[str, ...], those: Sequence[Values], data: Sequence[bytes]
    ) -> Sequence[Notice | None]:
        """The same of messages with headers of the same names, for less than half of what it costs one by one.

        One that is to be read with care may have its neighbours looked at one by one.
        """
        shape = self._shape(names) if those else None
        if shape is None:
            return [None] * len(those)
        found = shape.glance(those, data)
        return shape.glance_in_parts(those, data) if found is None else found

    def _shape(self, names: tuple[str, ...]) -> "_Shape | None":
        shape = self._last
        if shape is None or shape.of is not names:
            shape = self._last = self._shapes.get(names)
            if shape is not None:
                shape.of = names
        return shape

    def learn(self, names: tuple[str, ...], values: Values, event: Event) -> None:
        """This is the event of such a message, which was read with care: the next of its kind need not be."""
        self._last = None
        shape = self._shapes.get(names) or _remember(self._shapes, names, _Shape(names, self._binding))
        if shape.is_plain and event.content_type == JSON:
            _remember(shape.kinds, shape.alike(values), (event.source, event.type, event.version))


class _Shape:
    """Where in the headers of such messages what is to be found."""

    def __init__(self, names: tuple[str, ...], binding: Binding) -> None:
        self.of = names  # the very tuple that they came as last: what is the same need not be compared
        self._binding, prefix = binding, binding.prefix
        alike = {CONTENT_TYPE, *(prefix + each for each in _ALIKE)}
        own = self.names = [name for name in names if name.startswith(prefix) and name not in alike]
        self.own = _picked([names.index(name) for name in own])
        self.alike = _picked([index for index, name in enumerate(names) if name in alike])
        self.attributes = [binding.attributes.get(name, "headers") for name in own]
        self.id = _place("id", self.attributes) or 0  # there is one wherever a kind is known
        self.key, self.time = _place("key", self.attributes), _place("time", self.attributes)
        self.kinds: dict[Any, Kind] = {}
        self.is_plain = prefix + TYPES not in own and len(set(names)) == len(names)  # else each is read with care
        self.is_simple = not {"headers", "traceparent"} & set(self.attributes)
        self.is_bare = {"id", "key", "time"}.issuperset(self.attributes)

    def glance(self, those: Sequence[Values], data: Sequence[bytes]) -> list[Notice] | None:
        """What all of these say; None when one of them is to be read with care."""
        kinds, nothing = self._kinds_of(those), [None] * len(those)
        if kinds is None:
            return None
        try:
            texts, count = _plain(list(chain.from_iterable(map(self.own, those)))), len(self.names)
            ids = texts[self.id :: count]
            keys = nothing if self.key is None else texts[self.key :: count]
            times = nothing if self.time is None else _moments(texts[self.time :: count])
        except (ValueError, TypeError):
            return None
        return [
            Notice(id, kind[0], kind[1], kind[2], key, body or b"null", time, values, self)
            for id, kind, key, body, time, values in zip(ids, kinds, keys, data, times, those, strict=True)
        ]

    def glance_in_parts(self, those: Sequence[Values], data: Sequence[bytes]) -> list[Notice | None]:
        """What these say, where that can be told of all of a few."""
        found: list[Notice | None] = []
        for part in (slice(start, start + _FEW) for start in range(0, len(those), _FEW)):
            found += self.glance(those[part], data[part]) or [None] * len(those[part])
        return found

    def _kinds_of(self, those: Sequence[Values]) -> Sequence[Kind] | None:
        alike = list(map(self.alike, those))
        if alike.count(alike[0]) == len(alike):  # they need not be hashed, which costs more than to compare them
            kind = self.kinds.get(alike[0])
            return None if kind is None else [kind] * len(alike)
        kinds = [self.kinds.get(each) for each in alike]
        return None if None in kinds else [kind for kind in kinds if kind is not None]

    def event(self, notice: Notice) -> Event:
        """The whole event."""
        if not self.is_simple:
            return self._read(notice)
        said: dict[str, Any] = dict(zip(self.attributes, _plain(self.own(notice.said)), strict=True))
        if self.time is not None:
            said["time"] = notice.time
        data = msgspec.Raw(notice.data)
        return Event(source=notice.source, type=notice.type, version=notice.version, data=data, **said)

    def draft(self, notice: Notice) -> Draft:
        """The event as a log writes it down; of the most common ones no event is made."""
        if not self.is_bare:
            return draft(self.event(notice), public=False)
        it = notice
        return bare_draft(it.id, it.source, it.type, it.version, it.key, it.time, it.data)

    def _read(self, notice: Notice) -> Event:
        """With care, as there is a header of the user's, or a trace."""
        alike = {
            "specversion": "1.0",
            "source": notice.source,
            "type": notice.type,
            "eventversion": str(notice.version),
        }
        own = zip(self.names, _plain(self.own(notice.said)), strict=True)
        pairs = [*((self._binding.prefix + name, value) for name, value in alike.items()), *own]
        return self._binding.event(pairs, notice.data)


def _plain(own: Sequence[Any]) -> list[str]:
    """These values as text.

    Raises:
        ValueError, TypeError: one is not plain: it is empty or too long, or has something other than letters in it.
    """
    said = " ".join(own) if type(own[0]) is str else b" ".join(own).decode()  # at once: each alone costs more
    texts = said.split(" ")
    is_plain = said.isascii() and said.isprintable() and "" not in texts and max(map(len, texts)) <= ENOUGH
    if not is_plain or len(texts) != len(own):  # or there is a space in one
        raise ValueError(said)
    return texts


def _moment(text: str) -> datetime:
    moment = fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time of no zone")
    return moment


def _moments(texts: Sequence[str]) -> list[datetime]:
    moments = list(map(fromisoformat, texts))
    if None in [moment.tzinfo for moment in moments]:
        raise ValueError("a time of no zone")
    return moments


def _place(name: str, names: Sequence[str]) -> int | None:
    return names.index(name) if name in names else None


def _picked(indices: Sequence[int]) -> Callable[[Values], Any]:
    """Those of the values that stand there."""
    return itemgetter(*indices) if len(indices) > 1 else lambda values: tuple(values[index] for index in indices)


def _remember(known: dict[Any, Any], name: Any, thing: Thing) -> Thing:
    if len(known) >= _SHAPES:
        known.clear()
    known[name] = thing
    return thing
