"""Plain `def` handlers, in daemon threads of their own: the event loop goes on while they block.

A thread is given many events at a time, so that the hop costs nothing. A call that overruns its time limit cannot be
stopped: its thread and its key are left to it until it returns, and a new thread goes on with the other events.
"""

import asyncio
import threading
from functools import partial
from typing import Any

import msgspec

from tidings.clock import Clock
from tidings.concurrency import DedicatedThread
from tidings.errors import HandlerTimeout
from tidings.handling.batch import Batch
from tidings.handling.delivery import Current, Item, current
from tidings.handling.execution import Complete
from tidings.handling.subscription import Subscription

_Answer = tuple[Item, Any, BaseException | None, int]  # item, result, error, calls


class _Share:
    """The items one thread has to see to, and how many of them are answered."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.index = 0
        self.paused = False


class _Stretch:
    """Some of a share's items, handed to the thread in one go; left alone when a call overruns."""

    def __init__(self, items: list[Item], share: _Share) -> None:
        self.items = items
        self.share = share
        self.index = 0
        self.answers: list[_Answer] = []
        self.abandoned = False


class Threaded:
    """`def` handlers: up to `concurrency` threads, each with its share of the slots."""

    def __init__(self, subscription: Subscription, batch: Batch, clock: Clock, complete: Complete) -> None:
        self._name = subscription.name
        self._call = subscription.form.caller(subscription.name)
        self._policy = subscription.policy
        self._batch = batch
        self._complete = complete
        self._threads = [self._thread(number) for number in range(self._policy.concurrency)]
        self._shares: list[_Share] = []
        self._wake = threading.Event()  # ends the short waits between tries when all has to stop

    def pause(self) -> None:
        """Stop before the next event."""
        for share in self._shares:
            share.paused = True

    def close(self) -> None:
        """End the threads; one that is stuck in a handler is left behind."""
        self._wake.set()
        for thread in self._threads:
            thread.close(wait=False)

    async def run(self, items: list[Item]) -> list[Item]:
        """Call the handler with all items."""
        await self._complete(items)
        ready = [item for item in items if not self._is_answered(item)]
        shares: list[list[Item]] = [[] for _ in self._threads]
        for item in ready:
            shares[item.record.slot % len(shares)].append(item)
        self._shares = [_Share(share) for share in shares]
        await asyncio.gather(*[self._drive(number, share) for number, share in enumerate(self._shares)])
        left = [item for share in self._shares for item in share.items[share.index :]]
        return sorted(left, key=lambda item: item.record.order)

    def _is_answered(self, item: Item) -> bool:
        if item.failure is not None:
            self._batch.failed(item, item.failure, item.attempts + 1)
            return True
        return False

    async def _drive(self, number: int, share: _Share) -> None:
        """See a share through, with as many threads as get stuck on the way."""
        while share.index < len(share.items) and not share.paused:
            stretch = self._stretch(share)
            if not stretch.items:
                return
            await self._until_done(number, self._threads[number].call(partial(self._go, stretch)), stretch)
            share.index += stretch.index
            for item, result, error, calls in stretch.answers:
                self._answer(item, result, error, calls)

    def _stretch(self, share: _Share) -> _Stretch:
        """The next items that need not wait; one alone while keys are held, as its answer decides about the next."""
        batch = self._batch
        while share.index < len(share.items) and batch.held and batch.must_wait(share.items[share.index]):
            share.index += 1
        items = share.items[share.index :]
        return _Stretch(items[:1] if batch.held or (items and items[0].parked) else items, share)

    async def _until_done(self, number: int, call: "asyncio.Future[None]", stretch: _Stretch) -> None:
        limit = self._policy.timeout
        seen = -1
        while not call.done():
            await asyncio.wait([call], timeout=limit)
            if call.done() or limit is None:
                break
            if stretch.index == seen:
                self._abandon(number, call, stretch)
                return
            seen = stretch.index
        await call

    def _abandon(self, number: int, call: "asyncio.Future[None]", stretch: _Stretch) -> None:
        stretch.abandoned = True
        item = stretch.items[stretch.index]
        stretch.index += 1
        stretch.answers.append((item, None, HandlerTimeout(self._name, self._policy.timeout or 0.0), 1))
        key = self._batch.key(item)
        if key is not None:
            self._batch.hung.add(key)
            call.add_done_callback(lambda _: self._batch.hung.discard(key))
        self._threads[number].close(wait=False)
        self._threads[number] = self._thread(number)

    def _go(self, stretch: _Stretch) -> None:
        """On the thread: call the handler with each item, note only what is not plainly done."""
        call = self._call
        cell = Current(self._name, self._complete)
        current.set(cell)
        for item in stretch.items:
            if stretch.share.paused:
                return
            cell.item = item
            result, error, calls = self._try(call, item, stretch)
            if stretch.abandoned:
                return  # it was answered meanwhile, and what it says now comes too late
            if error is not None or result is not None or item.parked:
                stretch.answers.append((item, result, error, calls))
            stretch.index += 1
            if error is not None:
                return  # later events of its key have to wait: the next stretch will see to it

    def _try(self, call: Any, item: Item, stretch: _Stretch) -> tuple[Any, BaseException | None, int]:
        attempts = item.attempts
        while True:
            try:
                once = item if attempts == item.attempts else msgspec.structs.replace(item, attempts=attempts)
                return call(once, None), None, attempts - item.attempts + 1
            except Exception as error:
                attempts += 1
                wait = self._policy.inline_wait(error, attempts)
                if wait is None or stretch.abandoned or self._wake.wait(wait):
                    return None, error, attempts - item.attempts

    def _answer(self, item: Item, result: Any, error: BaseException | None, calls: int) -> None:
        if error is not None:
            self._batch.failed(item, error, item.attempts + calls)
        else:
            self._batch.done(item, result)

    def _thread(self, number: int) -> DedicatedThread:
        return DedicatedThread(f"tidings-{self._name}-{number}")

