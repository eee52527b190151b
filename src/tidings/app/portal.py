"""`Portal`: an event loop in a daemon thread, on which an application is open for callers that have no loop."""

import asyncio
import contextlib
import logging
import os
import queue
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

logger = logging.getLogger("tidings")
Result = TypeVar("Result")
Work = Callable[[], Awaitable[Result]]
_DRAIN = 5.0  # seconds for calls that are under way when the portal closes
_LONGEST_CLOSE = 30.0  # seconds until whoever closes it goes on; a log has limits of its own


class Portal:
    """Opens `app` on a thread of its own when it is made, and closes it there."""

    def __init__(self, app: Any) -> None:  # an App: to name the type would make a ring of imports
        self._app = app
        self._gate = threading.Lock()  # no work may come after the last look for it
        self._stop = asyncio.Event()
        self.pid = os.getpid()
        self.is_over = False
        self.loop = asyncio.new_event_loop()
        self._errands = _Errands()
        self.loop.set_default_executor(self._errands)
        self._opened: asyncio.Future[None] = self.loop.create_future()
        self.is_open = False
        self._thread = threading.Thread(target=self._main, name=f"tidings-sync-{app.name}", daemon=True)
        self._thread.start()

    def submit(self, work: Work[Result]) -> Future[Result] | None:
        """Run `work` on the loop once the application is open; None when the portal has closed.

        It runs in the caller's context: inside a handler, what it publishes is caused by what is being handled.
        """
        with self._gate:
            if self.is_over:
                return None
            return asyncio.run_coroutine_threadsafe(self._when_open(work), self.loop)

    def close(self) -> None:
        """Finish what is under way, close the application, and end the thread; blocks, for a limited time."""
        with contextlib.suppress(RuntimeError):  # its loop has ended
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_LONGEST_CLOSE)

    async def _when_open(self, work: Work[Result]) -> Result:
        await asyncio.shield(self._opened)
        return await work()

    def _main(self) -> None:
        try:
            self.loop.run_until_complete(self._live())
        except Exception:
            logger.exception("app.sync of %s did not close as it should", self._app.name)
        finally:
            self.loop.close()
            self._errands.shutdown()

    async def _live(self) -> None:
        try:
            await self._app.__aenter__()
        except BaseException as error:
            self._opened.set_exception(error)
            self._opened.exception()  # seen, whether or not anybody waits
            await self._finish()
            return
        self._opened.set_result(None)
        self.is_open = True
        try:
            await self._stop.wait()
            await self._finish()
        finally:
            await self._app.__aexit__(None, None, None)

    async def _finish(self) -> None:
        with self._gate:
            self.is_over, self.is_open = True, False
        await asyncio.sleep(0)  # what was submitted before becomes a task
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=_DRAIN)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)  # so that who waits for one is told
            await asyncio.sleep(0)


class _Errands(ThreadPoolExecutor):
    """The loop's executor, on one thread: the library's own takes nothing more once the interpreter is ending."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)
        self._errands: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name="tidings-sync-errands", daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn` after what was submitted before."""
        future: Future[Any] = Future()
        self._errands.put((future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the thread after what was submitted."""
        self._errands.put(None)
        if wait:
            self._thread.join()

    def _main(self) -> None:
        while (errand := self._errands.get()) is not None:
            future, function = errand
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as error:
                    future.set_exception(error)
            del errand, future, function  # hold nothing while waiting for the next
