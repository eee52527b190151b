"""Plain `def` handlers, in daemon threads of their own: the event loop goes on while they block.

A thread is given many events at a time, so that the hop costs nothing. A call that overruns its time limit cannot be
stopped: its thread and its key are left to it until it returns, and a new thread goes on with the other events.
"""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from itertools import takewhile
from typing import Any

import msgspec

from tidings.concurrency import DedicatedThread
from tidings.errors import HandlerTimeout, unusual
from tidings.handling.batch import Answers
from tidings.handling.delivery import Complete, Current, Item, current
from tidings.handling.subscription import Subscription
from tidings.handling.watch import LOOKS
from tidings.log.record import SLOTS

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
        self.calls = 0  # begun so far, repeats included
        self.is_calling = False
        self.is_abandoned = False
        self.lock = threading.Lock()  # an item is answered by the thread, or by the time limit, and never by both


class Threaded:
    """`def` handlers: up to `concurrency` threads, each with its share of the slots.

    `wake` is called when a handler returns that was given up, as its key can go on then.
    """

    def __init__(
        self, subscription: Subscription, batch: Answers, complete: Complete, wake: Callable[[], None]
    ) -> None:
        self._name = subscription.name
        self._call = subscription.form.caller(subscription.name)
        self._policy = subscription.policy
        self._batch = batch
        self._complete = complete
        self._wake = wake
        self._threads = [self._thread(number) for number in range(self._policy.concurrency)]
        self._shares: list[_Share] = []
        self.left: list[Item] = []
        self._is_closed = threading.Event()  # ends the short waits between tries

    def pause(self) -> None:
        """Stop before the next event."""
        for share in self._shares:
            share.paused = True

    def close(self) -> None:
        """End the threads; one that is stuck in a handler is left behind."""
        self._is_closed.set()
        for thread in self._threads:
            thread.close(wait=False)

    async def run(self, items: list[Item]) -> list[Item]:
        """Call the handler with all items."""
        self.left = items
        await self._complete(items)
        shares: list[list[Item]] = [[] for _ in self._threads]
        for item in items:
            shares[item.record.slot * len(shares) // SLOTS].append(item)  # lanes and partitions share the remainders
        self._shares = [_Share(share) for share in shares]
        try:
            async with asyncio.TaskGroup() as drivers:
                for number, share in enumerate(self._shares):
                    drivers.create_task(self._drive(number, share))
        finally:
            left = [item for share in self._shares for item in share.items[share.index :]]
            self.left = sorted(left, key=lambda item: item.record.order)
        return self.left

    async def _drive(self, number: int, share: _Share) -> None:
        """See a share through, with as many threads as get stuck on the way."""
        while share.index < len(share.items) and not share.paused:
            stretch = self._stretch(share)
            if not stretch.items:
                return
            try:
                await self._until_done(number, stretch)
            finally:
                with stretch.lock:
                    stretch.is_abandoned = True  # a call still under way, as this was cancelled, goes without answer
                share.index += stretch.index
                self._note(stretch)

    def _note(self, stretch: _Stretch) -> None:
        for item, result, error, calls in stretch.answers:
            if error is not None:
                self._batch.failed(item, error, item.attempts + calls)
            else:
                self._batch.returned(item, result, item.attempts + calls)

    def _stretch(self, share: _Share) -> _Stretch:
        """The next items to be called with; one alone while keys are held, as its answer decides about the next."""
        batch, items = self._batch, share.items
        while share.index < len(items):
            item = items[share.index]
            if not batch.must_wait(item):
                if item.failure is None:
                    break
                batch.unreadable(item)
            share.index += 1
        alone = items[share.index : share.index + 1]
        if batch.is_holding or any(item.parked for item in alone):
            return _Stretch(alone, share)
        return _Stretch(list(takewhile(lambda item: item.failure is None, items[share.index :])), share)

    async def _until_done(self, number: int, stretch: _Stretch) -> None:
        """Have a thread go through a stretch, and look now and then whether one call takes too long."""
        call = self._threads[number].call(partial(self._go, stretch))
        limit = self._policy.timeout
        seen = looks = 0
        while not call.done():
            await asyncio.wait([call], timeout=None if limit is None else limit / LOOKS)
            looks = looks + 1 if stretch.calls == seen else 0
            seen = stretch.calls
            if looks == LOOKS and self._abandon(number, call, stretch, seen):
                return
        await call

    def _abandon(self, number: int, call: "asyncio.Future[None]", stretch: _Stretch, seen: int) -> bool:
        """Leave a thread to the call it is in; False when that returned at the last moment."""
        with stretch.lock:
            if not stretch.is_calling or stretch.calls != seen:
                return False
            stretch.is_abandoned = True
        item = stretch.items[stretch.index]
        stretch.index += 1
        stretch.answers.append((item, None, HandlerTimeout(self._name, self._policy.timeout or 0.0), 1))
        key = self._batch.key(item)
        if key is not None:
            self._batch.hung.add(key)
            call.add_done_callback(lambda _: self._release(key))
        self._threads[number].close(wait=False)
        self._threads[number] = self._thread(number)
        return True

    def _release(self, key: str) -> None:
        self._batch.release(key)
        self._wake()

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
            with stretch.lock:
                if stretch.is_abandoned:
                    return  # it was answered meanwhile, and what it says now comes too late
                stretch.index += 1
                if error is not None or result is not None or calls > 1 or item.parked:
                    stretch.answers.append((item, result, error, calls))
            if error is not None:
                return  # later events of its key have to wait: the next stretch will see to it

    def _try(self, call: Any, item: Item, stretch: _Stretch) -> tuple[Any, BaseException | None, int]:
        attempts = item.attempts
        while True:
            once = item if attempts == item.attempts else msgspec.structs.replace(item.fresh(), attempts=attempts)
            attempts += 1
            stretch.calls += 1
            stretch.is_calling = True
            try:
                return call(once, None), None, attempts - item.attempts
            except Exception as raised:
                error = raised
            except BaseException as raised:  # a thread of its own: what would end a process ends a call here
                error = unusual(raised, self._name)
            finally:
                stretch.is_calling = False
            wait = None if stretch.is_abandoned else self._batch.again(item, error, attempts)
            if wait is None:
                return None, error, attempts - item.attempts
            if self._is_closed.wait(wait):
                return None, error, attempts - item.attempts

    def _thread(self, number: int) -> DedicatedThread:
        return DedicatedThread(f"tidings-{self._name}-{number}")
