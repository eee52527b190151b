"""Handlers with `tx`: their own SQL commits with their cursor, or not at all.

A plain `def` runs on the log's writer thread, inside the settlement of the whole batch: first all together; after a
failure once more, each event in a savepoint. Nothing is tried again on the spot, as everybody else waits for the lock.
An `async def` never holds it: what it records is settled event by event, and when another writer was faster it is run
again.
"""

import sqlite3
import time
from math import inf
from typing import Any

from tidings.clock import Clock
from tidings.errors import HandlerTimeout, LogError, unusual
from tidings.handling.batch import Answers
from tidings.handling.delivery import Current, Item, current
from tidings.handling.execution import Calling
from tidings.handling.interruption import Interrupted, Interruption
from tidings.handling.outgoing import divided
from tidings.handling.settling import Settling, Unsettled
from tidings.handling.subscription import Subscription
from tidings.handling.watch import Watch
from tidings.log import Log, Settlement

TURN = 0.25  # seconds: after so many the other processes get their turn, if it takes several events to fill them


class ReadLean(Exception):
    """There is more to do with the items than call their handler, and that takes whole records."""


class InsideTransaction:
    """`def handler(event, tx)`: the work of one settlement. `left` are the items without an answer afterwards.

    It begins with lean records where the handler takes data alone, and raises `ReadLean` when one returns an event or
    fails: whole ones are worth a second try, as most batches do not need them.
    """

    def __init__(
        self,
        subscription: Subscription,
        batch: Answers,
        settling: Settling,
        items: list[Item],
        interruption: Interruption,
    ) -> None:
        self.settlement = Settlement(settling.held, work=self)
        self.left: list[Item] = []
        self.overran: set[int] = set()  # orders whose statement was interrupted, and took the transaction with it
        self._name = subscription.name
        self._call = subscription.form.caller(subscription.name)
        self._batch = batch
        self._settling = settling
        self._all = items
        self._mark = batch.mark()
        self._interruption = interruption
        self._was_interrupted = False
        self._limit = inf if interruption.limit is None else interruption.limit

    def __call__(self, tx: Any, *, careful: bool) -> None:
        """On the writer's thread: run the handlers, and put their answers into the settlement."""
        self._batch.back(self._mark)
        if careful:
            self._refuse_lean()
        cell = Current(self._name, self._settling.complete)
        token = current.set(cell)
        self._interruption.begin(lambda: tx.deadline)
        try:
            if careful or self.overran or self._was_interrupted:
                done = self._careful(tx, cell)
            else:
                with self._interruption:
                    done = self._together(tx, cell)
        except Interrupted:
            self._was_interrupted = True
            raise
        finally:
            self._interruption.begin(lambda: inf)
            current.reset(token)
        self._put(done)

    def _put(self, done: int) -> None:
        settlement = self.settlement
        self.left = self._all[done:]
        effects, settlement.parked, settlement.cleared = self._batch.take(None)
        settlement.events, settlement.timers = divided(effects)
        settlement.outcomes = self._batch.take_outcomes(None)
        if self._settling.moving:
            settlement.upto = self._settling.position(self._all[done - 1].record.order)

    def _together(self, tx: Any, cell: Current) -> int:
        call, batch, clock, limit = self._call, self._batch, time.monotonic, self._limit
        until = clock() + TURN
        for index, item in enumerate(self._all):
            if batch.held or item.parked or item.failure is not None:
                self._refuse_lean()
                return self._careful(tx, cell, index, until)
            now = clock()
            if now > until and index:
                return index
            tx.deadline = now + limit
            cell.item = item
            result = call(item, tx)
            if result is not None:
                self._refuse_lean()
                batch.done(item, batch.effects_of(item, result))
        return len(self._all)

    def _refuse_lean(self) -> None:
        if self._all[0].record.envelope is None:
            raise ReadLean

    def _careful(self, tx: Any, cell: Current, start: int = 0, until: float | None = None) -> int:
        until = until or time.monotonic() + TURN
        for index, item in enumerate(self._all[start:], start):
            if index and (time.monotonic() > until or self._batch.is_shut):
                return index
            self._one(item, tx, cell)
        return len(self._all)

    def _one(self, item: Item, tx: Any, cell: Current) -> None:
        batch, order = self._batch, item.record.order
        if batch.must_wait(item):
            return
        if item.failure is not None:
            batch.unreadable(item)
            return
        if order in self.overran:
            batch.failed(item, HandlerTimeout(self._name, self._limit), item.attempts + 1)
            return
        cell.item = item
        tx.deadline = time.monotonic() + self._limit
        try:
            with tx.attempt(), self._interruption:
                effects = batch.effects_of(item, self._call(item.fresh(), tx))
        except Interrupted:
            batch.failed(item, HandlerTimeout(self._name, self._limit), item.attempts + 1)
        except Exception as error:
            interrupted = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
            if not tx.is_open:  # nothing after this may be written outside a transaction
                if interrupted:
                    self.overran.add(order)
                raise
            batch.failed(item, HandlerTimeout(self._name, self._limit) if interrupted else error, item.attempts + 1)
        except BaseException as error:  # on the writer's thread: what would end a process ends a call here
            if not tx.is_open:
                raise
            batch.failed(item, unusual(error, self._name), item.attempts + 1)
        else:
            batch.done(item, effects)


class Recording(Calling):
    """`async def handler(event, tx)`: each event settled with what it recorded, before the next begins."""

    def __init__(self, subscription: Subscription, batch: Answers, clock: Clock, settling: Settling, log: Log) -> None:
        super().__init__(subscription, batch, clock, settling.complete)
        self._handler = self._call
        self._call = self._call_and_settle
        self._settling = settling
        self._log = log

    async def run(self, items: list[Item]) -> list[Item]:
        """Call the handler with each item in turn."""
        self._paused = False
        self.left = items
        await self._complete(items)
        cell = Current(self._name, self._complete)
        token = current.set(cell)
        watch = Watch(cell, self._policy.timeout, self._name)
        try:
            for index, item in enumerate(items):
                self.left = items[index:]
                if self._paused:
                    return self.left
                await self._handle(item, cell, watch)
            return []
        finally:
            watch.end()
            current.reset(token)

    async def _call_and_settle(self, item: Item, _: Any) -> Any:
        """The time limit is the handler's alone: a commit under way must not be cancelled and taken for a failure."""
        cell, order = current.get(), item.record.order
        assert cell is not None
        cell.item = None
        if not self._batch.is_empty:  # it has to read what the events before it have left behind
            await self._settling.settle(order - 1)
        cell.item, tx = item, self._log.recorder()
        result = await self._handler(item, tx)
        cell.item = None
        if not tx.writes and not tx.drafts:
            return result
        events = tx.drafts + self._batch.effects_of(item, result)
        if item.parked or item.attempts:
            self._batch.note(item, item.attempts + 1)
        try:
            await self._settling.settle(order, writes=tx.writes, events=events, cleared=[order] if item.parked else ())
        except Unsettled as unsettled:
            if is_of_the_writes(unsettled.error):
                raise unsettled.error from None
            raise
        return None


def is_of_the_writes(error: BaseException) -> bool:
    """Did a recorded statement fail (a Conflict, a broken constraint, no such table), and not the log itself?"""
    return not isinstance(error, LogError) or type(error) is LogError
