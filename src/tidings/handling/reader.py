"""`Reader`: one group in one process. It claims lanes, looks, has the handler called, settles, and waits for news."""

import asyncio
import logging
from collections.abc import Callable

from tidings.clock import Clock
from tidings.errors import Fenced
from tidings.handling.answering import IDLE, Answering
from tidings.handling.batch import Answers
from tidings.handling.calling import execution_of
from tidings.handling.claim import Claim
from tidings.handling.delivery import Item
from tidings.handling.execution import Execution
from tidings.handling.feed import Feed
from tidings.handling.flow.controls import Controls, controls_of
from tidings.handling.flow.gate import Gate
from tidings.handling.flow.gathering import Gathering
from tidings.handling.flow.holding import Hold
from tidings.handling.outgoing import Outgoing
from tidings.handling.report import MetricsHook, say
from tidings.handling.settling import Settling, Unsettled
from tidings.handling.subscription import Subscription
from tidings.handling.trouble import Trouble
from tidings.log import Lease, Log, Slice
from tidings.log.group import LANES
from tidings.log.position import Position, order_in

BLOCKED_LIMIT = "blocked_limit"  # what the reason of a pause begins with when no operator wished it


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
        called = (
            execution(self.batch)
            if execution is not None
            else execution_of(subscription, log, self.batch, self.settling, clock, self._ear.ring)
        )
        gate = self._gate = None if self.controls is None else self._new_gate(self.controls)
        quiet = None if gate is None else gate.quiet
        claim = self._claim = Claim(subscription, log, member, self.batch, self.settling, clock, quiet)
        self._answering = Answering(
            subscription, self.batch, self.settling, claim, called, gate, self._ear, self.trouble
        )
        batches = subscription.policy.flow.batch
        self._gathering = None if batches is None else Gathering(batches, clock)
        self._is_resting = False
        self.on_rest: Callable[[], None] | None = None  # called whenever it begins to wait for news, or for its time
        if self.controls is not None and self.controls.circuit is not None:
            self.controls.circuit.on_look.append(self._look_up)

    @property
    def hold(self) -> Hold | None:
        """What flow control keeps back here until later; None while there is anything to be done before that."""
        if not self._is_resting or self._is_called:
            return None
        held = None if self._gate is None else self._gate.held
        if held is not None or self._gathering is None:
            return held
        return None if self._has_news(self._gathering.upto) else self._gathering.held

    @property
    def is_idle(self) -> bool:
        """Does it wait, with nothing in its hands, for what nobody has told of yet?"""
        if not self._is_resting or self._is_called:
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
        self._answering.stop()
        self._ear.ring()

    async def run(self) -> None:
        """Read until stopped. When the log fails it says so, waits, and goes on: a reader never goes silent."""
        try:
            while not self._answering.is_stopping:
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
        self._answering.close()
        self._log.bell.forget(self._ear)

    async def _lead(self) -> None:
        """Claim, and read under that lease until members or an operator change something."""
        await self._take()
        while not self._answering.is_stopping:
            if self._claim.is_stale:
                await self.settling.settle(None)
                await self._take()
            lease = self.settling.held
            if not lease.lanes or self._claim.is_paused:
                self.trouble.over()
                await self._rest(IDLE)
                continue
            await self._run_due()
            more = await (self._look(lease) if self._gathering is None else self._gather(lease, self._gathering))
            self.trouble.over()
            if not more:
                await self._rest(self._patience())
        await self.settling.settle(None)

    async def _take(self) -> None:
        """Begin under the lease that is had now."""
        is_same = await self._claim.take()
        if self._gathering is not None:
            self._gathering.restart(self.settling.cursor, self._gathering.since if is_same else None)

    async def _look(self, lease: Lease) -> bool:
        """One slice; False when there is nothing more to read."""
        settling, blocked = self.settling, self.batch.blocked
        after = settling.position(settling.cursor)
        if settling.cursor and after >= self._log.bell.tip:
            await settling.settle(None)
            return False
        items, found = await self._fetch(lease, after)
        if not await self._answering.run(items):
            return True
        await self._move(lease, order_in(found.upto), blocked, at_head=found.at_head)
        # The slice may be one that a faster group has fetched, and its end no longer that of the log.
        return not found.at_head or settling.position(settling.cursor) < self._log.bell.tip

    async def _gather(self, lease: Lease, gathering: Gathering) -> bool:
        """The same for a handler that takes a list: what is read stays before the cursor until it is enough."""
        settling, blocked = self.settling, self.batch.blocked
        at_head = True
        if gathering.wants_more and (not gathering.upto or settling.position(gathering.upto) < self._log.bell.tip):
            items, found = await self._fetch(lease, settling.position(gathering.upto))
            gathering.add(items, order_in(found.upto))
            at_head = found.at_head
        since = gathering.since
        if not await self._answering.run(gathering.take()):
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

    async def _fetch(self, lease: Lease, after: Position) -> tuple[list[Item], Slice]:
        """The next slice, and what of it is this group's: without what a lane further than others has done already."""
        lanes = None if len(lease.lanes) == LANES else frozenset(lease.lanes)
        lean = self.subscription.takes_data_alone and not self.batch.held and not lease.uneven
        fetched = await self.feed.look(after, lanes, lean=lean, passing=self._passing())
        items = self.feed.own(fetched, self._hears) if fetched.slice.records else []
        if lease.uneven:
            items = [item for item in items if item.record.order > lease.lanes[item.record.slot % LANES]]
        return items, fetched.slice

    def _passing(self) -> frozenset[int]:
        """What is left out of the next look; once all of it lies behind, looks are shared with other groups again."""
        batch = self.batch
        if batch.passing and self.settling.cursor >= max(batch.passing):
            batch.passing = frozenset()
        return batch.passing

    async def _pause_group(self) -> None:
        """More and more events wait behind others: an operator has to look."""
        name = self.subscription.name
        say(logging.ERROR, "pause", group=name, blocked=self.batch.blocked, reason="blocked_limit")
        why = f"{self.batch.blocked:,} events wait behind others: see 'tidings dead list'"
        await self._log.ledger.set_state(name, "paused", f"{BLOCKED_LIMIT}: {why}")

    async def _run_due(self) -> None:
        """Go through the parked events whose time has come, each key in order."""
        batch = self.batch
        while batch.next_due is not None and batch.next_due <= self._clock.now():
            await self.settling.settle(None)
            batch.begin_parked()
            self.settling.moving = False
            try:
                items = await self._due_items()
                finished = await self._answering.run(items)
                await self.settling.settle(None)
            finally:
                self.settling.moving = True
            await self._claim.recall()
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

    @property
    def _is_called(self) -> bool:
        """Is it to stop, or to claim anew?"""
        return self._answering.is_stopping or self._claim.is_told

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
        wait = IDLE if due is None else min(max(due - self._clock.now(), 0.0), IDLE)
        gathered = None if self._gathering is None else self._gathering.wait()
        return wait if gathered is None else min(wait, gathered)

    def _new_gate(self, controls: Controls) -> Gate:
        return Gate(controls, self.batch, self._clock, self._rest, lambda: self._is_called)

    def _look_up(self) -> None:
        """The group's circuit has opened or closed; from any thread."""
        if self.batch.is_shut:
            self._answering.pause()
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
        while not self._answering.is_stopping and (left := until - loop.time()) > 0:
            await self._ear.wait(left)
