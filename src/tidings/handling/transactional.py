"""Handlers with `tx`: their own SQL commits with their cursor, or not at all.

A plain `def` runs on the log's writer thread, inside the settlement of the whole batch: first all together; after a
failure once more, each event in a savepoint. An `async def` never holds the lock: what it records is settled event by
event, and when another writer was faster it is run again.
"""

import sqlite3
import time
from collections.abc import Sequence
from typing import Any, Protocol

from tidings.clock import Clock
from tidings.errors import Conflict, HandlerTimeout
from tidings.handling.batch import Batch
from tidings.handling.delivery import Current, Item, current
from tidings.handling.execution import Calling, Complete
from tidings.handling.subscription import Subscription
from tidings.handling.watch import Watch
from tidings.log import Draft, Log, Settlement

BUDGET = 0.25  # seconds: no longer may one process keep all others from writing


class Place(Protocol):
    """Where a reader stands, as far as its handlers' transaction has to know."""

    moving: bool

    def position(self, order: int) -> str:
        """The position of an order."""

    async def complete(self, items: list[Item]) -> None:
        """Make lean records whole."""


class InsideTransaction:
    """`def handler(event, tx)`: the work of one settlement. `left` are the items without an answer afterwards."""

    def __init__(
        self, subscription: Subscription, batch: Batch, place: Place, items: list[Item], settlement: Settlement
    ) -> None:
        self._name = subscription.name
        self._call = subscription.form.caller(subscription.name)
        self._batch = batch
        self._place = place
        self._all = items
        self._mark = batch.mark()
        self._settlement = settlement
        self.left: list[Item] = []
        self.upto = 0  # the order up to which all is answered

    def __call__(self, tx: Any, *, careful: bool) -> None:
        """On the writer's thread: run the handlers, and put their answers into the settlement."""
        batch = self._batch
        batch.back(self._mark)
        cell = Current(self._name, self._place.complete)
        token = current.set(cell)
        try:
            done = self._careful(tx, cell) if careful else self._together(tx, cell)
        finally:
            current.reset(token)
        self._put(done)

    def _put(self, done: int) -> None:
        settlement = self._settlement
        self.left, self.upto = self._all[done:], self._all[done - 1].record.order
        settlement.events, settlement.parked, settlement.cleared = self._batch.take(None)
        if self._place.moving:
            settlement.upto = self._place.position(self.upto)

    def _together(self, tx: Any, cell: Current) -> int:
        call, batch, clock = self._call, self._batch, time.monotonic
        until = clock() + BUDGET
        for index, item in enumerate(self._all):
            if batch.held or item.parked or item.failure is not None:
                return self._careful(tx, cell, index, until)
            now = clock()
            if now > until and index:
                return index
            tx.deadline = now + BUDGET
            cell.item = item
            result = call(item, tx)
            if result is not None:
                batch.done(item, result)
        return len(self._all)

    def _careful(self, tx: Any, cell: Current, start: int = 0, until: float | None = None) -> int:
        until = until or time.monotonic() + BUDGET
        for index, item in enumerate(self._all[start:], start):
            if time.monotonic() > until and index:
                return index
            self._one(item, tx, cell)
        return len(self._all)

    def _one(self, item: Item, tx: Any, cell: Current) -> None:
        batch = self._batch
        if batch.held and batch.must_wait(item):
            return
        if item.failure is not None:
            batch.failed(item, item.failure, item.attempts + 1)
            return
        cell.item = item
        tx.deadline = time.monotonic() + BUDGET
        try:
            with tx.attempt():
                result = self._call(item, tx)
        except Exception as error:
            if not tx.is_open:
                raise  # a full disk ends the whole transaction: nothing after it may be written outside one
            batch.failed(item, self._told(error), item.attempts + 1)
        else:
            batch.done(item, result)

    def _told(self, error: Exception) -> Exception:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            return HandlerTimeout(self._name, BUDGET)
        return error




class Unsettled(BaseException):
    """A settlement failed, which is not the handler's failure: `error` says why."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        super().__init__(error)


class Settle(Protocol):
    """Commits the answers to what came up to an order, with statements and events recorded for the last of them."""

    async def __call__(
        self,
        upto: int | None,
        *,
        writes: Sequence[Any] = (),
        events: Sequence[Draft] = (),
        cleared: Sequence[int] = (),
    ) -> None:
        """Commit.

        Raises:
            Unsettled: it could not be committed.
        """


class Recording(Calling):
    """`async def handler(event, tx)`: each event settled with what it recorded, before the next begins."""

    def __init__(
        self, subscription: Subscription, batch: Batch, clock: Clock, complete: Complete, log: Log, settle: Settle
    ) -> None:
        super().__init__(subscription, batch, clock, complete)
        self._handler = self._call
        self._call = self._call_and_settle
        self._log = log
        self._settle = settle

    async def run(self, items: list[Item]) -> list[Item]:
        """Call the handler with each item in turn."""
        self._paused = False
        cell = Current(self._name, self._complete)
        token = current.set(cell)
        watch = Watch(cell, self._policy.timeout, self._name)
        await self._complete(items)
        try:
            for index, item in enumerate(items):
                if self._paused:
                    return items[index:]
                await self._handle(item, cell, watch)
            return []
        finally:
            watch.end()
            current.reset(token)

    async def _call_and_settle(self, item: Item, tx: Any) -> Any:
        order = item.record.order
        await self._settle(order - 1)  # so that it reads what the events before it have written
        tx = self._log.recorder()
        result = await self._handler(item, tx)
        if not tx.writes and not tx.drafts:
            return result
        effects = [] if result is None else self._batch.effects_of(item, result)
        try:
            cleared = [order] if item.parked else []
            await self._settle(order, writes=tx.writes, events=tx.drafts + effects, cleared=cleared)
        except Unsettled as unsettled:
            if isinstance(unsettled.error, Conflict):
                raise unsettled.error from None  # another writer was faster: the handler is run again
            raise
        return None
