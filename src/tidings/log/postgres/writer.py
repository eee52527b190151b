"""The writers of a process: one thread that commits in groups, and a few for jobs that run a handler's own code.

What is queued when the thread is free goes into one transaction; nothing waits for more to come. A handler's
transaction is one of its own: however long it takes, what others append does not wait for it.
"""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from tidings.errors import LogClosed, LogError
from tidings.log.jobs import Job, tell
from tidings.log.postgres.committing import Committer

_MOST_WEIGHT = 1000
_WORKERS = 8  # transactions with user code that one process has open at a time
_PATIENCE = 3.0  # seconds without a job finished, when all has to end


class Writer:
    """Runs jobs on threads of its own and commits them."""

    def __init__(self, make: Callable[[], Committer], name: str, where: str) -> None:
        self._make = make
        self._name = name
        self._where = where
        self._plain = _Line(make(), f"tidings-writer-{name}", together=True)
        self._workers: list[_Line] = []
        self._gate = threading.Lock()
        self._closed = False

    def submit(self, job: Job) -> Any:
        """Queue `job`; its future gives what `run` returned once that is committed."""
        future = job.future
        with self._gate:
            if self._closed:
                raise LogClosed(self._where)
            line = self._worker() if job.exclusive else self._plain
            line.put(job)
        return future

    def run(self, job: Job, timeout: float | None = None) -> Any:
        """Run a `plain` job and wait for it.

        Raises:
            TimeoutError: it was queued for so many seconds; it may yet be committed if it had begun.
        """
        try:
            return self.submit(job).result(timeout)
        finally:
            job.future.cancel()  # whatever ended the wait: nobody wants it any more

    def close(self) -> bool:
        """Finish what is queued, then end the threads; blocks. False when a job does not come to its end."""
        with self._gate:
            was_closed, self._closed = self._closed, True
        lines = [self._plain, *self._workers]
        if not was_closed:
            for line in lines:
                line.end()
        ended = [line.join() for line in lines]  # each of them gets its time
        return all(ended)

    def _worker(self) -> "_Line":
        """A thread with nothing to do, a new one, or the one that has least."""
        idle = next((line for line in self._workers if not line.load), None)
        if idle is None and len(self._workers) < _WORKERS:
            idle = _Line(self._make(), f"tidings-worker-{self._name}-{len(self._workers)}", together=False)
            self._workers.append(idle)
        return idle or min(self._workers, key=lambda line: line.load)


class _Line:
    """Jobs in a row, and the thread that works them off."""

    def __init__(self, committer: Committer, name: str, *, together: bool) -> None:
        self._committer = committer
        self.load = 0  # jobs that have yet to end
        self._together = together
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._is_ended = False
        self._batches = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        """Queue a job."""
        with self._lock:
            self.load += 1
        self._queue.put(job)

    def end(self) -> None:
        """Take no more; what is queued is done."""
        self._queue.put(None)

    def join(self) -> bool:
        """Wait for the end, as long as it gets on."""
        seen, until = -1, 0.0
        while self._thread.is_alive():
            if self._batches != seen:
                seen, until = self._batches, time.monotonic() + _PATIENCE
            elif time.monotonic() > until:
                return False
            self._thread.join(0.05)
        return True

    def _main(self) -> None:
        while jobs := self._take():
            try:
                outcomes = self._committer.commit(jobs)
            except Exception as error:  # this thread must outlive our own mistakes
                outcomes = [LogError(f"the log cannot be written: {error!r}")] * len(jobs)
            tell(jobs, outcomes)
            with self._lock:
                self.load -= len(jobs)
            self._batches += 1
            del jobs, outcomes
        self._committer.close()

    def _take(self) -> list[Job]:
        first = None if self._is_ended else self._queue.get()
        if first is None:
            return []
        jobs, weight = [first], first.weight
        while self._together and weight < _MOST_WEIGHT:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._is_ended = True
                break
            jobs.append(job)
            weight += job.weight
        return jobs
