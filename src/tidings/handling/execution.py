"""`async def` handlers called: one event after the other, or several keys at a time.

The loop in `Sequential` is the hot path. Per event there is the handler's call and a few attribute reads; the time
limit is watched from outside, and a failure leaves the loop's path instead of being a part of it.
"""

import asyncio
import bisect
import contextlib
from typing import Protocol

import msgspec

from tidings.clock import Clock
from tidings.errors import HandlerTimeout, unusual
from tidings.handling.batch import Answers
from tidings.handling.delivery import Complete, Current, Item, current, handled
from tidings.handling.settling import Unsettled
from tidings.handling.subscription import Subscription
from tidings.handling.watch import Watch


class Execution(Protocol):
    """A way of calling handlers. `left` are the items without an answer after `run` was cancelled."""

    left: list[Item]

    async def run(self, items: list[Item]) -> list[Item]:
        """Give every item its answer, in the batch; returns those still without one, when it was told to pause."""

    def pause(self) -> None:
        """Stop before the next event."""

    def close(self) -> None:
        """Let go of threads."""


class Calling:
    """What all ways of awaiting a handler share: trying again on the spot, and setting aside."""

    def __init__(self, subscription: Subscription, batch: Answers, clock: Clock, complete: Complete) -> None:
        self._name = subscription.name
        self._call = subscription.form.caller(subscription.name)
        self._of_value = subscription.form.of_value
        self._policy = subscription.policy
        self._batch = batch
        self._clock = clock
        self._complete = complete
        self._paused = False
        self.left: list[Item] = []

    def pause(self) -> None:
        """Stop before the next event."""
        self._paused = True

    def close(self) -> None:
        """Nothing is held."""

    async def _handle(self, item: Item, cell: Current, watch: Watch) -> None:
        batch = self._batch
        if batch.must_wait(item):
            return
        if item.failure is not None:
            batch.unreadable(item)
            return
        cell.item = item
        handled.set(item)
        try:
            result = await self._call(item, None)
        except BaseException as error:
            await self._again(item, watch.told(answerable(error, self._name)), cell, watch)
        else:
            batch.returned(item, result, item.attempts + 1)
        finally:
            cell.item = None  # the watch looks away: what is awaited from here on is not the handler

    async def _again(self, item: Item, error: BaseException, cell: Current, watch: Watch) -> None:
        """Try on the spot, a few times; then the event is set aside."""
        attempts = item.attempts + 1
        while not isinstance(error, HandlerTimeout):
            wait = self._batch.again(item, error, attempts)
            if wait is None:
                break
            cell.item = None
            await self._clock.sleep(wait)
            cell.item = once_more = msgspec.structs.replace(item.fresh(), attempts=attempts)
            attempts += 1
            try:
                result = await self._call(once_more, None)
            except BaseException as raised:
                error = watch.told(answerable(raised, self._name))
            else:
                self._batch.returned(item, result, attempts)
                return
        self._batch.failed(item, error, attempts)


def answerable(error: BaseException, handler: str) -> BaseException:
    """A handler's failure, whatever it raised, as one that rules and dead letters can speak of.

    Raises:
        KeyboardInterrupt, SystemExit: the process is to end.
        Unsettled: it was not the handler that failed.
    """
    if isinstance(error, KeyboardInterrupt | SystemExit | Unsettled):
        raise error
    if isinstance(error, Exception | asyncio.CancelledError):
        return error
    return unusual(error, handler)


class Sequential(Calling):
    """One event at a time."""

    async def run(self, items: list[Item]) -> list[Item]:
        """Call the handler with each item in turn."""
        self._paused = False
        self.left = items
        cell = Current(self._name, self._complete)
        token = current.set(cell)
        watch = Watch(cell, self._policy.timeout, self._name)
        try:
            return await self._run(items, cell, watch)
        except asyncio.CancelledError:
            if cell.item is not None:
                self.left = items[next(index for index, item in enumerate(items) if item.record is cell.item.record) :]
            raise
        finally:
            watch.end()
            current.reset(token)

    async def _run(self, items: list[Item], cell: Current, watch: Watch) -> list[Item]:
        call, of_value, batch, held, handle = self._call, self._of_value, self._batch, self._batch.held, handled.set
        is_whole, are_parked = False, bool(items) and items[0].parked  # all of them are, or none
        for index, item in enumerate(items):
            if self._paused:
                return items[index:]
            if held or are_parked or item.failure is not None:
                cell.item = None
                self.left = items[index:]
                if not is_whole:
                    await self._complete(self.left)
                    is_whole = True
                await self._handle(item, cell, watch)
                continue
            cell.item = item
            handle(item)
            try:
                result = await (call(item, None) if of_value is None else of_value(item.value))
            except BaseException as error:
                told, cell.item = watch.told(answerable(error, self._name)), None
                self.left = items[index:]
                await self._complete(self.left)
                is_whole = True
                await self._again(item, told, cell, watch)
            else:
                if result is not None:
                    cell.item = None
                    await self._complete([item])
                    batch.returned(item, result, 1)
        return []


class Concurrent(Calling):
    """Several keys at a time, each key in order: workers take the first event whose slot nobody is working on."""

    def __init__(self, subscription: Subscription, batch: Answers, clock: Clock, complete: Complete) -> None:
        super().__init__(subscription, batch, clock, complete)
        self._limit = subscription.limit or contextlib.nullcontext()

    async def run(self, items: list[Item]) -> list[Item]:
        """Call the handler with all items."""
        self._paused = False
        self.left = items
        await self._complete(items)
        self.left = waiting = list(items)
        busy: set[int] = set()
        freed = asyncio.Event()
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(self._policy.concurrency, len(items))):
                workers.create_task(self._work(waiting, busy, freed))
        return waiting

    async def _work(self, waiting: list[Item], busy: set[int], freed: asyncio.Event) -> None:
        cell = Current(self._name, self._complete)
        current.set(cell)  # the task's own context ends with it
        watch = Watch(cell, self._policy.timeout, self._name)
        try:
            while waiting and not self._paused:
                async with self._limit:
                    item = None if self._paused else _next(waiting, busy)
                    if item is not None:
                        await self._take(item, waiting, busy, cell, watch)
                        freed.set()
                if item is None and waiting and not self._paused:
                    freed.clear()
                    await freed.wait()
        finally:
            freed.set()
            watch.end()

    async def _take(self, item: Item, waiting: list[Item], busy: set[int], cell: Current, watch: Watch) -> None:
        busy.add(item.record.slot)
        try:
            await self._handle(item, cell, watch)
        except asyncio.CancelledError:
            bisect.insort(waiting, item, key=_order)
            raise
        busy.discard(item.record.slot)


def _order(item: Item) -> int:
    return item.record.order


def _next(waiting: list[Item], busy: set[int]) -> Item | None:
    for index, item in enumerate(waiting):
        if item.record.slot not in busy:
            return waiting.pop(index)
    return None
