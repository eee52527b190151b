"""The wake-up: who waits for news holds an `Ear`; who has news rings the `Bell`.

A ring is a hint, never the truth: waiting ends as well after a while without one, and the reader then looks.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import NamedTuple

from tidings.log.position import START, Position


class Counters(NamedTuple):
    """What there is news of beside events: each number rises with every change."""

    control: int = 0  # members, lanes or an operator's wishes
    timers: int = 0  # a timer that is due before all others, and soon: who owns lanes need not look at them again

    def latest(self, other: "Counters") -> "Counters":
        """The higher one of each."""
        if self == other:
            return self
        return Counters(max(self.control, other.control), max(self.timers, other.timers))


class Ear:
    """One waiter on one event loop."""

    def __init__(self, bell: "Bell") -> None:
        self._bell = bell
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._pending = False

    async def wait(self, timeout: float) -> None:
        """Return at the next ring, at once when it rang since the last wait, or after `timeout` seconds."""
        if not self._pending:
            self._waiter = self._loop.create_future()
            timer = self._loop.call_later(max(timeout, 0.0), self.ring)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        self._pending = False

    def ring(self) -> None:
        """Wake this waiter; call it on its own event loop."""
        self._pending = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def ring_from_thread(self) -> None:
        """Wake this waiter from any thread."""
        try:
            self._loop.call_soon_threadsafe(self.ring)
        except RuntimeError:  # its loop is closed: nobody waits any more
            self._bell.forget(self)


class Bell:
    """Wakes every ear of this process when the log has grown or an operator has changed something."""

    def __init__(self) -> None:
        self._ears: tuple[Ear, ...] = ()
        self._lock = threading.Lock()
        self.tip = START  # the newest position heard of
        self._counters = Counters()
        self.on_listen: Callable[[], None] | None = None

    def listen(self) -> Ear:
        """A new ear on the running event loop; `forget` it when done."""
        ear = Ear(self)
        with self._lock:
            self._ears += (ear,)
        if self.on_listen is not None:
            self.on_listen()
        return ear

    def forget(self, ear: Ear) -> None:
        """Ring `ear` no more."""
        with self._lock:
            self._ears = tuple(other for other in self._ears if other is not ear)

    @property
    def control(self) -> int:
        """Rises when members, lanes or an operator's wishes change."""
        return self._counters.control

    @property
    def timers(self) -> int:
        """Rises when a timer is due before all others, and soon."""
        return self._counters.timers

    def news(self, tip: Position, counters: Counters) -> None:
        """Wake every ear, if that is news; callable from any thread."""
        with self._lock:  # the writer's thread and the event loop may bring the same news, and not in order
            latest = counters.latest(self._counters)
            if tip > self.tip:
                self.tip = tip
            elif latest == self._counters:
                return
            self._counters = latest
        self.ring()

    def ring(self) -> None:
        """Wake every ear; callable from any thread."""
        for ear in self._ears:
            ear.ring_from_thread()
