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
from tidings.log.bell import Ear
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
        self._log = log
        self._member = member
        self._clock = clock
        self._trouble = Trouble(self.group.name)
        self._duties = [_Duty(each, self.group.name, log.bell.listen()) for each in chores]
        self._ear = log.bell.listen()
        self._stopping = False

    @property
    def reason(self) -> str | None:
        """Why something is not done, for `health()`."""
        return next(
            (each.reason for each in (self._trouble, *(one.trouble for one in self._duties)) if each.reason), None
        )

    def stop(self) -> None:
        """Begin no further chore; `run` returns after those in hand."""
        self._stopping = True
        for ear in self._ears:
            ear.ring()

    async def run(self) -> None:
        """Do the chores until stopped. When the log fails it says so, waits, and goes on."""
        try:
            while not self._stopping:
                try:
                    await self._lead()
                    self._trouble.over()
                except Exception as error:
                    await self._ear.wait(self._trouble.met(error))
        finally:
            for ear in self._ears:
                self._log.bell.forget(ear)

    @property
    def _ears(self) -> list[Ear]:
        return [self._ear, *(each.ear for each in self._duties)]

    async def _lead(self) -> None:
        """Claim, and do what is due, until members or an operator change something."""
        control = self._log.bell.control
        await self._log.ledger.join(self.group)
        lease = await self._log.ledger.claim(self.group.name, self._member)
        self._trouble.over()
        if _FIRST_LANE in lease.lanes:
            await asyncio.gather(*(self._keep(each, control) for each in self._duties))
        while not self._is_over(control):
            await self._ear.wait(_IDLE)

    async def _keep(self, duty: "_Duty", control: int) -> None:
        """One chore at a pace of its own: what keeps it from being done keeps no other."""
        clock, bell, due, until, timers = self._clock, self._log.bell, -math.inf, -math.inf, 0
        while not self._is_over(control):
            now = clock.now()
            # The clock may have been set, forward or back.
            if due <= now or until <= clock.monotonic() or timers != bell.timers:
                timers = bell.timers
                due = await duty.do(now)
                until = clock.monotonic() + due - clock.now()
            left = min(due - clock.now(), until - clock.monotonic())
            await duty.ear.wait(min(max(left, 0.0), _IDLE))

    def _is_over(self, control: int) -> bool:
        return self._stopping or self._log.bell.control != control


class _Duty:
    """A chore with its own waits and troubles."""

    def __init__(self, chore: Chore, group: str, ear: Ear) -> None:
        self.ear = ear
        self.trouble = Trouble(f"{group}, {type(chore).__name__}")
        self._chore = chore

    async def do(self, now: float) -> float:
        """Do what is due; when it fails, wait and have it done again."""
        try:
            due = await self._chore.run(now)
        except Exception as error:
            await self.ear.wait(self.trouble.met(error))
            return now
        self.trouble.over()
        return due
