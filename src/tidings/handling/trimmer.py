"""`Trimmer`: the chore that trims an application's log, a small step at a time, and rests between them."""

from collections.abc import AsyncIterator

from tidings.clock import Clock
from tidings.log import Log
from tidings.log.census import Census
from tidings.log.retention import Retention, Trimmed
from tidings.log.trimming import sweep

LOOK = 5.0  # seconds from the end of one round to the next
REST = 9.0  # times as long as a step took: a tenth of the time is trimming's, and handlers and publishers hardly notice


class Trimmer:
    """Goes round the log for as long as its application runs; whoever does it next begins anew."""

    def __init__(self, log: Log, retention: Retention, clock: Clock) -> None:
        self._log = log
        self._retention = retention
        self._clock = clock
        self._census = Census()
        self._round: AsyncIterator[Trimmed] | None = None

    async def run(self, now: float) -> float:
        """One step of the round at hand."""
        began = self._clock.monotonic()
        if self._round is None:
            self._round = sweep(self._log, self._retention, self._census, now)
        try:
            await anext(self._round)
        except BaseException as ended:
            self._round = None
            if isinstance(ended, StopAsyncIteration):
                return now + LOOK
            raise
        return now + REST * (self._clock.monotonic() - began)
