"""`Firing`: the chore that records what was scheduled when it is due, and keeps recurring timers going."""

from collections.abc import Sequence

from tidings.handling.timing.every import Every
from tidings.log import Log
from tidings.log.timers import LOOK_AHEAD

AT_ONCE = 500  # events of one transaction, so that other writers have their turn
GATHER = 0.01  # seconds: what is due so soon after the last firing fires together
_LOOK = LOOK_AHEAD / 2
_ROUNDING = 0.001  # seconds until another look, when it was asked a breath too soon


class Firing:
    """Fires an application's timers, in the process that does its chores."""

    def __init__(self, app: str, log: Log, every: Sequence[Every]) -> None:
        self._app = app
        self._log = log
        self._every = tuple(every)
        self._following = {each.series: each.following for each in every}
        self._control: int | None = None  # the counter of members' changes when the recurring ones were looked at
        self._looked_at = 0.0

    async def run(self, now: float) -> float:
        """Record what is due, and say when the next is. Nothing is early; what is late goes first."""
        await self._repeat(now)
        fired = await self._log.ledger.timers.fire(now, AT_ONCE, self._following)
        if fired.next_due is None:
            return now + _LOOK
        if fired.count == AT_ONCE:
            return now
        soonest = now + (GATHER if fired.count else _ROUNDING)
        return min(max(fired.next_due / 1e6, soonest), now + _LOOK)

    async def _repeat(self, now: float) -> None:
        """See to it that the recurring ones are scheduled: at first, when members have changed, and now and then."""
        control = self._log.bell.control
        if control == self._control and self._looked_at <= now < self._looked_at + _LOOK:
            return
        await self._log.ledger.timers.repeat(self._app, [each.first(int(now * 1e6)) for each in self._every])
        self._control, self._looked_at = control, now
