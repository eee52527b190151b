"""Timers: events that are written down now and recorded later. A part of the ledger, in the log's own database.

What an event says, and its id, are fixed when it is scheduled. Firing appends it and forgets the timer in one
transaction, so that it is harmless when two processes do it: whoever comes second finds nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from tidings.log.record import Draft

LOOK_AHEAD = 10.0  # seconds: who fires looks at least twice as often, so that what is due later need wake nobody


class Timer(msgspec.Struct, frozen=True):
    """An event to be recorded when it is due, and not before. Of a recurring one, the next occurrence."""

    due: int  # microseconds since 1970 UTC
    draft: Draft
    series: str | None = None  # of a recurring one: never more than one of a series waits
    spec: str = ""  # what the series was made by


class Fired(msgspec.Struct, frozen=True):
    """What one firing has done: how many events it appended, and when the next is due, if any waits."""

    count: int
    next_due: int | None


Following = Callable[[Timer, int], Timer]  # the occurrence after the one that fires, and after this moment


class Timers(Protocol):
    """What is to be recorded later."""

    async def schedule(self, timers: Sequence[Timer]) -> int:
        """Keep `timers`, all or none, and say how many are new. One that waits already, or has fired, stays as it is.

        A timer that is due before all others, and soon, wakes whoever fires them.

        Raises:
            IdReused: an id of that source waits, or is recorded, with other content.
        """

    async def cancel(self, event_id: str, source: str) -> bool:
        """Forget an event that is scheduled; False when it is recorded, or was never scheduled. No recurring one."""

    async def waiting(self, limit: int = 1000) -> list[Timer]:
        """What is scheduled, in the order in which it will fire."""

    async def fire(self, now: float, limit: int, following: Mapping[str, Following]) -> Fired:
        """Append what is due at `now` (seconds since 1970 UTC) and forget its timers, in one transaction.

        In order of time, then of scheduling, and at most `limit`, also where several fire at once. Events recorded
        before are passed over. Of recurring ones only the series in `following` fire, and the occurrence that follows
        is scheduled with it.
        """

    async def repeat(self, source: str, timers: Sequence[Timer]) -> None:
        """Have these recurring ones, and no others of `source`.

        A series that waits goes on as it is, unless it was made by another spec, or waits for longer than it should,
        as happens when the clock was set back.
        """
