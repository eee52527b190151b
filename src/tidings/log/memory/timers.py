"""What is to be recorded later: the ledger's questions about timers, put to the state in memory."""

import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from tidings.clock import Clock
from tidings.errors import IdReused
from tidings.log.memory.state import State
from tidings.log.recurring import missing, unwanted
from tidings.log.timers import LOOK_AHEAD, Fired, Following, Timer


class MemoryTimers:
    """The timers of a log in memory."""

    def __init__(self, state: State, clock: Clock, ready: Callable[[], Awaitable[None]]) -> None:
        self._state = state
        self._clock = clock
        self._ready = ready  # the log's

    async def schedule(self, timers: Sequence[Timer]) -> int:
        """Keep `timers`; see `Timers.schedule`."""
        await self._ready()
        return self.add(timers, strict=True)

    def add(self, timers: Sequence[Timer], *, strict: bool = False) -> int:
        """Keep those that neither wait nor are recorded; see `add_new`."""
        return add_new(self._state, timers, self._clock.now(), strict=strict) if timers else 0

    async def cancel(self, event_id: str, source: str) -> bool:
        """Forget an event that is scheduled."""
        await self._ready()
        timer = self._state.waiting.find(event_id, source)
        if timer is None or timer.series is not None:
            return False
        self._state.waiting.drop(timer)
        return self._state.content(timer.draft) is None

    async def waiting(self, limit: int = 1000) -> list[Timer]:
        """What is scheduled, in the order in which it will fire."""
        await self._ready()
        return self._state.waiting.timers()[:limit]

    async def fire(self, now: float, limit: int, following: Mapping[str, Following]) -> Fired:
        """Append what is due, and schedule what follows."""
        await self._ready()
        state, moment = self._state, int(now * 1e6)
        due = itertools.takewhile(lambda timer: timer.due <= moment, self._ours(following))
        timers = list(itertools.islice(due, limit))
        followers = [following[timer.series](timer, moment) for timer in timers if timer.series is not None]
        for timer in timers:  # nothing fails from here on
            state.waiting.drop(timer)
        for follower in followers:
            state.waiting.add(follower)
        state.absorb([timer.draft for timer in timers], self._clock.now())
        soonest = next(self._ours(following), None)
        return Fired(len(timers), None if soonest is None else soonest.due)

    async def repeat(self, source: str, timers: Sequence[Timer]) -> None:
        """Have these recurring ones, and no others of `source`."""
        await self._ready()
        waiting = self._state.waiting
        known = {timer.series: timer for timer in waiting.timers() if timer.series and timer.draft.source == source}
        new = missing(known, timers)
        replaced = {*unwanted(known, timers), *(timer.series for timer in new)}
        for timer in waiting.timers():
            if timer.series in replaced:
                waiting.drop(timer)
        _insert(self._state, new, self._clock.now())

    def _ours(self, following: Mapping[str, Following]) -> Iterator[Timer]:
        return (timer for timer in self._state.waiting.timers() if timer.series is None or timer.series in following)


def add_new(state: State, timers: Sequence[Timer], now: float, *, strict: bool) -> int:
    """Keep those that neither wait nor are recorded, and say how many; the others may differ unless `strict`.

    Raises:
        IdReused: one of them is known with other content; nothing was changed.
    """
    first: dict[tuple[str, str], Timer] = {}
    for timer in timers:
        draft = timer.draft
        other = state.waiting.find(draft.id, draft.source) or first.get((draft.id, draft.source))
        known = state.content(draft) if other is None else (other.draft.type, other.draft.data, other.draft.key)
        if strict and known is not None and known != (draft.type, draft.data, draft.key):
            raise IdReused(draft.id, draft.source)
        if known is None:
            first[draft.id, draft.source] = timer
    _insert(state, list(first.values()), now)
    return len(first)


def _insert(state: State, timers: Sequence[Timer], now: float) -> None:
    """Add timers, and wake whoever fires when the first of them is due before all others, and soon."""
    before = state.waiting.next_due
    for timer in timers:
        state.waiting.add(timer)
    first = min((timer.due for timer in timers), default=None)
    if first is not None and first < (now + LOOK_AHEAD) * 1e6 and (before is None or first < before):
        state.ring(timers=True)
