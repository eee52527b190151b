"""What time it is, and waiting for it: the one place that asks the operating system, so that tests can set the time."""

import asyncio
import heapq
import itertools
import time
from typing import Protocol

wall_nanoseconds = time.time_ns  # for ids, which cannot afford a method call; everything else asks a Clock


class Clock(Protocol):
    """Wall time for people and records, monotonic time for durations and waits."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC; may jump when the machine's clock is set."""

    def monotonic(self) -> float:
        """Seconds since some fixed instant; never goes back, so only differences mean something."""

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` of monotonic time have gone by; a wait of zero or less yields once."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some fixed instant."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` have gone by."""
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: float = 1_000_000_000.0) -> None:
        self._now = now
        self._monotonic = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        """The wall time it was set or moved to."""
        return self._now

    def monotonic(self) -> float:
        """The sum of all advances."""
        return self._monotonic

    @property
    def sleepers(self) -> int:
        """How many tasks wait in `sleep` now."""
        return sum(not future.done() for _, _, future in self._sleepers)

    def advance(self, seconds: float) -> None:
        """Let `seconds` go by and wake who waited for it, earliest first; they run when the event loop does.

        Raises:
            ValueError: `seconds` is negative. Use `set` to turn the wall clock back.
        """
        if seconds < 0:
            raise ValueError("time does not go back; use set() to turn the wall clock back")
        self._now += seconds
        self._monotonic += seconds
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)

    def set(self, now: float) -> None:
        """Jump the wall clock, as an administrator does; monotonic time and sleepers do not notice."""
        self._now = now

    async def sleep(self, seconds: float) -> None:
        """Return when the clock has been advanced by `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), future))
        await future
