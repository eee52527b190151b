"""`Overheard`: what the broker still has for the groups that hear it: events on their way, retries, dead letters."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from tidings.clock import Clock
from tidings.events import PatternSet
from tidings.handling.direct import DirectReader
from tidings.handling.flow.holding import Hold
from tidings.log import Log, Parked
from tidings.log.position import order_in
from tidings.testing.carrier import Carrier
from tidings.testing.outcomes import Held
from tidings.testing.recorded import Recorded

LISTENING = "listening."  # what the names of those begin with that hear the broker without a group


class Overheard:
    """Looks from outside at the broker of an application under test, and at who hears it directly.

    `groups` are those that hear it, each with what it hears: the one that takes events into the log, where there is
    one, and each handler of its own.
    """

    def __init__(
        self,
        bus: Log,
        arrived: Recorded,
        carrier: Carrier,
        groups: Mapping[str, PatternSet],
        readers: Callable[[], Sequence[DirectReader]],
        clock: Clock,
    ) -> None:
        self._bus = bus
        self._arrived = arrived
        self._carrier = carrier
        self._groups = groups
        self._readers = readers
        self._clock = clock

    async def arriving(self) -> int:
        """How many events it has that are to be handed over, or handled, without time going by."""
        if not self._groups and not self._readers():
            return 0
        await self._arrived.catch_up()
        stopped = {each.subscription.name for each in self._readers() if each.stopped is not None}
        heard = {name: (0, hears) for name, hears in self._groups.items() if name not in stopped}
        for each in await self._bus.ledger.groups():
            if each.name in heard:
                heard[each.name] = order_in(each.position), heard[each.name][1]
            elif each.name.startswith(LISTENING):
                heard[each.name] = order_in(each.position), PatternSet(each.patterns)
        ahead = sum(
            hears.matches(event.type) for order, hears in heard.values() for event in self._arrived.after(order)
        )
        kept = sum(len(hold.items) for holds in self.holds().values() for hold in holds)
        return ahead + self._carrier.owing(stopped) - kept

    async def due(self) -> list[Parked]:
        """What is to be handed over again by now."""
        return [each for each in await self._parked("retry") if each.due <= self._clock.now()]

    async def next_due(self) -> list[float]:
        """The seconds until each of what is to be handed over later."""
        waits = [each.due - self._clock.now() for each in await self._parked("retry")]
        delayed = self._carrier.next_due()
        return waits if delayed is None else [*waits, delayed - self._clock.monotonic()]

    async def set_aside(self) -> list[Parked]:
        """What waits, its dead letters, and the events at which groups have stopped."""
        await self._arrived.catch_up()
        found = await self._parked()
        for each in self._readers():
            if each.stopped is not None:
                one = each.stopped.given_up
                order = self._arrived.order_of(one.event_id)
                found.append(msgspec.structs.replace(one, group=each.subscription.name, order=order))
        return found

    def holds(self) -> dict[str, list[Hold]]:
        """What lanes have in their hands and wait with, by group."""
        found = {each.subscription.name: each.holds for each in self._readers()}
        return {name: holds for name, holds in found.items() if holds}

    def held(self, now: float) -> list[Held]:
        """The same, each event by itself."""
        found = []
        for name, holds in self.holds().items():
            there = self._carrier.held.get(name)
            events = [] if there is None else [self._arrived.readable(each.event) for each in there.handed]
            found += [Held(name, event, holds[0].by, holds[0].until - now) for event in events]
        return found

    async def _parked(self, state: str | None = None) -> list[Parked]:
        if not self._groups:
            return []
        parked = await self._bus.ledger.parked(limit=100_000)
        return [each for each in parked if each.group in self._groups and state in (None, each.state)]
