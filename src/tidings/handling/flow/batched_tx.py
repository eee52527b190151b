"""Handlers that take a list and `tx`: what they write for the whole batch commits with its cursor, or not at all."""

import time
from typing import Any

from tidings.clock import Clock
from tidings.handling.batch import Answers
from tidings.handling.delivery import Current, Item
from tidings.handling.flow.batched import Batched
from tidings.handling.flow.settings import Batch
from tidings.handling.interruption import Interruption
from tidings.handling.settling import Settling, Unsettled
from tidings.handling.subscription import Subscription
from tidings.handling.transactional import TURN, InsideTransaction, is_of_the_writes
from tidings.log import Log


class InsideBatch(InsideTransaction):
    """`def handler(events: list[...], tx)`: inside the settlement's transaction, and one by one when that failed."""

    def __init__(
        self,
        subscription: Subscription,
        batch: Answers,
        settling: Settling,
        items: list[Item],
        interruption: Interruption,
    ) -> None:
        super().__init__(subscription, batch, settling, items, interruption)
        many = self._many = subscription.form.caller(subscription.name)
        self._call = lambda item, tx: many([item], tx)
        self._size = (subscription.policy.flow.batch or Batch()).size

    def _together(self, tx: Any, cell: Current) -> int:
        until = time.monotonic() + TURN
        for start in range(0, len(self._all), self._size):
            if start and time.monotonic() > until:
                return start
            items = self._all[start : start + self._size]
            if self._batch.is_holding or any(item.failure or item.parked for item in items):
                self._refuse_lean()
            if items[0].parked:
                return self._careful(tx, cell, start, until)
            called = [item for item in items if self._batch.may_call(item)]
            if called:
                self._call_many(called, tx, cell)
        return len(self._all)

    def _call_many(self, items: list[Item], tx: Any, cell: Current) -> None:
        cell.item = items[-1]
        tx.deadline = time.monotonic() + self._limit
        result = self._many(items, tx)
        if result is not None:
            self._refuse_lean()
            self._batch.done(items[-1], self._batch.effects_of_many(items, result))


class RecordingBatch(Batched):
    """`async def handler(events: list[...], tx)`: each batch settled with what it recorded, before the next begins."""

    def __init__(self, subscription: Subscription, batch: Answers, clock: Clock, settling: Settling, log: Log) -> None:
        super().__init__(subscription, batch, clock, settling.complete)
        self._settling = settling
        self._log = log

    async def _called(self, items: list[Item]) -> Any:
        if not self._batch.is_empty:  # it has to read what the events before it have left behind
            await self._settling.settle(items[0].record.order - 1)
        tx, order = self._log.recorder(), items[-1].record.order
        result = await self._watched(items, tx)
        if not tx.writes and not tx.drafts:
            return result
        events = tx.drafts + await self._effects(items, result)
        cleared = [item.record.order for item in items if item.parked]
        try:
            await self._settling.settle(order, writes=tx.writes, events=events, cleared=cleared)
        except Unsettled as unsettled:
            if is_of_the_writes(unsettled.error):
                raise unsettled.error from None
            raise
        return None
