"""Events read and kept until they are enough for one call of a handler that takes a list."""

from tidings.clock import Clock
from tidings.handling.delivery import Item
from tidings.handling.flow.holding import Hold
from tidings.handling.flow.settings import Batch


class Gathering:
    """What one reader has read past its cursor and not yet had handled.

    The cursor stays before the first of them, so whoever takes over reads them again.
    """

    def __init__(self, batch: Batch, clock: Clock) -> None:
        self.upto = 0  # the order up to which was read
        self._batch = batch
        self._clock = clock
        self._items: list[Item] = []
        self._since = 0.0  # when the first of them was read
        self._before: float | None = None  # the same of what is to be read again

    def restart(self, cursor: int, since: float | None = None) -> None:
        """Forget what was read; begin after `cursor`. What is read again has been waiting `since` then."""
        self.upto, self._items, self._before = cursor, [], since

    @property
    def since(self) -> float | None:
        """Since when the first event waits; None when none does."""
        return self._since if self._items else self._before

    def add(self, items: list[Item], upto: int) -> None:
        """These were read, and the log up to here."""
        if items and not self._items:
            self._since = self._clock.monotonic() if self._before is None else self._before
            self._before = None
        self._items += items
        self.upto = upto

    @property
    def low(self) -> int:
        """The order up to which nothing waits here."""
        return self._items[0].record.order - 1 if self._items else self.upto

    @property
    def wants_more(self) -> bool:
        """Is there too little for a full call?"""
        return len(self._items) < self._batch.size

    def wait(self) -> float | None:
        """Seconds until what is here has waited long enough; None when nothing waits."""
        return max(self._since + self._batch.wait - self._clock.monotonic(), 0.0) if self._items else None

    @property
    def held(self) -> Hold | None:
        """What is kept here until it has waited long enough; None when nothing is, or no longer."""
        wait = self.wait()
        return Hold("batch", self._clock.monotonic() + wait, self._items) if wait else None

    def take(self) -> list[Item]:
        """Enough for one full call or several; all there is when it has waited long enough."""
        count = len(self._items) // self._batch.size * self._batch.size
        if not count and self.wait() == 0.0:
            count = len(self._items)
        taken, self._items = self._items[:count], self._items[count:]
        if taken:
            self._since = self._clock.monotonic()
        return taken
