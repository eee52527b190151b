"""How long it is remembered what became of events, and the chore that forgets the rest."""

from datetime import timedelta

from tidings.errors import ConfigurationError
from tidings.log import Log

KEPT = timedelta(days=7)
MOST_ROWS = 200_000  # some 20 MB; a group of one member writes at most one a second while nothing fails
_BETWEEN = 60.0  # seconds
_AT_ONCE = 20  # transactions, so that other chores have their turn
_SOON = 1.0


def kept_for(lineage: bool | timedelta) -> timedelta | None:
    """How long the lineage is kept; None: not at all.

    Raises:
        ConfigurationError: for no time, or for less.
    """
    if isinstance(lineage, bool):
        return KEPT if lineage else None
    if lineage <= timedelta(0):
        raise ConfigurationError(f"lineage={lineage!r} keeps nothing: give a longer time, or lineage=False")
    return lineage


class LineageChore:
    """Forgets what became of events long ago, and the oldest of it when there is too much."""

    def __init__(self, log: Log, kept: timedelta, most: int = MOST_ROWS) -> None:
        self._log = log
        self._kept = kept.total_seconds()
        self._most = most

    async def run(self, now: float) -> float:
        """Trim for a while; returns when to be asked again."""
        for _ in range(_AT_ONCE):
            if not await self._log.ledger.trim_lineage(now - self._kept, self._most):
                return now + _BETWEEN
        return now + _SOON
