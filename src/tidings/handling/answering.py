"""`Answering`: has events answered by the handler, and what is done settled on the way."""

import asyncio

from tidings.handling.batch import Answers
from tidings.handling.claim import Claim
from tidings.handling.delivery import Item
from tidings.handling.execution import Execution
from tidings.handling.flow.batched_tx import InsideBatch
from tidings.handling.flow.gate import Gate
from tidings.handling.interruption import Interruption
from tidings.handling.settling import SETTLE_AFTER, Settling, Unsettled
from tidings.handling.subscription import Subscription
from tidings.handling.transactional import InsideTransaction, ReadLean
from tidings.handling.trouble import Trouble
from tidings.log.bell import Ear

_FLUSH_AFTER = 0.2  # seconds a batch may run before what is done is settled
IDLE = 5.0  # the bell wakes earlier; each log sees to it that it rings when it holds more than was heard of


class Answering:
    """Takes what a reader has read through the gate and the handler, until it is told to stop."""

    def __init__(
        self,
        subscription: Subscription,
        batch: Answers,
        settling: Settling,
        claim: Claim,
        execution: Execution,
        gate: Gate | None,
        ear: Ear,
        trouble: Trouble,
    ) -> None:
        self.is_stopping = False
        self._subscription = subscription
        self._batch = batch
        self._settling = settling
        self._claim = claim
        self._execution = execution
        self._gate = gate
        self._ear = ear
        self._trouble = trouble

    def stop(self) -> None:
        """Have no further event handled."""
        self.is_stopping = True
        self.pause()

    def pause(self) -> None:
        """Come back from the handler as soon as the event in hand is answered."""
        self._execution.pause()

    def close(self) -> None:
        """Let go of the handler's threads."""
        self._execution.close()

    async def run(self, items: list[Item]) -> bool:
        """Have every item answered, and settle on the way when that takes long; False when it ended before."""
        passed_over = 0
        if self._gate is not None:
            if items and self._gate.wait() > SETTLE_AFTER:
                await self._settling.settle(None)  # of the slices before; it may be long until the next settlement
            items, passed_over = self._gate.sift(items)
        remaining = items
        while remaining:
            if await self._has_left(remaining, items):
                return False
            remaining = await (
                self._stretch(remaining) if self._gate is None else self._gate.hold(remaining, self._stretch)
            )
            if remaining:
                await self._settling.settle(remaining[0].record.order - 1)
        if passed_over:  # and not before, as what is left without an answer comes again with them
            self._settling.passed_over(passed_over)
        return True

    async def _has_left(self, remaining: list[Item], items: list[Item]) -> bool:
        """Has a stop, or something that was changed, put an end to this?

        What is answered past an event without an answer cannot be settled, and would be handled again. So most changes
        have to wait for the end of the slice; where that is long, because something holds the next call back, they are
        looked at here, and only other lanes are a reason to leave.
        """
        is_in_order = not self._settling.moving or remaining[0] is items[-len(remaining)]
        if self._claim.is_told and not is_in_order and self._is_held_back and not await self._still_has():
            self._batch.forget()
            return True
        if self.is_stopping or (self._claim.is_told and is_in_order):
            await self._settle_before(remaining)
            return True
        return False

    @property
    def _is_held_back(self) -> bool:
        """Must the next call wait?"""
        return self._gate is not None and self._gate.wait() > 0

    async def _still_has(self) -> bool:
        """Are the lanes the same after all that was changed? A pause is waited out here."""
        claim = self._claim
        while claim.is_told:
            if not await claim.renew():
                return False
            while claim.is_paused and not (claim.is_told or self.is_stopping):
                await self._ear.wait(IDLE)
        return True

    async def _settle_before(self, left: list[Item]) -> None:
        """What is done is settled; answers past an event without one are not, and come again."""
        if left:
            await self._settling.settle(min(item.record.order for item in left) - 1)
        self._batch.forget()

    async def _stretch(self, items: list[Item]) -> list[Item]:
        """Answer some items, for a while; returns the others."""
        self._settling.starts()
        form = self._subscription.form
        left = await (self._inside(items) if form.uses_tx and not form.is_async else self._outside(items))
        self._settling.answered(len(items) - len(left))
        return left

    async def _outside(self, items: list[Item]) -> list[Item]:
        """Handlers that are called first, and settled behind that."""
        pause = asyncio.get_running_loop().call_later(_FLUSH_AFTER, self.pause)
        try:
            return await self._execution.run(items)
        except asyncio.CancelledError:
            behind = [] if self._gate is None else self._gate.behind
            await self._settle_before([*self._execution.left, *behind])
            raise
        finally:
            pause.cancel()

    async def _inside(self, items: list[Item]) -> list[Item]:
        """Plain handlers with `tx`: calling them is a part of the settlement."""
        await self._settling.settle(items[0].record.order - 1)
        interruption = Interruption(self._subscription.policy.timeout, self._is_stuck)
        kind = InsideBatch if self._subscription.form.takes_list else InsideTransaction
        work = kind(self._subscription, self._batch, self._settling, items, interruption)
        while True:
            overran = len(work.overran)
            try:
                with interruption.watched():
                    await self._settling.commit(work.settlement)
            except Unsettled as unsettled:
                if isinstance(unsettled.error, ReadLean):
                    await self._settling.complete(items)
                elif len(work.overran) == overran:
                    raise
            else:
                return work.left

    def _is_stuck(self) -> None:
        """A plain handler with `tx` blocks where it cannot be ended."""
        name = self._subscription.name
        self._trouble.says(f"{name} blocks in the log's transaction: no event is recorded meanwhile")
