"""`Lane`: arrivals of some keys, handled one after the other, and answered to their inbox."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from tidings.brokers import Arrival, Capabilities, Inbox
from tidings.clock import Clock
from tidings.errors import EventRefused
from tidings.events import Event
from tidings.handling.acknowledging import Acknowledging
from tidings.handling.batch import Answers
from tidings.handling.delivery import Item
from tidings.handling.direct.answers import DirectAnswers, Stopped
from tidings.handling.direct.arrivals import Arrivals
from tidings.handling.execution import Concurrent, Execution, Sequential
from tidings.handling.flow.batched import Batched, BatchedInThread
from tidings.handling.flow.holding import Hold
from tidings.handling.flow.settings import Batch
from tidings.handling.outgoing import Effect, divided
from tidings.handling.report import Metrics, MetricsHook
from tidings.handling.subscription import Subscription
from tidings.handling.threaded import Threaded
from tidings.log import Parked
from tidings.log.record import drafted

Outlet = Callable[[Sequence[Event]], Awaitable[Any]]  # where events go that handlers return
_FLUSH_AFTER = 0.2  # seconds that handlers may run before what is done is settled


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
        self._keeps = capabilities.dead_letters and subscription.policy.on_exhausted != "drop"
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
        self._lists = subscription.policy.flow.batch  # of what size, for a handler that takes lists
        self._since = 0.0  # when the first of the queue came, or what was before it went
        self._queue: list[Item] = []
        self._hung: list[Item] = []  # their key's handler has not returned from a call that timed out
        self._waiting: list[tuple[float, Item]] = []  # keep their place here until then, of monotonic time
        self.hold: Hold | None = None  # what it waits for with events in its hands
        self.on_rest: Callable[[], None] | None = None  # called when it begins to wait so
        self._news = asyncio.Event()
        self._ending = False
        self.handled = 0

    def add(self, items: list[Item]) -> None:
        """Have these handled after what is there."""
        if not self._queue:
            self._since = self._clock.monotonic()
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
                await self._rest(self._waited_for())
                self._again()
                while self._queue and not self._ending:
                    count = len(self._queue) if self._lists is None else await self._gathered(self._lists)
                    items, self._queue = self._queue[:count], self._queue[count:]
                    self._since = self._clock.monotonic()
                    left = await self._stretch(items) if items else []
                    self._queue = [*left, *self._queue]
                    self._again()
        finally:
            self._execution.close()

    async def _gathered(self, lists: Batch) -> int:
        """How many are to be handled now: those of full lists, or all once the first has waited; 0 when it ends."""
        while not self._ending:
            full, until = len(self._queue) // lists.size * lists.size, self._since + lists.wait
            if full or until <= self._clock.monotonic():
                return full or len(self._queue)
            await self._rest(Hold("batch", until, tuple(self._queue)))
        return 0

    def _waited_for(self) -> Hold | None:
        if not self._waiting:
            return None
        return Hold("breaker", min(due for due, _ in self._waiting), tuple(item for _, item in self._waiting))

    async def _rest(self, hold: Hold | None) -> None:
        """Wait for news, and no longer than something is held."""
        if hold is None:
            await self._news.wait()
        else:
            await self._hold(hold)
        self._news.clear()

    async def _hold(self, hold: Hold) -> None:
        seconds = hold.until - self._clock.monotonic()
        waits = [asyncio.ensure_future(self._news.wait()), asyncio.ensure_future(self._clock.sleep(seconds))]
        self.hold = hold
        if self.on_rest is not None:
            self.on_rest()
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.hold = None
            for each in waits:
                each.cancel()

    async def _stretch(self, items: list[Item]) -> list[Item]:
        """Answer some items, for a while; returns the others."""
        started = self._clock.monotonic()
        if not self._is_lean:
            await self._arrivals.complete(items)
        pause = asyncio.get_running_loop().call_later(_FLUSH_AFTER, self._execution.pause)
        try:
            left = await self._execution.run(items)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):  # what cannot be settled any more comes again
                await self._answer(_without(items, self._execution.left), started)
            raise
        finally:
            pause.cancel()
        answered = _without(items, left)
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
                effects = self._batch.effects = await self._refused(culprit, refused, items)
            else:
                return len(drafts)
        return 0

    async def _refused(self, order: int, error: EventRefused, items: list[Item]) -> list[tuple[int, Sequence[Effect]]]:
        """An event fails as no carrier takes what its handler returned; gives what else is to be published.

        Where the group stops at it, what later ones have returned is not: they are handled again.
        """
        effects = self._batch.effects
        place = next(index for index, (each, _) in enumerate(effects) if each == order)
        await self._arrivals.complete(items)
        by_order = {item.record.order: item for item in items}
        self._batch.failed(by_order[order], error, by_order[order].attempts + 1)
        if not self._batch.has_stopped:
            return [*effects[:place], *effects[place + 1 :]]
        for later, _ in effects[place + 1 :]:
            self._batch.must_wait(by_order[later])
        return list(effects[:place])

    async def _set_aside(self, one: Parked, items: list[Item]) -> None:
        """An event has failed for now, or for good."""
        wait = max(one.due - self._clock.now(), 0.0)
        if one.state == "retry" and not self._capabilities.delay:  # a breaker is open, say: it keeps its place here
            item = next(item for item in items if item.record.order == one.order)
            again = msgspec.structs.replace(item.fresh(), attempts=one.attempts)
            self._waiting.append((self._clock.monotonic() + wait, again))
            return
        if one.state == "retry":
            [arrival] = self._arrivals.take([one.order])
            arrival.attempt = max(one.attempts, 1)
            await self._inbox.retry(arrival, wait)
            return
        if self._stops:
            raise Stopped(self._name, one)
        [arrival] = self._arrivals.take([one.order])
        arrival.attempt = max(one.attempts, 1)  # calls on the spot are attempts, too
        await self._give_up(arrival, one)

    async def _give_up(self, arrival: Arrival, one: Parked) -> None:
        if self._keeps:
            await self._inbox.reject(arrival, one.reason, one.detail)
        else:
            await self._inbox.settle([arrival])

    def _again(self) -> None:
        """Have those handled next whose time has come."""
        if self._waiting:
            now = self._clock.monotonic()
            self._queue = [*(item for due, item in self._waiting if due <= now), *self._queue]
            self._waiting = [each for each in self._waiting if each[0] > now]

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


def _without(items: list[Item], left: list[Item]) -> list[Item]:
    """Those that have an answer."""
    if not left:
        return items
    orders = {item.record.order for item in left}
    return [item for item in items if item.record.order not in orders]


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
