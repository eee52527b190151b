"""`@app.every`: a function that is called every so often by one process among all.

It is a timer that recurs, and a subscription that hears it: each occurrence is an event of its own, private to the
application, so that retries, dead letters, time limits and `tx` are those of any handler.
"""

from datetime import datetime

import msgspec

from tidings.errors import ConfigurationError, InvalidName
from tidings.events import Contract, Event, derived_id
from tidings.handling.form import Handler, form_of
from tidings.handling.policy import Policy
from tidings.handling.subscription import Subscription
from tidings.handling.timing.schedule import Schedule
from tidings.log import Timer
from tidings.log.group import Group
from tidings.log.record import draft, from_microseconds

PREFIX = "tidings:every:"


class Tick(msgspec.Struct, frozen=True):
    """One occurrence: when it was `due`, and when it was `scheduled`, which is when the one before it took place.

    Of several that were missed there is one, `due` when the first of them was.
    """

    due: datetime
    scheduled: datetime


class Every(msgspec.Struct, frozen=True):
    """A function with a schedule."""

    source: str  # the application
    schedule: Schedule
    subscription: Subscription

    @property
    def series(self) -> str:
        """What its timers are known by: the group that hears them."""
        return self.subscription.name

    def first(self, now: int) -> Timer:
        """The first occurrence after `now`, in microseconds."""
        return self._timer(self.schedule.first(now), now)

    def following(self, timer: Timer, now: int) -> Timer:
        """The occurrence after the one that `timer` was."""
        return self._timer(self.schedule.following(timer.due, now), now)

    def _timer(self, due: int, now: int) -> Timer:
        moment = from_microseconds(due)
        event = Event(
            id=derived_id(self.series, str(due)),  # two processes that schedule it schedule the same
            source=self.source,
            type=PREFIX + self.series,
            data=Tick(moment, from_microseconds(now)),
            key=self.series,  # its calls never overlap
            time=moment,
        )
        return Timer(due, draft(event, public=False), self.series, self.schedule.spec)


def every(app: str, schedule: Schedule, function: Handler, policy: Policy, *, group: str | None) -> Every:
    """`function`, called as the schedule says.

    Raises:
        ConfigurationError: it cannot be called so, or its group's name cannot be part of an event's name.
    """
    name = group or f"{app}.{getattr(function, '__name__', type(function).__name__)}"
    try:
        contract = Contract(PREFIX + name, Tick, public=False)
    except InvalidName as error:
        raise ConfigurationError(f"{name} cannot be called every so often: give it a plain name with group=") from error
    form = form_of(function, may_take_nothing=True)
    group_heard = Group(name, (contract.name,), start="latest")
    return Every(app, schedule, Subscription(group_heard, form, policy, (contract, *form.returned)))
