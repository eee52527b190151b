"""`Trimmer`: the chore that trims an application's log, a small step at a time, and rests between them."""

from collections.abc import AsyncIterator

from tidings.clock import Clock
from tidings.log import Log
from tidings.log.census import Census
from tidings.log.retention import Retention, Trimmed
from tidings.log.trimming import sweep

LOOK = 5.0  # seconds from the start, which has better things to do, to the first round, and from one to the next
SELDOM = 3600.0  # where nobody has given a rule, and only what the toolkit itself records goes after a month
REST = 39.0  # times as long as a step took: handlers and publishers have the other 39 parts of the time


class Trimmer:
    """Goes round the log for as long as its application runs; whoever does it next begins anew."""

    def __init__(
        self, log: Log, retention: Retention, clock: Clock, *, begin_after: float = LOOK, every: float | None = None
    ) -> None:
        self._log = log
        self._retention = retention
        self._clock = clock
        self._census = Census()
        self._round: AsyncIterator[Trimmed] | None = None
        self._every = every or (LOOK if retention.is_given else SELDOM)
        self._due = clock.monotonic() + begin_after

    async def run(self, now: float) -> float:
        """One step of the round at hand, unless it is asked too early."""
        began = self._clock.monotonic()
        if began >= self._due:
            more = await self._step(now)
            ended = self._clock.monotonic()
            self._due = ended + (REST * (ended - began) if more else self._every)
        return self._clock.now() + self._due - self._clock.monotonic()

    async def _step(self, now: float) -> bool:
        """False when that was the round's last."""
        if self._round is None:
            self._round = sweep(self._log, self._retention, self._census, now)
        try:
            await anext(self._round)
        except BaseException as ended:
            self._round = None
            if isinstance(ended, StopAsyncIteration):
                return False
            raise
        return True
