"""`Reader`: one group in one process. It claims lanes, looks, has the handler called, settles, and waits for news."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from tidings.clock import Clock
from tidings.errors import Fenced
from tidings.handling.batch import Answers
from tidings.handling.calling import execution_of
from tidings.handling.delivery import Item
from tidings.handling.execution import Execution
from tidings.handling.feed import Feed
from tidings.handling.flow.batched_tx import InsideBatch
from tidings.handling.flow.controls import Controls, controls_of
from tidings.handling.flow.gate import Gate
from tidings.handling.flow.gathering import Gathering
from tidings.handling.flow.holding import Hold
from tidings.handling.interruption import Interruption
from tidings.handling.outgoing import Outgoing
from tidings.handling.report import MetricsHook, say
from tidings.handling.settling import SETTLE_AFTER, Settling, Unsettled
from tidings.handling.subscription import Subscription
from tidings.handling.transactional import InsideTransaction, ReadLean
from tidings.handling.trouble import Trouble
from tidings.log import Lease, Log
from tidings.log.group import LANES
from tidings.log.position import order_in

BLOCKED_LIMIT = "blocked_limit"  # what the reason of a pause begins with when no operator wished it
_FLUSH_AFTER = 0.2  # seconds a batch may run before what is done is settled
_IDLE = 5.0  # the bell wakes earlier; each log sees to it that it rings when it holds more than was heard of
_HUNG = 1.0  # seconds between looks at retries while some of them are due and their handler hangs


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
        execution: Callable[[Answers], Execution] | None = None,
        controls: Controls | None = None,
    ) -> None:
        self.subscription = subscription
        self.trouble = Trouble(subscription.name)
        self.controls = controls or controls_of(subscription.policy.flow, subscription.name, clock)
        self.batch = Answers(subscription, outgoing, clock, self.controls)
        self.settling = Settling(subscription.name, log, self.batch, clock, metrics, subscription.group.patterns)
        self.feed = feed
        self._log = log
        self.member = member
        self._clock = clock
        self._hears = subscription.matcher()
        self._ear = log.bell.listen()
        self._control = 0  # the counter of members' and operators' changes up to which the lease is known to hold
        self._is_behind = False  # on what they changed beside the lease, such as which parked events are due
        self._execution = (
            execution(self.batch)
            if execution is not None
            else execution_of(subscription, log, self.batch, self.settling, clock, self._ear.ring)
        )
        self._gate = None if self.controls is None else self._new_gate(self.controls)
        batches = subscription.policy.flow.batch
        self._gathering = None if batches is None else Gathering(batches, clock)
        self._stopping = False
        self._is_resting = False
        self.on_rest: Callable[[], None] | None = None  # called whenever it begins to wait for news, or for its time

    @property
    def hold(self) -> Hold | None:
        """What flow control keeps back here until later; None while there is anything to be done before that."""
        if not self._is_resting or self._stopping or self._is_told:
            return None
        held = None if self._gate is None else self._gate.held
        if held is not None or self._gathering is None:
            return held
        return None if self._has_news(self._gathering.upto) else self._gathering.held

    @property
    def is_idle(self) -> bool:
        """Does it wait, with nothing in its hands, for what nobody has told of yet?"""
        if not self._is_resting or self._stopping or self._is_told:
            return False
        if self._gate is not None and self._gate.is_waiting:
            return False
        if self._gathering is not None and self._gathering.wait() is not None:
            return False
        return not self.settling.held.lanes or not self._has_news(self.settling.cursor)

    @property
    def hindrance(self) -> str:
        """What in this process keeps the group from getting on, in words; empty when nothing does."""
        circuit = None if self.controls is None else self.controls.circuit
        return self.trouble.reason or (circuit.trouble if circuit is not None else "")

    def stop(self) -> None:
        """Take no further event; `run` returns when the one in hand is answered and settled."""
        self._stopping = True
        self._execution.pause()
        self._ear.ring()

    async def run(self) -> None:
        """Read until stopped. When the log fails it says so, waits, and goes on: a reader never goes silent."""
        try:
            while not self._stopping:
                try:
                    await self._lead()
                except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
                    raise
                except BaseException as error:  # even our own mistakes must not silence a group
                    await self._wait(self._lost(error))
        finally:
            self.close()

    def close(self) -> None:
        """Let go of its threads, also when it never ran. Closing twice is harmless."""
        self._execution.close()
        self._log.bell.forget(self._ear)

    async def _lead(self) -> None:
        """Claim, and read under that lease until members or an operator change something."""
        await self._claim()
        while not self._stopping:
            if self._is_told or self._is_behind:
                await self.settling.settle(None)
                await self._claim()
            lease = self.settling.held
            if not lease.lanes or lease.state == "paused":
                self.trouble.over()
                await self._rest(_IDLE)
                continue
            await self._run_due()
            more = await (self._look(lease) if self._gathering is None else self._gather(lease, self._gathering))
            self.trouble.over()
            if not more:
                await self._rest(self._patience())
        await self.settling.settle(None)

    @property
    def _is_told(self) -> bool:
        """Have members or an operator changed something since the last claim?"""
        return self._log.bell.control != self._control

    async def _claim(self) -> None:
        """Begin under the lease that is had now."""
        lease = await self._leased()
        is_same = self._is_had(lease)
        if not is_same:
            facts = {"member": self.member, "lanes": len(lease.lanes), "fence": lease.fence}
            say(logging.INFO, "claim", group=self.subscription.name, **facts)
        self.settling.begin(lease)
        self._is_behind = False
        if self._gathering is not None:
            self._gathering.restart(self.settling.cursor, self._gathering.since if is_same else None)
        await self._recall()

    async def _leased(self) -> Lease:
        """The lease under what is known now."""
        self._control = self._log.bell.control
        alone = self.subscription.policy.flow.singleton
        return await self._log.ledger.claim(self.subscription.name, self.member, alone=alone)

    def _is_had(self, lease: Lease) -> bool:
        """Is it the one that this reader has?"""
        before = self.settling.lease
        return before is not None and before.fence == lease.fence and before.lanes.keys() == lease.lanes.keys()

    async def _still_has(self) -> bool:
        """Is the lease the same after all that was changed? A pause is waited out here."""
        while self._is_told:
            lease = await self._leased()
            self._is_behind = True
            if not self._is_had(lease):
                return False
            self.settling.held.state = lease.state
            while lease.state == "paused" and not (self._is_told or self._stopping):
                await self._ear.wait(_IDLE)
        return True

    async def _recall(self) -> None:
        """Know again which keys wait, as the ledger has it."""
        batch = self.batch
        held = await self._log.ledger.held(self.settling.held)
        batch.held.clear()
        batch.held.update(held.keys)
        batch.next_due, batch.blocked, batch.passing = held.next_due, held.blocked, held.passing
        if batch.hung and batch.next_due is not None:  # it may be theirs, and theirs must wait
            batch.next_due = max(batch.next_due, self._clock.now() + _HUNG)
        if self._gate is not None and self._gate.quiet is not None:
            self._gate.quiet.recall(await self._log.ledger.deferred(self.settling.held))

    async def _look(self, lease: Lease) -> bool:
        """One slice; False when there is nothing more to read."""
        settling, blocked = self.settling, self.batch.blocked
        after = settling.position(settling.cursor)
        if settling.cursor and after >= self._log.bell.tip:
            await settling.settle(None)
            return False
        lanes = None if len(lease.lanes) == LANES else frozenset(lease.lanes)
        lean = self.subscription.takes_data_alone and not self.batch.held and not lease.uneven
        fetched = await self.feed.look(after, lanes, lean=lean, passing=self._passing())
        if not await self._run(self._wanted(fetched.slice.records and self.feed.own(fetched, self._hears), lease)):
            return True
        await self._move(lease, order_in(fetched.slice.upto), blocked, at_head=fetched.slice.at_head)
        # The slice may be one that a faster group has fetched, and its end no longer that of the log.
        return not fetched.slice.at_head or settling.position(settling.cursor) < self._log.bell.tip

    async def _gather(self, lease: Lease, gathering: Gathering) -> bool:
        """The same for a handler that takes a list: what is read stays before the cursor until it is enough."""
        settling, blocked = self.settling, self.batch.blocked
        at_head = True
        if gathering.wants_more and (not gathering.upto or settling.position(gathering.upto) < self._log.bell.tip):
            lanes = None if len(lease.lanes) == LANES else frozenset(lease.lanes)
            lean = self.subscription.takes_data_alone and not self.batch.held and not lease.uneven
            after = settling.position(gathering.upto)
            fetched = await self.feed.look(after, lanes, lean=lean, passing=self._passing())
            items = self._wanted(fetched.slice.records and self.feed.own(fetched, self._hears), lease)
            gathering.add(items, order_in(fetched.slice.upto))
            at_head = fetched.slice.at_head
        since = gathering.since
        if not await self._run(gathering.take()):
            gathering.restart(settling.cursor, since)
            return True
        await self._move(lease, gathering.low, blocked, at_head=at_head)
        return not (at_head and gathering.wants_more) or settling.position(gathering.upto) < self._log.bell.tip

    async def _move(self, lease: Lease, order: int, blocked: int, *, at_head: bool) -> None:
        """All up to this order is answered, or waits where the ledger knows of it."""
        settling = self.settling
        settling.cursor = order
        if lease.uneven and settling.cursor >= max(lease.lanes.values()):
            lease.lanes = dict.fromkeys(lease.lanes, settling.cursor)
        await settling.settle_if_due(at_head=at_head)
        if self.batch.blocked > max(blocked, self.subscription.policy.blocked_limit - 1):
            await self._pause_group()

    def _passing(self) -> frozenset[int]:
        """What is left out of the next look; once all of it lies behind, looks are shared with other groups again."""
        batch = self.batch
        if batch.passing and self.settling.cursor >= max(batch.passing):
            batch.passing = frozenset()
        return batch.passing

    def _wanted(self, items: list[Any], lease: Lease) -> list[Item]:
        """Without what a lane that is further than others has done already."""
        if not lease.uneven:
            return items
        return [item for item in items if item.record.order > lease.lanes[item.record.slot % LANES]]

    async def _pause_group(self) -> None:
        """More and more events wait behind others: an operator has to look."""
        name = self.subscription.name
        say(logging.ERROR, "pause", group=name, blocked=self.batch.blocked, reason="blocked_limit")
        why = f"{self.batch.blocked:,} events wait behind others: see 'tidings dead list'"
        await self._log.ledger.set_state(name, "paused", f"{BLOCKED_LIMIT}: {why}")

    async def _run(self, items: list[Item]) -> bool:
        """Have every item answered, and settle on the way when that takes long; False when it ended before."""
        passed_over = 0
        if self._gate is not None:
            if items and self._gate.wait() > SETTLE_AFTER:
                await self.settling.settle(None)  # of the slices before; it may be long until the next settlement
            items, passed_over = self._gate.sift(items)
        remaining = items
        while remaining:
            if await self._has_left(remaining, items):
                return False
            remaining = await (
                self._stretch(remaining) if self._gate is None else self._gate.hold(remaining, self._stretch)
            )
            if remaining:
                await self.settling.settle(remaining[0].record.order - 1)
        if passed_over:  # and not before, as what is left without an answer comes again with them
            self.settling.passed_over(passed_over)
        return True

    async def _has_left(self, remaining: list[Item], items: list[Item]) -> bool:
        """Has a stop, or something that was changed, put an end to this?

        What is answered past an event without an answer cannot be settled, and would be handled again. So most changes
        have to wait for the end of the slice; where that is long, because something holds the next call back, they are
        looked at here, and only other lanes are a reason to leave.
        """
        is_in_order = not self.settling.moving or remaining[0] is items[-len(remaining)]
        if self._is_told and not is_in_order and self._is_held_back and not await self._still_has():
            self.batch.forget()
            return True
        if self._stopping or (self._is_told and is_in_order):
            await self._settle_before(remaining)
            return True
        return False

    @property
    def _is_held_back(self) -> bool:
        """Must the next call wait?"""
        return self._gate is not None and self._gate.wait() > 0

    async def _settle_before(self, left: list[Item]) -> None:
        """What is done is settled; answers past an event without one are not, and come again."""
        if left:
            await self.settling.settle(min(item.record.order for item in left) - 1)
        self.batch.forget()

    async def _stretch(self, items: list[Item]) -> list[Item]:
        """Answer some items, for a while; returns the others."""
        self.settling.starts()
        form = self.subscription.form
        if form.uses_tx and not form.is_async:
            left = await self._inside(items)
        else:
            pause = asyncio.get_running_loop().call_later(_FLUSH_AFTER, self._execution.pause)
            try:
                left = await self._execution.run(items)
            except asyncio.CancelledError:
                behind = [] if self._gate is None else self._gate.behind
                await self._settle_before([*self._execution.left, *behind])
                raise
            finally:
                pause.cancel()
        self.settling.answered(len(items) - len(left))
        return left

    async def _inside(self, items: list[Item]) -> list[Item]:
        """Plain handlers with `tx`: calling them is a part of the settlement."""
        await self.settling.settle(items[0].record.order - 1)
        interruption = Interruption(self.subscription.policy.timeout, self._is_stuck)
        kind = InsideBatch if self.subscription.form.takes_list else InsideTransaction
        work = kind(self.subscription, self.batch, self.settling, items, interruption)
        while True:
            overran = len(work.overran)
            try:
                with interruption.watched():
                    await self.settling.commit(work.settlement)
            except Unsettled as unsettled:
                if isinstance(unsettled.error, ReadLean):
                    await self.settling.complete(items)
                elif len(work.overran) == overran:
                    raise
            else:
                return work.left

    def _is_stuck(self) -> None:
        """A plain handler with `tx` blocks where it cannot be ended."""
        self.trouble.says(f"{self.subscription.name} blocks in the log's transaction: no event is recorded meanwhile")

    async def _run_due(self) -> None:
        """Go through the parked events whose time has come, each key in order."""
        batch = self.batch
        while batch.next_due is not None and batch.next_due <= self._clock.now():
            await self.settling.settle(None)
            batch.begin_parked()
            self.settling.moving = False
            try:
                items = await self._due_items()
                finished = await self._run(items)
                await self.settling.settle(None)
            finally:
                self.settling.moving = True
            await self._recall()
            if not items or not finished:
                return

    async def _due_items(self) -> list[Item]:
        parked = await self._log.ledger.due(self.settling.held, self._clock.now())
        known = [(each, each.record) for each in parked if each.record is not None]
        if len(known) < len(parked):
            self.batch.gone([each for each in parked if each.record is None])
        items = self.feed.decode([record for _, record in known], self.settling.held.epoch)
        for item, (each, _) in zip(items, known, strict=True):
            item.parked, item.attempts = True, each.attempts
        return items

    async def _rest(self, seconds: float) -> None:
        """Wait for news, or so long."""
        self._is_resting = True
        if self.on_rest is not None:
            self.on_rest()
        try:
            await self._ear.wait(seconds)
        finally:
            self._is_resting = False

    def _has_news(self, order: int) -> bool:
        """Is there anything past this order, or among the parked, to be looked at now?"""
        due = self.batch.next_due
        return self.settling.position(order) < self._log.bell.tip or (due is not None and due <= self._clock.now())

    def _patience(self) -> float:
        due = self.batch.next_due
        wait = _IDLE if due is None else min(max(due - self._clock.now(), 0.0), _IDLE)
        gathered = None if self._gathering is None else self._gathering.wait()
        return wait if gathered is None else min(wait, gathered)

    def _new_gate(self, controls: Controls) -> Gate:
        if controls.circuit is not None:
            controls.circuit.on_look.append(self._look_up)
        return Gate(controls, self.batch, self._clock, self._rest, lambda: self._stopping or self._is_told)

    def _look_up(self) -> None:
        """The group's circuit has opened or closed; from any thread."""
        if self.batch.is_shut:
            self._execution.pause()
        self._ear.ring_from_thread()

    def _lost(self, error: BaseException) -> float:
        """The lease is given up; returns the seconds to wait before the next one."""
        while isinstance(error, Unsettled | BaseExceptionGroup):
            error = error.error if isinstance(error, Unsettled) else error.exceptions[0]
        self.settling.lose()
        if not isinstance(error, Fenced):
            return self.trouble.met(error)
        name, reason = self.subscription.name, "another member owns the lanes"
        say(logging.WARNING, "fence", group=name, member=self.member, reason=reason)
        return 0.0

    async def _wait(self, seconds: float) -> None:
        """Wait so long, whatever news there is meanwhile; a stop ends it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not self._stopping and (left := until - loop.time()) > 0:
            await self._ear.wait(left)
