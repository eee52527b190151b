"""Threads and event loops together: threads that a loop can wait for, each with one owner, one name and an end; a lock
among loops; tasks that fail as one; and what a thread may not do."""

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")
_Job = tuple[Callable[[], Any], asyncio.Future[Any] | None, asyncio.AbstractEventLoop | None]


WRITERS = "the log's writers, who all wait for this transaction"


class Here(threading.local):
    """What is true of the thread that asks."""

    is_awaited_by = ""  # who stands still when this thread waits for an event loop


here = Here()


class SharedLock:
    """Mutual exclusion among the tasks of several event loops, in the order of asking."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._is_held = False
        self._waiting: deque[Future[None]] = deque()

    async def __aenter__(self) -> None:
        with self._guard:
            if not self._is_held:
                self._is_held = True
                return
            turn: Future[None] = Future()
            self._waiting.append(turn)
        try:
            await asyncio.wrap_future(turn)
        except asyncio.CancelledError:
            if not turn.cancel() and not turn.cancelled():
                self._pass_on()  # it was our turn already
            raise

    async def __aexit__(self, *raised: object) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        with self._guard:
            while self._waiting:
                turn = self._waiting.popleft()
                if turn.set_running_or_notify_cancel():
                    break
            else:
                self._is_held = False
                return
        turn.set_result(None)


def is_being_cancelled() -> bool:
    """Has someone asked the task that runs here to end?"""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def together(*works: Coroutine[Any, Any, None]) -> None:
    """Do these at once, to their ends. When one fails the others are cancelled, and its error is raised as it is."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for work in works:
                tasks.create_task(work)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


class ThreadEnded(RuntimeError):
    """A thread was closed before it was given something to do."""


class DedicatedThread:
    """Runs what it is given, one after the other, on a daemon thread of its own."""

    def __init__(self, name: str) -> None:
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._is_closed = False
        self._look: Callable[[], None] | None = None
        self._every = self._due = 0.0  # seconds: between two looks, and when the next one is
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], Result]) -> "asyncio.Future[Result]":
        """Run `function` on the thread; the future, of the running loop, gets its result or exception.

        Once the thread was closed that is `ThreadEnded`: nobody waits for ever.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        if self._is_closed:
            future.set_exception(ThreadEnded(f"{self._thread.name} was closed"))
            future.exception()  # some only have it done, and do not wait
            return future
        self._queue.put((function, future, loop))
        return future

    def put(self, function: Callable[[], None]) -> None:
        """Run `function` on the thread; nobody waits for it, and it must not raise."""
        self._queue.put((function, None, None))

    def look_every(self, seconds: float, look: Callable[[], None] | None) -> None:
        """From now on run `look`, which must not raise, every so many seconds between what else is asked; None ends it.

        Nobody but this thread is woken for it.
        """

        def begin() -> None:
            self._look, self._every, self._due = look, seconds, time.monotonic() + seconds

        self.put(begin)

    def close(self, *, wait: bool = True) -> None:
        """End the thread after what is queued; `wait` blocks until then."""
        self._is_closed = True
        self._queue.put(None)
        if wait:
            self._thread.join()

    def _main(self) -> None:
        while (job := self._next()) is not None:
            function, future, loop = job
            try:
                result, error = function(), None
            except BaseException as raised:
                result, error = None, raised
            if loop is not None and future is not None:
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    loop.call_soon_threadsafe(_resolve, future, result, error)
            del job, function, future, result, error  # hold nothing while waiting for the next

    def _next(self) -> _Job | None:
        """What is asked next; meanwhile it looks when it is time."""
        while self._look is not None:
            left = self._due - time.monotonic()
            if left <= 0:
                self._look()
                self._due = time.monotonic() + self._every
                continue
            with contextlib.suppress(queue.Empty):
                return self._queue.get(timeout=left)
        return self._queue.get()


def _resolve(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
