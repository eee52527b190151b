"""The clock of an application under test: it stands still until the test moves it."""

import asyncio

from tidings.clock import ManualClock
from tidings.handling.delivery import current

_A_MOMENT = 0.001  # seconds of real time for a relay's wait, so that a carrier that never works does not spin


class StillClock:
    """`clock`, in which the waits nobody can see take no time.

    Those are the pauses between tries on the spot and a relay's before it connects again: a test would have to move the
    clock once for each. Whatever waits otherwise, such as a handler of the user's, waits until the clock is moved.
    """

    def __init__(self, clock: ManualClock, relay: str) -> None:
        self._clock = clock
        self._relay = relay  # the name of the task that takes in what a broker has

    def now(self) -> float:
        """The wall time that the test has set."""
        return self._clock.now()

    def monotonic(self) -> float:
        """The sum of what the test has moved it by."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return when the test has moved the clock so far, or at once between two tries."""
        cell, task = current.get(), asyncio.current_task()
        if cell is not None and cell.item is None:
            await asyncio.sleep(0)
        elif task is not None and task.get_name() == self._relay:
            await asyncio.sleep(_A_MOMENT)
        else:
            await self._clock.sleep(seconds)
