"""A rate kept: how many calls may be made now, and when the next one."""

import threading
from collections import deque

from tidings.clock import Clock
from tidings.handling.flow.settings import Rate

_PARTS = 100  # of a window: calls of one part are remembered together, as if all were made at its end


class Meter:
    """Counts the calls of one group in one process; threads and several readers share it.

    Two limits in one: a bucket of `burst` that fills evenly keeps calls apart, and a window of the last `per` seconds
    sees to it that no such window holds more than `calls`, which the bucket alone would exceed by its burst.
    """

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._bucket = float(rate.at_once)
        self._filled_at = clock.monotonic()
        self._window: deque[tuple[float, int]] = deque()  # when, how many
        self._count = 0
        self._lock = threading.Lock()

    def take(self, most: int) -> int:
        """So many calls, at most `most`, may be made now; they count as made."""
        with self._lock:
            count = max(min(most, int(self._room(self._clock.monotonic()))), 0)
            self._note(count)
            return count

    def charge(self, count: int) -> None:
        """So many calls are made without having asked: those that follow wait for it."""
        with self._lock:
            self._room(self._clock.monotonic())
            self._note(count)

    def give_back(self, count: int) -> None:
        """So many calls of those taken last were not made."""
        with self._lock:
            self._bucket = min(self._bucket + count, self._rate.at_once)
            while count > 0 and self._window:
                at, noted = self._window.pop()
                self._count -= min(noted, count)
                if noted > count:
                    self._window.append((at, noted - count))
                count -= noted

    def wait(self) -> float:
        """Seconds until a call may be made."""
        with self._lock:
            now, rate = self._clock.monotonic(), self._rate
            if self._room(now) >= 1:
                return 0.0
            until_full = max(1 - self._bucket, 0.0) * rate.per / rate.calls
            until_free = self._window[0][0] + rate.per - now if self._count >= rate.calls else 0.0
            return max(until_full, until_free, 0.001)

    def _room(self, now: float) -> float:
        rate, window = self._rate, self._window
        while window and window[0][0] + rate.per <= now:
            self._count -= window.popleft()[1]
        self._bucket = min(self._bucket + (now - self._filled_at) * rate.calls / rate.per, rate.at_once)
        self._filled_at = now
        return min(self._bucket + 1e-9, rate.calls - self._count)

    def _note(self, count: int) -> None:
        if not count:
            return
        now, window = self._filled_at, self._window
        self._bucket -= count
        self._count += count
        if window and now - window[-1][0] < self._rate.per / _PARTS:
            count += window.pop()[1]
        window.append((now, count))
