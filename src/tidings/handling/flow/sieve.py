"""A throttle kept: which events of a key are handled, and which are passed over."""

from collections import OrderedDict

from tidings.clock import Clock
from tidings.handling.flow.settings import Throttle

_KEYS = 100_000  # remembered at most; the next event of one forgotten is handled


class Sieve:
    """Remembers of each key which events were let through, and when.

    By their order in the log, as one that was let through and not handled, because its process had to stop or to give
    lanes away, comes again: it must not be taken for a later one then.
    """

    def __init__(self, throttle: Throttle, clock: Clock) -> None:
        self._throttle = throttle
        self._clock = clock
        self._passed: OrderedDict[str, list[tuple[int, float]]] = OrderedDict()  # key -> order, when; oldest key first

    def lets_through(self, key: str, order: int) -> bool:
        """Is this event among the first of its key?"""
        now, throttle = self._clock.monotonic(), self._throttle
        passed = [each for each in self._passed.get(key, ()) if each[1] + throttle.per > now]
        if any(each[0] == order for each in passed):
            return True
        if len(passed) >= throttle.events:
            return False
        self._passed[key] = [*passed, (order, now)]
        self._passed.move_to_end(key)
        self._forget(now)
        return True

    def _forget(self, now: float) -> None:
        while self._passed:
            key, passed = next(iter(self._passed.items()))
            if passed[-1][1] + self._throttle.per > now and len(self._passed) <= _KEYS:
                return
            del self._passed[key]
