"""`Housekeeping`: what one process does for all of an application's: firing timers, trimming the log, watching groups.

Who does it is settled as for any group, by the ledger: the owner of the first lane. When that process dies another has
the lane within a second. For a moment two may believe they have it, so that a chore must be harmless when done twice.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Protocol

from tidings.clock import Clock
from tidings.handling.trouble import Trouble
from tidings.log import Log
from tidings.log.group import Group

_FIRST_LANE = 0
_IDLE = 5.0  # seconds; the bell wakes earlier when members or an operator change something


class Chore(Protocol):
    """One thing to be done now and then, whichever process does it."""

    async def run(self, now: float) -> float:
        """Do what is due at `now`, and return when it wants to be asked again (seconds since 1970; `inf`: if told).

        It is asked earlier than that whenever members, timers or an operator's wishes have changed.
        """


class Housekeeping:
    """Does the chores of an application in the process whose turn it is."""

    def __init__(self, app: str, log: Log, member: str, clock: Clock, chores: Sequence[Chore]) -> None:
        self.group = Group(f"{app}.housekeeping", patterns=())  # no patterns: it reads nothing, and is shown to nobody
        self.trouble = Trouble(self.group.name)
        self._log = log
        self._member = member
        self._clock = clock
        self._chores = tuple(chores)
        self._ear = log.bell.listen()
        self._stopping = False

    def stop(self) -> None:
        """Begin no further chore; `run` returns after the one in hand."""
        self._stopping = True
        self._ear.ring()

    async def run(self) -> None:
        """Do the chores until stopped. When the log fails it says so, waits, and goes on."""
        try:
            while not self._stopping:
                try:
                    await self._lead()
                except Exception as error:
                    await self._ear.wait(self.trouble.met(error))
        finally:
            self._log.bell.forget(self._ear)

    async def _lead(self) -> None:
        """Claim, and do what is due, until members or an operator change something."""
        control = self._log.bell.control
        await self._log.ledger.join(self.group)
        lease = await self._log.ledger.claim(self.group.name, self._member)
        is_mine = _FIRST_LANE in lease.lanes
        due = -math.inf
        while not self._stopping and self._log.bell.control == control:
            now = self._clock.now()
            if is_mine and due <= now:
                due = await self._do(now)
            self.trouble.over()
            await self._ear.wait(min(max(due - self._clock.now(), 0.0), _IDLE) if is_mine else _IDLE)

    async def _do(self, now: float) -> float:
        return min(await asyncio.gather(*(chore.run(now) for chore in self._chores)), default=math.inf)
