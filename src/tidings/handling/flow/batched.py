"""Handlers that take a list, called: one answer for the whole batch and, when it fails for good, one by one."""

import asyncio
import contextlib
import contextvars
from collections.abc import Callable
from typing import Any

import msgspec

from tidings.clock import Clock
from tidings.concurrency import DedicatedThread
from tidings.errors import CircuitOpen, HandlerTimeout, unusual
from tidings.handling.batch import Answers
from tidings.handling.delivery import Complete, Current, Item, current, handled
from tidings.handling.execution import answerable
from tidings.handling.flow import settings
from tidings.handling.outgoing import Effect
from tidings.handling.subscription import Subscription
from tidings.handling.watch import Watch

_Outcome = tuple[list[Effect], BaseException | None, int]  # effects, error, calls


class Batched:
    """`async def handler(events: list[...])`. Parked events come back alone, each in a list of its own."""

    def __init__(self, subscription: Subscription, batch: Answers, clock: Clock, complete: Complete) -> None:
        self.left: list[Item] = []
        self._name = subscription.name
        self._policy = subscription.policy
        self._call = subscription.form.caller(subscription.name)
        self._takes_events = subscription.form.wants[0] == "event"
        self._size = (subscription.policy.flow.batch or settings.Batch()).size
        self._batch = batch
        self._clock = clock
        self._complete = complete
        self._cell = Current(subscription.name, complete)
        self._paused = False

    def pause(self) -> None:
        """Stop before the next batch."""
        self._paused = True

    def close(self) -> None:
        """Nothing is held."""

    async def run(self, items: list[Item]) -> list[Item]:
        """Call the handler with the items, so many at a time."""
        self._paused = False
        self.left = items
        self._cell.task = asyncio.current_task()
        token = current.set(self._cell)
        try:
            while self.left and not self._paused:
                count = 1 if self.left[0].parked else self._size
                batch, rest = self.left[:count], self.left[count:]
                unanswered = await self._answer(batch)
                self.left = [*unanswered, *rest]
                if unanswered:
                    break
            return self.left
        finally:
            current.reset(token)

    async def _answer(self, items: list[Item]) -> list[Item]:
        """Answer one batch; returns those that have to wait without an answer, when the group's circuit has opened."""
        if self._takes_events or self._batch.is_holding or any(item.failure or item.parked for item in items):
            await self._complete(items)
        called = [item for item in items if self._batch.may_call(item)]
        if not called:
            return []
        effects, error, calls = await self._tried(called, called[0].attempts if len(called) == 1 else 0)
        if error is None:
            self._done(called, effects, calls)
        elif len(called) == 1 or isinstance(error, CircuitOpen):
            await self._complete(called)
            for item in called:
                self._batch.failed(item, error, calls)
        elif self._was_last_straw(error):
            return called
        else:
            return await self._one_by_one(called, calls)
        return []

    def _was_last_straw(self, error: BaseException) -> bool:
        """Did the group's circuit open with this? Then the batch is not called any more and has no answer yet."""
        self._batch.noted(error)
        return self._batch.is_shut

    async def _one_by_one(self, items: list[Item], calls: int) -> list[Item]:
        """The same events in lists of one, so that one bad event is not the failure of all; returns as `_answer`."""
        await self._complete(items)
        for index, item in enumerate(items):
            if self._batch.must_wait(item):
                continue
            if self._batch.is_shut:
                return items[index:]
            self._batch.charge()
            effects, error, so_far = await self._tried([item], calls, repeated=True)
            if error is None:
                self._done([item], effects, so_far)
            else:
                self._batch.failed(item, error, so_far)
        return []

    async def _tried(self, items: list[Item], calls: int, *, repeated: bool = False) -> _Outcome:
        """Call the handler, and try again on the spot as its rules say."""
        while True:
            calls += 1
            try:
                result = await self._called([_again(item, calls) for item in items] if repeated else items)
                return await self._effects(items, result), None, calls
            except Exception as raised:
                error = raised
            if isinstance(error, HandlerTimeout):
                return [], error, calls
            await self._complete(items)
            wait = self._batch.again(items[-1], error, calls)
            if wait is None:
                return [], error, calls
            await self._clock.sleep(wait)
            repeated = True

    async def _effects(self, items: list[Item], result: Any) -> list[Effect]:
        if result is None:
            return []
        await self._complete(items)
        return self._batch.effects_of_many(items, result)

    async def _called(self, items: list[Item]) -> Any:
        return await self._watched(items, None)

    async def _watched(self, items: list[Item], tx: Any) -> Any:
        """One call, within its time limit; what it publishes is caused by the last of its events."""
        watch = Watch(self._cell, self._policy.timeout, self._name)
        self._cell.item = items[-1]
        handled.set(items[-1])
        try:
            return await self._call(items, tx)
        except BaseException as error:
            told = watch.told(answerable(error, self._name))
            if told is error:
                raise
            raise told from told.__cause__
        finally:
            self._cell.item = None
            watch.end()

    def _done(self, items: list[Item], effects: list[Effect], calls: int) -> None:
        for item in items[:-1]:
            self._batch.done(item, (), calls)
        self._batch.done(items[-1], effects, calls)


def _again(item: Item, calls: int) -> Item:
    """As it was recorded, for call number `calls`."""
    return msgspec.structs.replace(item.fresh(), attempts=calls - 1)


class BatchedInThread(Batched):
    """`def handler(events: list[...])`, in a daemon thread of its own.

    A call that overruns cannot be stopped: its keys are left to it until it returns, and a new thread goes on.
    """

    def __init__(
        self, subscription: Subscription, batch: Answers, clock: Clock, complete: Complete, wake: Callable[[], None]
    ) -> None:
        super().__init__(subscription, batch, clock, complete)
        self._wake = wake
        self._thread = self._new_thread()

    def close(self) -> None:
        """End the thread; one that is stuck in a handler is left behind."""
        self._thread.close(wait=False)

    async def _called(self, items: list[Item]) -> Any:
        cell = Current(self._name, self._complete)
        cell.item, cell.task = items[-1], None  # it is called on a thread
        context = contextvars.copy_context()
        context.run(current.set, cell)
        call = self._thread.call(lambda: context.run(self._call, items, None))
        await asyncio.wait([call], timeout=self._policy.timeout)
        if not call.done():
            await self._abandon(call, items)
            raise HandlerTimeout(self._name, self._policy.timeout or 0.0)
        error = call.exception()
        if error is not None and not isinstance(error, Exception):
            raise unusual(error, self._name)
        return call.result()

    async def _abandon(self, call: "asyncio.Future[Any]", items: list[Item]) -> None:
        """Leave the thread to the call it is in, and the keys of its events too."""
        await self._complete(items)
        keys = {key for item in items if (key := self._batch.key(item)) is not None}
        self._batch.hung |= keys
        call.add_done_callback(lambda done: self._release(keys, done))
        self._thread.close(wait=False)
        self._thread = self._new_thread()

    def _release(self, keys: set[str], done: "asyncio.Future[Any]") -> None:
        with contextlib.suppress(BaseException):
            done.exception()  # looked at: it was answered as a timeout
        for key in keys:
            self._batch.release(key)
        self._wake()

    def _new_thread(self) -> DedicatedThread:
        return DedicatedThread(f"tidings-{self._name}")
