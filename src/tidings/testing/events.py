"""`Events`: what was recorded during a test, with typed access and a text a person can read."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, overload

from tidings.events import Event
from tidings.testing.showing import show_event
from tidings.testing.wanted import Words

Payload = TypeVar("Payload")


class Events(Sequence[Event]):
    """Events in the order of the log; their data is of the contract's type where there is one."""

    def __init__(self, words: Words, events: Iterable[Event] = ()) -> None:
        self._words = words
        self._events = list(events)

    @overload
    def of(self, kind: str) -> list[Event]: ...

    @overload
    def of(self, kind: type[Payload]) -> list[Payload]: ...

    def of(self, kind: Any) -> list[Any]:
        """The values of an `@event` class; or the events of a name or pattern, as in `of("order:*")`."""
        wanted = self._words.wanted(kind, {})
        found = [event for event in self._events if wanted.fits(event)]
        return found if isinstance(kind, str) else [wanted.value(event) for event in found]

    def extend(self, events: Iterable[Event]) -> None:
        """More were recorded."""
        self._events.extend(events)

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...

    def __getitem__(self, index: Any) -> Any:
        return self._events[index]

    def __contains__(self, wanted: object) -> bool:
        """Was this event recorded; or one with this value, or of this class, name or pattern?"""
        if isinstance(wanted, Event):
            return any((event.id, event.source) == (wanted.id, wanted.source) for event in self._events)
        return any(map(self._words.wanted(wanted, {}).fits, self._events))

    def __len__(self) -> int:
        return len(self._events)

    def __repr__(self) -> str:
        return "".join(["<Events", *(f"\n  {number}  {show_event(each)}" for number, each in enumerate(self, 1)), ">"])
