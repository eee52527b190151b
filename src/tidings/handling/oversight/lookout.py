"""`Lookout`: the chore that looks at an application's groups now and then, and says aloud what somebody has to know.

What was told of a group is its *note* in the ledger, replaced in the transaction that records the alert: two
processes that both believe it is their turn tell a thing once, and the next one knows what was told.
"""

from collections.abc import Iterable

import msgspec

from tidings.clock import Clock
from tidings.events.names import OWN
from tidings.handling.outgoing import Outgoing
from tidings.handling.oversight.ages import Ages
from tidings.handling.oversight.alerts import (
    AlertEvent,
    Alerts,
    DeadLetter,
    EventsDead,
    GroupCaughtUp,
    GroupLagging,
    GroupOrphaned,
    GroupPaused,
)
from tidings.handling.oversight.sight import sight_of
from tidings.handling.reader import BLOCKED_LIMIT
from tidings.log import Log
from tidings.log.group import GroupStatus
from tidings.log.position import order_in
from tidings.log.record import draft

_NAMED = 20  # dead letters that an alert names; it counts all
_LONGEST_REASON = 200


class Told(msgspec.Struct, omit_defaults=True):
    """What was said of a group: since when it lags (0: it does not), up to which change its dead letters are told."""

    lagging: float = 0.0
    letters: int = 0
    paused: bool = False
    orphaned: bool = False


class Lookout:
    """Watches the groups of one application, those among them whose handlers are gone."""

    def __init__(
        self, app: str, groups: Iterable[str], log: Log, outgoing: Outgoing, clock: Clock, alerts: Alerts
    ) -> None:
        self._groups = frozenset(groups)
        self._beginnings = (f"{app}.", f"{app}:")
        self._log = log
        self._outgoing = outgoing
        self._clock = clock
        self._alerts = alerts
        self._due: float | None = None
        self._behind: dict[str, float] = {}  # since when a group that is not told of is behind, monotonic
        self._ages = Ages(clock)

    async def run(self, now: float) -> float:
        """Look at every group, when it is time, first after a while; what is asked in between changes nothing."""
        if self._due is None:
            self._due = now + self._alerts.every  # who has just been started is given time to catch up
        if self._due - self._alerts.every <= now < self._due:
            return self._due
        self._ages.note(order_in(await self._log.head()))
        for status in await self._log.ledger.groups():
            if self._is_ours(status):
                await self._look(status, now)
        self._due = now + self._alerts.every
        return self._due

    def _is_ours(self, status: GroupStatus) -> bool:
        """Those who hear nothing but alerts are not watched: that would be one alert after the other."""
        is_of_app = status.name in self._groups or status.name.startswith(self._beginnings)
        return is_of_app and not all(pattern.startswith(OWN) for pattern in status.patterns)

    async def _look(self, status: GroupStatus, now: float) -> None:
        before = msgspec.json.decode(status.note, type=Told) if status.note else Told()
        after = msgspec.structs.replace(before)
        said = [
            *await self._dead(status, after),
            *self._paused(status, after),
            *self._orphaned(status, after),
            *await self._lag(status, after, now),
        ]
        if after != before:
            await self._tell(status, msgspec.json.encode(after).decode(), said)

    async def _tell(self, status: GroupStatus, note: str, said: list[AlertEvent]) -> None:
        """Once: who finds another note than the one it has looked at records nothing."""
        drafts = [draft(self._outgoing.event(one), public=False) for one in said]
        await self._log.ledger.note(status.name, status.note, note, drafts)

    async def _dead(self, status: GroupStatus, told: Told) -> list[AlertEvent]:
        """Dead letters since the last time, in one event; those of alerts themselves raise no further one."""
        if not status.dead:
            return []
        found = await self._log.ledger.parked(status.name, "dead", _NAMED, since=told.letters)
        told.letters = max(told.letters, found.latest)
        letters = [
            DeadLetter(one.event_id, one.position, one.type, one.reason[:_LONGEST_REASON])
            for one in found
            if not one.type.startswith(OWN)
        ]
        return [EventsDead(status.name, len(letters) + found.more, letters)] if letters else []

    def _paused(self, status: GroupStatus, told: Told) -> list[AlertEvent]:
        was, told.paused = told.paused, status.state == "paused" and status.why.startswith(BLOCKED_LIMIT)
        return [GroupPaused(status.name, status.blocked, status.why)] if told.paused and not was else []

    def _orphaned(self, status: GroupStatus, told: Told) -> list[AlertEvent]:
        was, told.orphaned = told.orphaned, status.state == "orphaned"
        return [GroupOrphaned(status.name, status.last_seen, status.lag)] if told.orphaned and not was else []

    async def _lag(self, status: GroupStatus, told: Told, now: float) -> list[AlertEvent]:
        """One event when it begins to lag, one when that is over."""
        if status.state == "orphaned":
            return []
        if not status.lag and not told.lagging:
            self._behind.pop(status.name, None)
            return []
        sight = await sight_of(self._log, status, now)
        seconds = max(sight.seconds, self._ages.least(sight.backlog.first))
        if told.lagging:
            if self._exceeds(sight.backlog.events, seconds, 0.5):
                return []
            lasted, told.lagging = max(now - told.lagging, 0.0), 0.0
            return [GroupCaughtUp(status.name, lasted)]
        if not self._exceeds(sight.backlog.events, seconds, 1.0):
            self._behind.pop(status.name, None)
            return []
        moment = self._clock.monotonic()
        if moment - self._behind.setdefault(status.name, moment) < self._alerts.patience:
            return []
        del self._behind[status.name]
        told.lagging = now
        return [GroupLagging(status.name, sight.backlog.events, seconds, sight.reason)]

    def _exceeds(self, events: int, seconds: float, part: float) -> bool:
        """Is the group behind by more than this part of what is allowed?"""
        longest, most = self._alerts.lag, self._alerts.lag_events
        is_late = longest is not None and seconds > longest * part
        return is_late or (most is not None and events > most * part)
