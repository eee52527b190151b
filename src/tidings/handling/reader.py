"""`Reader`: one group in one process. It claims lanes, looks, has the handler called, settles, and waits for news."""

import logging
from typing import Any

from tidings.clock import Clock
from tidings.errors import Fenced, TidingsError
from tidings.handling.batch import Batch
from tidings.handling.delivery import Item
from tidings.handling.execution import Concurrent, Execution, Sequential
from tidings.handling.feed import Feed
from tidings.handling.outgoing import Outgoing
from tidings.handling.report import MetricsHook, logger, say
from tidings.handling.settling import Settling
from tidings.handling.subscription import Subscription
from tidings.handling.threaded import Threaded
from tidings.handling.transactional import InsideTransaction, Recording, Unsettled
from tidings.handling.watch import Pause
from tidings.log import Lease, Log, Settlement
from tidings.log.interface import LANES
from tidings.log.position import order_in

_FLUSH_AFTER = 0.2  # seconds a batch may run before what is done is settled
_IDLE = 5.0  # the bell wakes earlier; the application's pulse rings it when the file holds more than was heard of
_TROUBLE = (0.1, 5.0)  # seconds between tries when the log itself fails: first, longest


class Reader:
    """Runs one subscription over one log, as one member among others."""

    def __init__(
        self,
        subscription: Subscription,
        log: Log,
        member: str,
        feed: Feed,
        outgoing: Outgoing,
        clock: Clock,
        metrics: MetricsHook | None = None,
        execution: Execution | None = None,
    ) -> None:
        self.subscription = subscription
        self.trouble: str | None = None  # why it does not get on, for `health()`
        self.batch = Batch(subscription, outgoing, clock)
        self.settling = Settling(subscription.name, log, self.batch, clock, metrics)
        self._log = log
        self._member = member
        self.feed = feed
        self._clock = clock
        self._hears = subscription.matcher()
        self._execution = execution or self._way_of_calling()
        self._stopping = False
        self._ear = log.bell.listen()

    def stop(self) -> None:
        """Take no further event; `run` returns when the one in hand is answered and settled."""
        self._stopping = True
        self._execution.pause()
        self._ear.ring()

    async def run(self) -> None:
        """Read until stopped. When the log fails it says so, waits, and goes on: a reader never goes silent."""
        wait, longest = _TROUBLE
        try:
            while not self._stopping:
                try:
                    await self._lead()
                    wait = _TROUBLE[0]
                except Unsettled as unsettled:
                    self._lost(unsettled.error)
                except Exception as error:  # even our own mistakes must not silence a group
                    self._lost(error)
                if self.trouble is not None and not self._stopping:
                    await self._ear.wait(wait)
                    wait = min(wait * 2, longest)
        finally:
            self._execution.close()
            self._log.bell.forget(self._ear)

    async def _lead(self) -> None:
        """Claim, and read under that lease until members or an operator change something."""
        control = await self._claim()
        while not self._stopping:
            if self._log.bell.control != control:
                await self.settling.settle(None)
                control = await self._claim()
            lease = self.settling.held
            if not lease.lanes or lease.state == "paused":
                await self._ear.wait(_IDLE)
                continue
            self.trouble = None
            await self._run_due()
            if not await self._look(lease):
                await self._ear.wait(self._patience())
        await self.settling.settle(None)

    async def _claim(self) -> int:
        """A lease, and the operators' counter it was made under."""
        control = self._log.bell.control
        before, name = self.settling.lease, self.subscription.name
        lease = await self._log.ledger.claim(name, self._member)
        if before is None or before.fence != lease.fence or before.lanes.keys() != lease.lanes.keys():
            say(logging.INFO, "claim", group=name, member=self._member, lanes=len(lease.lanes), fence=lease.fence)
        self.settling.begin(lease)
        await self._recall()
        return control

    async def _recall(self) -> None:
        """Know again which keys wait, as the ledger has it."""
        batch = self.batch
        held = await self._log.ledger.held(self.settling.held)
        batch.held.clear()
        batch.held.update(held.keys)
        batch.next_due, batch.blocked = held.next_due, held.blocked
        if batch.blocked >= self.subscription.policy.blocked_limit and self.settling.held.state == "live":
            say(logging.ERROR, "pause", group=self.subscription.name, blocked=batch.blocked, reason="blocked_limit")
            await self._log.ledger.set_state(self.subscription.name, "paused")

    async def _look(self, lease: Lease) -> bool:
        """One slice; False when there is nothing more to read."""
        settling = self.settling
        after = settling.position(settling.cursor)
        if settling.cursor and after >= self._log.bell.tip:
            await settling.settle(None)
            return False
        lanes = None if len(lease.lanes) == LANES else frozenset(lease.lanes)
        lean = self._may_be_lean and not self.batch.held and not lease.uneven
        fetched = await self.feed.look(after, lanes, lean=lean)
        if not await self._run(self._wanted(fetched.slice.records and self.feed.own(fetched, self._hears), lease)):
            return True
        settling.cursor = order_in(fetched.slice.upto)
        if lease.uneven and settling.cursor >= max(lease.lanes.values()):
            lease.lanes = dict.fromkeys(lease.lanes, settling.cursor)
        await settling.settle_if_due(at_head=fetched.slice.at_head)
        if self.batch.blocked >= self.subscription.policy.blocked_limit:
            await self._recall()
        return not fetched.slice.at_head

    def _wanted(self, items: list[Any], lease: Lease) -> list[Item]:
        """Without what a lane that is further than others has done already; with positions, where they are known."""
        if lease.uneven:
            items = [item for item in items if item.record.order > lease.lanes[item.record.slot % LANES]]
        if items and items[0].record.envelope is not None:
            self.settling.place(items)
        return items

    async def _run(self, items: list[Item]) -> bool:
        """Have every item answered, and settle on the way when that takes long; False when it was stopped before."""
        remaining = items
        while remaining:
            if self._stopping:
                await self.settling.settle(remaining[0].record.order - 1)
                return False
            count = len(remaining)
            remaining = await self._stretch(remaining)
            self.settling.handling(count - len(remaining))
            if remaining:
                await self.settling.settle(remaining[0].record.order - 1)
        return True

    async def _stretch(self, items: list[Item]) -> list[Item]:
        """Answer some items, for a while; returns the others."""
        form = self.subscription.form
        if form.uses_tx and not form.is_async:
            return await self._inside(items)
        pause = Pause(_FLUSH_AFTER, self._execution.pause)
        try:
            return await self._execution.run(items)
        finally:
            pause.end()

    async def _inside(self, items: list[Item]) -> list[Item]:
        """Plain handlers with `tx`: calling them is a part of the settlement."""
        await self.settling.settle(items[0].record.order - 1)
        await self.settling.complete(items)
        settlement = Settlement(self.settling.held)
        work = InsideTransaction(self.subscription, self.batch, self.settling, items, settlement)
        settlement.work = work
        await self.settling.commit(settlement)
        return work.left

    async def _run_due(self) -> None:
        """Go through the parked events whose time has come, each key in order."""
        batch = self.batch
        while batch.next_due is not None and batch.next_due <= self._clock.now() and not self._stopping:
            await self.settling.settle(None)
            batch.begin_parked()
            self.settling.moving = False
            try:
                items = await self._due_items()
                await self._run(items)
                await self.settling.settle(None)
            finally:
                self.settling.moving = True
            await self._recall()
            if not items:
                return

    async def _due_items(self) -> list[Item]:
        parked = await self._log.ledger.due(self.settling.held, self._clock.now())
        known = [(each, each.record) for each in parked if each.record is not None]
        items = self.feed.decode([record for _, record in known])
        self.settling.place(items)
        for item, (each, _) in zip(items, known, strict=True):
            item.parked, item.attempts = True, each.attempts
        return items

    def _patience(self) -> float:
        due = self.batch.next_due
        return _IDLE if due is None else min(max(due - self._clock.now(), 0.0), _IDLE)

    @property
    def _may_be_lean(self) -> bool:
        subscription = self.subscription
        form = subscription.form
        return form.is_plain and form.is_async and not form.returns_events and subscription.policy.concurrency == 1

    def _way_of_calling(self) -> Execution:
        subscription, complete = self.subscription, self.settling.complete
        if not subscription.form.is_async:
            return Threaded(subscription, self.batch, self._clock, complete)
        if subscription.form.uses_tx:
            return Recording(subscription, self.batch, self._clock, complete, self._log, self.settling.settle)
        kind = Sequential if subscription.policy.concurrency == 1 else Concurrent
        return kind(subscription, self.batch, self._clock, complete)

    def _lost(self, error: BaseException) -> None:
        name = self.subscription.name
        self.settling.lose()
        if isinstance(error, Fenced):
            say(logging.WARNING, "fence", group=name, member=self._member, reason="another member owns the lanes")
            return
        self.trouble = f"{type(error).__name__}: {error}"
        say(logging.ERROR, "trouble", group=name, member=self._member, reason=self.trouble)
        if not isinstance(error, TidingsError):
            logger.error("group %s", name, exc_info=error)
