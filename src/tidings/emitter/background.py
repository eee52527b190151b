"""What `emit` leaves running: the tasks of coroutine listeners, on one event loop, at most so many at a time."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from types import CoroutineType

from tidings.emitter.failures import report
from tidings.emitter.limit import at_least
from tidings.emitter.registration import Listener, describe
from tidings.errors import NoEventLoop, TooManyPending


@dataclass(slots=True, eq=False)
class _Job:
    event: str
    listener: Listener
    work: Awaitable[object]
    task: "asyncio.Task[object] | None" = None  # None while the loop has not taken it over from another thread


class Background:
    """Runs what coroutine listeners return, and emits what they raise as `error`."""

    def __init__(self, limit: int, emit: Callable[[str, Exception], object]) -> None:
        self.limit = at_least(1, limit, "max_pending")
        self.loop: asyncio.AbstractEventLoop | None = None
        self._emit = emit
        self._jobs: set[_Job] = set()
        self._binding = threading.Lock()

    @property
    def pending(self) -> int:
        """How many are not finished."""
        return len(self._jobs)

    def bind(self) -> None:
        """Stay with the event loop that runs here, unless there is one already that is not closed."""
        with self._binding:
            running = running_loop()
            if running is not None and (self.loop is None or self.loop.is_closed()):
                abandoned, self._jobs = self._jobs, set()  # what a closed loop has not finished, it never will
                self.loop = running
                for job in abandoned:
                    if job.task is None:
                        _drop(job.work)

    def start(self, event: str, listener: Listener, work: Awaitable[object]) -> None:
        """Run what a listener has returned, from whatever thread.

        Raises:
            NoEventLoop, TooManyPending: it does not run.
        """
        self.bind()
        job = _Job(event, listener, work)
        try:
            self._admit(job)
        except (NoEventLoop, TooManyPending):
            _drop(work)
            raise

    async def idle(self, *, cancel: bool) -> None:
        """Return when nothing is pending; a listener that asks does not wait for itself."""
        self.bind()
        if self.loop is not None and self.loop is not running_loop():
            finished = asyncio.run_coroutine_threadsafe(self.idle(cancel=cancel), self.loop)
            await asyncio.wrap_future(finished)
            return
        me = asyncio.current_task()
        while others := [job for job in list(self._jobs) if job.task is not me]:
            tasks = [job.task for job in others if job.task is not None]
            if not tasks:
                await asyncio.sleep(0)  # the loop is about to take them over
                continue
            if cancel:
                for task in tasks:
                    task.cancel()
            await asyncio.wait(tasks)

    def _admit(self, job: _Job) -> None:
        loop, jobs = self.loop, self._jobs
        if loop is None:
            raise NoEventLoop(job.event, describe(job.listener))
        jobs.add(job)  # before looking, so that two threads cannot both take the last place
        if len(jobs) > self.limit:
            jobs.discard(job)
            raise TooManyPending(self.limit, job.event, describe(job.listener))
        if loop is running_loop():
            self._begin(job, loop)
            return
        try:
            loop.call_soon_threadsafe(self._begin, job, loop)
        except RuntimeError:  # it was closed
            jobs.discard(job)
            raise NoEventLoop(job.event, describe(job.listener)) from None

    def _begin(self, job: _Job, loop: asyncio.AbstractEventLoop) -> None:
        work = job.work
        job.task = loop.create_task(work if isinstance(work, CoroutineType) else _awaited(work))
        job.task.add_done_callback(partial(self._ended, job))

    def _ended(self, job: _Job, task: "asyncio.Task[object]") -> None:
        self._jobs.discard(job)
        failure = None if task.cancelled() else task.exception()
        if not isinstance(failure, Exception):
            return
        try:
            report(job.event, [failure], self._emit)
        except Exception as untaken:
            message = f"{describe(job.listener)} failed with {job.event!r}, and no 'error' listener has taken it"
            task.get_loop().call_exception_handler({"message": message, "exception": untaken, "task": task})


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of this thread, if one is running."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _awaited(work: Awaitable[object]) -> object:
    return await work


def _drop(work: Awaitable[object]) -> None:
    close = getattr(work, "close", None)  # a coroutine that is neither run nor closed warns of it
    if close is not None:
        close()
