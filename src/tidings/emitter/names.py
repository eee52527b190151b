"""The names an emitter uses itself, and patterns over any names.

An emitter takes every string as a name and the log does not, so `tidings.events.names` cannot be asked here. What a
pattern means is the same: segments stand between `:`, `.` and `/`; `*` is one of them, `**` any number.
"""

import re
from typing import Final

ERROR: Final = "error"
ERROR_MONITOR: Final = "tidings:emitter:error-monitor"
NEW_LISTENER: Final = "tidings:emitter:new-listener"
LISTENER_REMOVED: Final = "tidings:emitter:listener-removed"

# A listener to everything is written for the application's events. Given an exception it would fail in its turn, and by
# counting as an `error` listener it would hide failures nobody has looked at.
HEARD_BY_NAME_ONLY: Final = frozenset({ERROR, ERROR_MONITOR, NEW_LISTENER, LISTENER_REMOVED})

_SEPARATOR = re.compile(r"[:./]")


def is_pattern(text: str) -> bool:
    """Has it a whole segment `*` or `**`? `ord*` has none."""
    return "*" in text and not {"*", "**"}.isdisjoint(_SEPARATOR.split(text))


class Pattern:
    """A compiled pattern. Matching takes at most segments of the pattern times segments of the name steps."""

    __slots__ = ("_end", "_segments")

    def __init__(self, text: str) -> None:
        self._segments = _SEPARATOR.split(text)
        self._end = len(self._segments)

    def matches(self, name: str) -> bool:
        """Is `name` selected?"""
        places = self._with_places_past_stars({0})  # where in the pattern one may stand after what was read of the name
        for segment in _SEPARATOR.split(name):
            places = self._with_places_past_stars(self._moved(places, segment))
        return self._end in places

    def _moved(self, places: set[int], segment: str) -> set[int]:
        moved = set()
        for place in places - {self._end}:
            wanted = self._segments[place]
            if wanted == "**":
                moved.add(place)
            elif wanted == "*" or wanted == segment:
                moved.add(place + 1)
        return moved

    def _with_places_past_stars(self, places: set[int]) -> set[int]:
        reached = set(places)
        for place in places:
            while place < self._end and self._segments[place] == "**":
                place += 1
                reached.add(place)
        return reached
