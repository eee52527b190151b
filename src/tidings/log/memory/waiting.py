"""What is to be recorded later, in the order in which it fires."""

import bisect

from tidings.log.timers import Timer


class Waiting:
    """Timers by time, by id and by series."""

    def __init__(self) -> None:
        self._in_order: list[tuple[int, int, Timer]] = []  # due, number, timer: numbers differ, timers are not compared
        self._places: dict[tuple[str, str], tuple[int, int]] = {}  # (id, source) -> due, number
        self._number = 0

    @property
    def next_due(self) -> int | None:
        """When the first one is due."""
        return self._in_order[0][0] if self._in_order else None

    def timers(self) -> list[Timer]:
        """All of them, in order."""
        return [timer for _, _, timer in self._in_order]

    def find(self, event_id: str, source: str) -> Timer | None:
        """The timer with this id."""
        place = self._places.get((event_id, source))
        return None if place is None else self._in_order[bisect.bisect_left(self._in_order, place)][2]

    def add(self, timer: Timer) -> None:
        """Take one more, whose id does not wait yet."""
        self._number += 1
        bisect.insort(self._in_order, (timer.due, self._number, timer))
        self._places[timer.draft.id, timer.draft.source] = timer.due, self._number

    def drop(self, timer: Timer) -> None:
        """Forget one that waits."""
        place = self._places.pop((timer.draft.id, timer.draft.source))
        del self._in_order[bisect.bisect_left(self._in_order, place)]
