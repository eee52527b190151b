"""Is everything done? What each group, relay and parked event of an application under test still waits for."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from tidings.clock import Clock
from tidings.errors import TidingsError
from tidings.events import Event, PatternSet
from tidings.handling.flow.holding import Hold
from tidings.handling.reader import Reader
from tidings.log import Log, Parked
from tidings.log.group import GroupStatus
from tidings.log.position import order_in
from tidings.log.timers import Timer
from tidings.log.turn import in_turn
from tidings.testing.activity import Activity
from tidings.testing.calls import Call, Calls
from tidings.testing.outcomes import Held
from tidings.testing.overheard import Overheard
from tidings.testing.recorded import Recorded
from tidings.testing.showing import show_event

_LEAST = 1e-6  # seconds; a shorter step could be lost in the clock's floats
PASSING = ("rate", "batch")  # what holds events back that time alone lets go
ANY_HOLD = (*PASSING, "breaker")


class NotSettled(TidingsError, TimeoutError):
    """`settle` has waited long enough: `behind`, a line for each thing that is not done."""

    def __init__(self, timeout: float, behind: Iterable[str]) -> None:
        self.timeout = timeout
        self.behind = tuple(behind)
        super().__init__(f"not everything was handled within {timeout:g} s:\n  " + "\n  ".join(self.behind))


class Standing(msgspec.Struct):
    """What is left to do."""

    behind: list[tuple[str, Event | None, int]] = []  # group, the event it is at, how many it has to look at
    due: list[Parked] = []
    in_hand: list[Call] = []
    arriving: int = 0  # events the broker has for this application
    committing: list[str] = []  # what is on its way to the log
    overdue: list[Timer] = []  # what was scheduled, and should be recorded by now
    held: dict[str, list[Hold]] = {}  # by group: flow control keeps all that is left to it until later
    gathered: dict[str, list[Hold]] = {}  # the same of what a broker has handed over
    now: float = 0.0  # monotonic, when it looked

    @property
    def is_quiet(self) -> bool:
        """Is there nothing left that would be done without time going by?"""
        left = self.behind or self.due or self.in_hand or self.committing or self.arriving or self.overdue
        return not left

    @property
    def is_settled(self) -> bool:
        """Is what was done by groups that hold events back committed?"""
        return all(hold.is_settled for holds in self.held.values() for hold in holds)

    def wait(self, *kinds: str) -> float | None:
        """Seconds until the first that is held back by one of these goes on."""
        every = (*self.held.values(), *self.gathered.values())
        waits = [hold.until - self.now for holds in every for hold in holds if hold.by in kinds]
        return max(min(waits), _LEAST) if waits else None

    def lines(self, history_of: Callable[[str], Recorded]) -> list[str]:
        """What is left, as a person reads it."""
        found = [
            f"{group} is behind by {count}, at {show_event(event) if event else 'events it does not hear'}"
            for group, event, count in self.behind
        ]
        found += [
            f"{each.group} has {each.type} {each.event_id} parked as {each.state}, and it is due" for each in self.due
        ]
        found += [
            f"{call.group} has {show_event(history_of(call.group).event(call.order))} in hand, attempt {call.attempts}"
            for call in self.in_hand
        ]
        found += [f"{what} is being committed" for what in self.committing]
        found += [
            f"{_held_back(group, hold, self.now)}, the first is {show_event(history_of(group).event(order))}"
            for group, holds in self.held.items()
            for hold in holds
            for order in [hold.items[0].record.order]
        ]
        found += [_held_back(group, hold, self.now) for group, holds in self.gathered.items() for hold in holds]
        if self.arriving:
            found.append(f"the broker has {self.arriving} events that have not been taken in")
        return [*found, *(f"{each.draft.type} is scheduled, and due" for each in self.overdue)]


def _held_back(group: str, hold: Hold, now: float) -> str:
    return f"{group} holds {len(hold.items)} events back by its {hold.by} for {hold.until - now:g} s"


class Quiet:
    """Looks at an application under test from outside."""

    def __init__(
        self,
        groups: Mapping[str, PatternSet],
        log: Log | None,
        calls: Calls,
        activity: Activity,
        history: Recorded,
        clock: Clock,
        overheard: Overheard,
        readers: Callable[[], Sequence[Reader]],
    ) -> None:
        self._groups = groups
        self._log = log
        self._calls = calls
        self._activity = activity
        self._history = history
        self._clock = clock
        self._overheard = overheard
        self._readers = readers

    async def look(self) -> Standing:
        """What is left to do now."""
        overdue = [each for each in await self._next_timer() if self._until(each) <= 0]  # first: it becomes an event
        await self._history.catch_up()
        statuses = [each for each in await self._statuses() if each.name in self._groups]
        live = {each.name for each in statuses if each.state == "live"}
        due, again, arriving = await self._due(), await self._overheard.due(), await self._overheard.arriving()
        held = self._held()  # last, and with no wait after it: this may change without anything being done
        return Standing(
            [self._behind(each) for each in statuses if each.lag and each.name in live - held.keys()],
            [*(each for each in due if each.group in live - held.keys()), *again],
            self._calls.under_way(),
            arriving,
            self._activity.committing[:],
            overdue,
            held,
            self._overheard.holds(),
            self._clock.monotonic(),
        )

    async def next_due(self) -> float | None:
        """Seconds until the next parked event, timer, or event delayed by the broker is due."""
        waits = await self._overheard.next_due()
        if self._log is not None:
            waits += [each.due - self._clock.now() for each in await self._log.ledger.parked(state="retry")]
        waits += [self._until(each) for each in await self._next_timer()]
        return min((wait for wait in waits if wait > 0), default=None)

    async def held(self, standing: Standing) -> list[Held]:
        """Each event that was held back when `standing` was looked at, group by group; what is parked is not in it."""
        found = self._overheard.held(self._clock.monotonic())
        for status in await self._statuses():
            holds = standing.held.get(status.name)
            if holds and self._log is not None:
                parked = {each.order for each in await self._log.ledger.parked(status.name, limit=100_000)}
                found += self._held_by(status, sorted(holds, key=lambda hold: hold.until), parked, standing.now)
        return found

    def _held_by(self, status: GroupStatus, holds: list[Hold], parked: set[int], now: float) -> list[Held]:
        """What its readers have in their hands, and what comes after it, which they will hold back as well."""
        group, in_hand = status.name, {item.record.order: hold for hold in reversed(holds) for item in hold.items}
        read = min(hold.items[-1].record.order for hold in holds)
        found = []
        for event in self._history.after(order_in(status.position)):
            order = order_in(event.position or "")
            is_ahead = order > read and self._groups[group].matches(event.type)
            if is_ahead and not self._calls.is_answered(group, order):
                in_hand.setdefault(order, holds[0])
            if order in in_hand and order not in parked:
                found.append(Held(group, event, in_hand[order].by, in_hand[order].until - now))
        return found

    def _held(self) -> dict[str, list[Hold]]:
        """The groups whose readers all wait, some of them for flow control, and nobody for an event."""
        found: dict[str, list[Hold]] = {}
        busy = set()
        for reader in self._readers():
            name, hold = reader.subscription.name, reader.hold
            if hold is not None:
                found.setdefault(name, []).append(hold)
            elif not reader.is_idle:
                busy.add(name)
        return {name: holds for name, holds in found.items() if name not in busy}

    async def _statuses(self) -> list[GroupStatus]:
        return [] if self._log is None else await self._log.ledger.groups()

    async def _next_timer(self) -> list[Timer]:
        return [] if self._log is None else await self._log.ledger.timers.waiting(limit=1)

    def _until(self, timer: Timer) -> float:
        """Seconds, and a breath more where there are any: a clock that counts in floats could stop just before it."""
        left = timer.due - int(self._clock.now() * 1e6)
        return (left + 1) / 1e6 if left > 0 else 0.0

    def _behind(self, status: GroupStatus) -> tuple[str, Event | None, int]:
        hears = self._groups[status.name]
        ahead = self._history.after(order_in(status.position))
        return status.name, next((event for event in ahead if hears.matches(event.type)), None), status.lag

    async def _due(self) -> list[Parked]:
        by_group: dict[str, list[Parked]] = {}
        if self._log is None:
            return []
        for each in await self._log.ledger.parked(limit=100_000):
            by_group.setdefault(each.group, []).append(each)
        return [due for parked in by_group.values() for due in in_turn(parked, self._clock.now())]
