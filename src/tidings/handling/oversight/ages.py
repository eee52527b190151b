"""`Ages`: how long events have been there at least, where the clock on the wall cannot tell.

While that clock stands behind the log's own time, as after it was set back, everything looks as if it were recorded
just now. What was seen in the log an hour ago is an hour old all the same.
"""

import bisect
from collections import deque

from tidings.clock import Clock

_REMEMBERED = 1000  # sights of a head that had moved


class Ages:
    """Remembers how far the log reached at what moment of the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED)  # order of the head, when it was first seen

    def note(self, head: int) -> None:
        """The log reaches up to this order now."""
        if not self._seen or head > self._seen[-1][0]:
            self._seen.append((head, self._clock.monotonic()))

    def least(self, order: int | None) -> float:
        """The event with this order has been there for at least so many seconds."""
        index = len(self._seen) if order is None else bisect.bisect_left(self._seen, (order, 0.0))
        return 0.0 if index == len(self._seen) else self._clock.monotonic() - self._seen[index][1]
