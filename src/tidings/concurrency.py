"""Threads that an event loop can wait for without a pool: each has one owner, one name and an end."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")
_Job = tuple[Callable[[], Any], asyncio.Future[Any], asyncio.AbstractEventLoop]


class DedicatedThread:
    """Runs what it is given, one after the other, on a daemon thread of its own."""

    def __init__(self, name: str) -> None:
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], Result]) -> "asyncio.Future[Result]":
        """Run `function` on the thread; the future, of the running loop, gets its result or exception."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._queue.put((function, future, loop))
        return future

    def close(self, *, wait: bool = True) -> None:
        """End the thread after what is queued; `wait` blocks until then."""
        self._queue.put(None)
        if wait:
            self._thread.join()

    def _main(self) -> None:
        while (job := self._queue.get()) is not None:
            function, future, loop = job
            try:
                result, error = function(), None
            except BaseException as raised:
                result, error = None, raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_resolve, future, result, error)
            del job, function, future, result, error  # hold nothing while waiting for the next


def _resolve(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
