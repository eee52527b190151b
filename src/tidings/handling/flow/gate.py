"""`Gate`: what a reader of a group with flow control asks before it has events handled."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from tidings.clock import Clock
from tidings.handling.batch import Answers
from tidings.handling.delivery import Item
from tidings.handling.flow.controls import Controls
from tidings.handling.flow.holding import Hold
from tidings.handling.flow.quiet import Quiet
from tidings.handling.flow.ranking import Ranking
from tidings.handling.settling import SETTLE_AFTER
from tidings.log.record import delivery_key

_FLUSH_AFTER = 0.2  # seconds of calls before what is done is settled
_LOOK = 5.0  # seconds; the waits may end without a ring
Stretch = Callable[[list[Item]], Awaitable[list[Item]]]
Rest = Callable[[float], Awaitable[None]]


class Gate:
    """Which events go on to the handler now, how many, and after what wait."""

    def __init__(
        self, controls: Controls, batch: Answers, clock: Clock, rest: Rest, is_called: Callable[[], bool]
    ) -> None:
        """`is_called`: is the reader to stop, or to claim anew? Its `rest` ends then, as it does with any news."""
        flow = controls.flow
        self._rest = rest
        self._is_called = is_called
        self._clock = clock
        self._waiting: list[Item] = []  # for whom it rests now
        self._is_fresh = True  # was nothing done since the last settlement?
        self._controls = controls
        self._batch = batch
        self._many = 1 if flow.batch is None else flow.batch.size  # events a call
        self._ranking = None if flow.priority is None else Ranking(flow.priority, controls.group)
        self.quiet = None if flow.debounce is None else Quiet(flow.debounce, batch, clock)
        self.behind: list[Item] = []  # while some are handled: those that were not let through with them

    def sift(self, items: list[Item]) -> tuple[list[Item], int]:
        """The events that are to be handled now or soon, and how many are passed over."""
        if not items:
            return items, 0
        if self.quiet is not None:
            left, passed_over = self.quiet.latest(items) if items[0].parked else ([], self.quiet.put_off(items))
        elif self._controls.sieve is not None and not items[0].parked:
            left = [item for item in items if self._is_let_through(item)]
            passed_over = len(items) - len(left)
        else:
            return items, 0
        return left, passed_over

    def wait(self) -> float:
        """Seconds until the handler may be called."""
        controls = self._controls
        waits = [each.wait() for each in (controls.circuit, controls.meter) if each is not None]
        return max(waits, default=0.0)

    @property
    def is_waiting(self) -> bool:
        """Does it rest with events in its hands, or has it only to be woken?"""
        return bool(self._waiting)

    @property
    def held(self) -> Hold | None:
        """What it keeps back at this moment, where it rests and would rest on if it were woken."""
        wait = self.wait() if self.is_waiting else 0.0
        if wait <= 0:
            return None
        by: Literal["breaker", "rate"] = "breaker" if self._controls.is_shut else "rate"
        return Hold(by, self._clock.monotonic() + wait, self._waiting, self._is_fresh)

    async def hold(self, items: list[Item], stretch: Stretch) -> list[Item]:
        """Have as many answered as may be, for a while; returns the others.

        Before a long wait it returns, so that what is done is settled. News, a stop and changed lanes end a wait.
        """
        loop = asyncio.get_running_loop()
        until, self._is_fresh = loop.time() + _FLUSH_AFTER, True
        while items and loop.time() < until:
            wait = self.wait()
            if wait <= 0:
                items, self._is_fresh = await self._through(items, stretch), False
            elif wait <= SETTLE_AFTER or self._is_fresh:
                await self._wait(items, min(wait, _LOOK))
            else:
                break
            if self._is_called():
                break
        return items

    async def _wait(self, items: list[Item], seconds: float) -> None:
        self._waiting = items
        try:
            await self._rest(seconds)
        finally:
            self._waiting = []

    async def _through(self, items: list[Item], stretch: Stretch) -> list[Item]:
        """Let as many through as may be called now; returns those without an answer, in the order of the log."""
        circuit = self._controls.circuit
        if circuit is None or circuit.is_closed:
            return await self._let_through(items, len(items), stretch)
        if not circuit.enter(self._batch):
            return items
        refusals = self._batch.refusals
        try:
            left = await self._let_through(items, 1, stretch)
            if len(left) < len(items) and self._batch.refusals == refusals:
                circuit.succeeded(self._batch, group=self._controls.group)
            return left
        finally:
            circuit.leave(self._batch)  # neither: it was not called

    async def _let_through(self, items: list[Item], most: int, stretch: Stretch) -> list[Item]:
        meter = self._controls.meter
        many = 1 if items[0].parked else self._many
        count = most if meter is None else min(meter.take(-(-most // many)) * many, most)
        ranked = items if self._ranking is None else self._ranking.ranked(items)
        self.behind = ranked[count:]
        try:
            left = await stretch(ranked[:count]) if count else []
        finally:
            behind, self.behind = self.behind, []
        if meter is not None:
            meter.give_back(len(left) // many)
        return sorted([*left, *behind], key=_order) if self._ranking is not None else [*left, *behind]

    def _is_let_through(self, item: Item) -> bool:
        key, sieve = delivery_key(item.record, item.position), self._controls.sieve
        if key is None or sieve is None or sieve.lets_through(key, item.record.order):
            return True
        self._batch.pass_over(item.record.order, item.record.slot, "throttle")
        return False


def _order(item: Item) -> int:
    return item.record.order
