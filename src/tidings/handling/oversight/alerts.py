"""What the toolkit says of groups in need, as events that handlers can hear, and when it says so.

    @app.on(GroupLagging, EventsDead)
    async def call_somebody(event: Event) -> None: ...

They are private: no relay takes them to other services. Patterns that begin with a wildcard do not hear them; a handler
names them, by class or as in `tidings:**`, and so does `tidings tail 'tidings:**'`. Their key is the group, so that its
news stay in order.
"""

import msgspec

from tidings.errors import ConfigurationError
from tidings.events import event


class Alerts(msgspec.Struct, frozen=True):
    """When to say that a group needs somebody; `App(alerts=None)` says nothing.

    A group lags when the oldest event it hears and has yet to come to is older than `lag` seconds, or there are more
    than `lag_events`, without a break for `patience` seconds. It has caught up at half of that. One process looks for
    all, `every` so many seconds, and tells at most one batch of dead letters of a group each time.
    """

    lag: float | None = 60.0
    lag_events: int | None = None
    patience: float = 30.0
    every: float = 10.0

    def __post_init__(self) -> None:
        if self.every <= 0 or self.patience < 0:
            raise ConfigurationError(f"{self} cannot be kept: every is above 0, patience is 0 or more")


@event("tidings:group:lagging", key="group", public=False)
class GroupLagging:
    """A group has been behind for a while; told once, when it begins."""

    group: str
    events: int  # it hears and has yet to come to; at most so many
    seconds: float  # age of the oldest of them
    reason: str | None


@event("tidings:group:caught-up", key="group", public=False)
class GroupCaughtUp:
    """A group that was lagging is so no more."""

    group: str
    lasted: float  # seconds since that was told


class DeadLetter(msgspec.Struct, frozen=True):
    """One event that its group will not try again by itself."""

    event_id: str
    position: str
    type: str
    reason: str


@event("tidings:event:dead", key="group", public=False)
class EventsDead:
    """Events have become dead letters of a group since the last time; all of them are counted, some are named."""

    group: str
    count: int
    letters: list[DeadLetter]


@event("tidings:group:paused", key="group", public=False)
class GroupPaused:
    """A group has paused itself, as more events wait behind others than its `blocked_limit` allows."""

    group: str
    blocked: int
    why: str


@event("tidings:group:orphaned", key="group", public=False)
class GroupOrphaned:
    """Nobody has run a group for so long that nothing is kept for it any more."""

    group: str
    last_seen: float  # seconds since 1970 UTC
    lag: int  # events of any kind between it and the head


AlertEvent = GroupLagging | GroupCaughtUp | EventsDead | GroupPaused | GroupOrphaned
