"""`Lane`: arrivals of some keys, handled one after the other, and answered to their inbox."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import msgspec

from tidings.brokers import Arrival, Capabilities, Inbox
from tidings.clock import Clock
from tidings.errors import ConfigurationError, EventRefused, HandlingError
from tidings.events import Event
from tidings.handling.acknowledging import Acknowledging
from tidings.handling.batch import Answers
from tidings.handling.delivery import Item
from tidings.handling.direct.arrivals import Arrivals
from tidings.handling.execution import Concurrent, Execution, Sequential
from tidings.handling.flow.batched import Batched, BatchedInThread
from tidings.handling.outgoing import Effect, divided
from tidings.handling.report import Metrics, MetricsHook
from tidings.handling.subscription import Subscription
from tidings.handling.threaded import Threaded
from tidings.log import Parked
from tidings.log.record import Draft, drafted

Outlet = Callable[[Sequence[Event]], Awaitable[Any]]  # where events go that handlers return
_FLUSH_AFTER = 0.2  # seconds that handlers may run before what is done is settled


class Stopped(HandlingError):
    """A group has given an event up, and was told to stop then."""


class DirectAnswers(Answers):
    """Answers without a ledger: nobody waits behind an event that failed."""

    def effects_of(self, item: Item, result: Any) -> list[Effect]:
        """As for a log, but now: there is nothing that would keep a timer.

        Raises:
            ConfigurationError: it is to be published later; or see `Answers`.
        """
        return self._now(super().effects_of(item, result))

    def effects_of_many(self, items: list[Item], result: Any) -> list[Effect]:
        """The same for a call with several events.

        Raises:
            ConfigurationError: one is to be published later; or see `Answers`.
        """
        return self._now(super().effects_of_many(items, result))

    def _now(self, effects: list[Effect]) -> list[Effect]:
        if not all(type(effect) is Draft for effect in effects):
            raise ConfigurationError(f"{self._group} returned an event for later, which needs a log: give it log=...")
        return effects

    def _set_aside(
        self,
        item: Item,
        key: str | None,
        state: Literal["retry", "blocked", "dead"],
        attempts: int = 0,
        *,
        due: float = 0.0,
        reason: str,
        detail: str = "",
        blocks: bool = True,
    ) -> None:
        super()._set_aside(item, key, state, attempts, due=due, reason=reason, detail=detail, blocks=False)


class Lane:
    """Runs as a task of its own beside whoever receives, so that one works while the other waits."""

    def __init__(
        self,
        subscription: Subscription,
        inbox: Inbox,
        capabilities: Capabilities,
        arrivals: Arrivals,
        batch: DirectAnswers,
        outlet: Outlet,
        clock: Clock,
        metrics: MetricsHook | None,
        done: Acknowledging,
    ) -> None:
        self._name = subscription.name
        self._stops = subscription.policy.on_exhausted == "stop"
        self._inbox = inbox
        self._done = done
        self._capabilities = capabilities
        self._arrivals = arrivals
        self._batch = batch
        self._outlet = outlet
        self._clock = clock
        self._metrics = metrics
        self._execution = _execution(subscription, batch, arrivals, clock, self._wake)
        self._is_lean = subscription.takes_data_alone
        self._queue: list[Item] = []
        self._hung: list[Item] = []  # their key's handler has not returned from a call that timed out
        self._news = asyncio.Event()
        self._ending = False
        self.handled = 0

    def add(self, items: list[Item]) -> None:
        """Have these handled after what is there."""
        self._queue += items
        self._news.set()

    def end(self) -> None:
        """Take no further event; `run` returns when the one in hand is answered."""
        self._ending = True
        self._execution.pause()
        self._news.set()

    def close(self) -> None:
        """Let go of its threads, also when it never ran."""
        self._execution.close()

    async def run(self) -> None:
        """Handle what comes until told to end.

        Raises:
            BrokerError, LogError: an answer was not taken.
            Stopped: an event was given up, and that is where this group stops.
        """
        try:
            while not self._ending:
                await self._news.wait()
                self._news.clear()
                while self._queue and not self._ending:
                    items, self._queue = self._queue, []
                    left = await self._stretch(items)
                    self._queue = [*left, *self._queue]
        finally:
            self._execution.close()

    async def _stretch(self, items: list[Item]) -> list[Item]:
        """Answer some items, for a while; returns the others."""
        started = self._clock.monotonic()
        if not self._is_lean:
            await self._arrivals.complete(items)
        pause = asyncio.get_running_loop().call_later(_FLUSH_AFTER, self._execution.pause)
        try:
            left = await self._execution.run(items)
        finally:
            pause.cancel()
        without = {item.record.order for item in left}
        answered = [item for item in items if item.record.order not in without] if left else items
        if answered:
            await self._answer(answered, started)
        return left

    async def _answer(self, items: list[Item], started: float) -> None:
        published = await self._publish(items) if self._batch.effects else 0
        _, parked, _ = self._batch.take(None)
        self._batch.take_outcomes(None)
        aside = {one.order for one in parked}
        blocked = {one.order for one in parked if one.state == "blocked"}
        self._hung += [item for item in items if item.record.order in blocked]
        done = [item.record.order for item in items if item.record.order not in aside]
        self._done.add(self._arrivals.take(done))
        for one in parked:
            if one.order not in blocked:
                await self._set_aside(one, items)
        self._tell(len(items), parked, published, self._clock.monotonic() - started)

    async def _publish(self, items: list[Item]) -> int:
        """Hand over what handlers returned, and say how much it was; what is refused is the failure of its event."""
        effects = self._batch.effects
        while effects:
            drafts = [(order, draft) for order, each in effects for draft in divided(each)[0]]
            try:
                await self._outlet([drafted(draft) for _, draft in drafts])
            except EventRefused as refused:
                culprit = next((order for order, draft in drafts if draft.id == refused.event_id), None)
                if culprit is None:
                    raise
                effects = self._batch.effects = [each for each in effects if each[0] != culprit]
                item = next(item for item in items if item.record.order == culprit)
                await self._arrivals.complete([item])
                self._batch.failed(item, refused, item.attempts + 1)
            else:
                return len(drafts)
        return 0

    async def _set_aside(self, one: Parked, items: list[Item]) -> None:
        """An event has failed for now, or for good."""
        wait = max(one.due - self._clock.now(), 0.0)
        if one.state == "retry" and not self._capabilities.delay:  # a breaker is open, say: it keeps its place here
            item = next(item for item in items if item.record.order == one.order)
            again = msgspec.structs.replace(item.fresh(), attempts=one.attempts)
            asyncio.get_running_loop().call_later(wait, self._again, again)
            return
        if one.state == "retry":
            [arrival] = self._arrivals.take([one.order])
            await self._inbox.retry(arrival, wait)
            return
        if self._stops:
            raise Stopped(f"{self._name} has given up event {one.event_id} and stops: {one.reason}")
        [arrival] = self._arrivals.take([one.order])
        await self._give_up(arrival, one)

    async def _give_up(self, arrival: Arrival, one: Parked) -> None:
        if self._capabilities.dead_letters:
            arrival.attempt = max(one.attempts, 1)
            await self._inbox.reject(arrival, one.reason, one.detail)
        else:
            await self._inbox.settle([arrival])

    def _again(self, item: Item) -> None:
        """Its time has come."""
        self._queue = [item, *self._queue]
        self._news.set()

    def _wake(self) -> None:
        """A handler has returned that had been given up: its key can go on."""
        self._queue = [*self._hung, *self._queue]
        self._hung = []
        self._news.set()

    def _tell(self, handled: int, parked: Sequence[Parked], published: int, seconds: float) -> None:
        self.handled += handled
        if self._metrics is not None:
            dead = sum(one.state == "dead" for one in parked)
            try:
                self._metrics(Metrics(self._name, handled, len(parked) - dead, dead, published, seconds, 0))
            except Exception:  # a broken hook must not stop the work
                return


def _execution(
    subscription: Subscription, batch: Answers, arrivals: Arrivals, clock: Clock, wake: Callable[[], None]
) -> Execution:
    form = subscription.form
    if form.takes_list:
        if form.is_async:
            return Batched(subscription, batch, clock, arrivals.complete)
        return BatchedInThread(subscription, batch, clock, arrivals.complete, wake)
    if not form.is_async:
        return Threaded(subscription, batch, arrivals.complete, wake)
    kind = Sequential if subscription.policy.concurrency == 1 else Concurrent
    return kind(subscription, batch, clock, arrivals.complete)
