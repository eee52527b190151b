"""The writer of a process: one thread, group commit, under the lock of all writers.

What is queued when the thread is free goes into one transaction; nothing waits for more to come. A plain thread that
may block commits by itself when nobody else is writing, which saves it two hops between threads. A job that fails
before it has written anything fails alone. When one fails later, the transaction is rolled back and its jobs are run
again, *careful*, each in a transaction of its own: the common case pays nothing for the rare one.

The lock is an flock beside the file, taken before BEGIN: the kernel wakes who waits for it, where SQLite's own waiting
polls, and who has let go comes behind who waits. Checkpoints happen only under it, so that none can race a commit
(https://sqlite.org/wal.html#walresetbug).
"""

import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tidings.clock import Clock
from tidings.concurrency import WRITERS, here
from tidings.errors import CommitUnknown, DiskFull, HandlingError, LogClosed, LogError, LogLocked, TidingsError
from tidings.log.bell import Counters
from tidings.log.jobs import Job, tell
from tidings.log.position import Epoch, Position
from tidings.log.record import Draft
from tidings.log.slices import Appended
from tidings.log.sqlite.failures import translated
from tidings.log.sqlite.schema import raise_counters
from tidings.log.sqlite.session import Session, record_at_once
from tidings.log.sqlite.sidecar import Head, Sidecar
from tidings.log.sqlite.wal import Wal, weight_of

Hook = Callable[[str], None]
Result = TypeVar("Result")
_MOST_JOBS = 500
_STUCK_AFTER = 3.0  # seconds without a batch finished, when all has to end
_LONE_WEIGHT = 3  # of a small event: its row, its id, and now and then a page above them


class Writer:
    """Runs jobs on a thread of its own and commits them in groups."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        sidecar: Sidecar,
        epoch: Epoch,
        clock: Clock,
        *,
        lock_timeout: float,
        on_commit: Callable[[Position, Counters], None],
    ) -> None:
        self._connection = connection
        self._sidecar = sidecar
        self._epoch = epoch
        self.clock = clock
        self.lock_timeout = lock_timeout  # seconds that anybody waits for somebody else's transaction; SQLite, too
        self._on_commit = on_commit
        self._path = str(sidecar.database)
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._next: Job | None = None
        self._running: Job | None = None  # with user code, which may never return
        self._began = 0.0  # when that was, by the monotonic clock
        self._gate = threading.Lock()
        self._turn = threading.Lock()  # held by the thread that is using the connection
        self._closed = False
        self._recorded_at = 0
        self._counters = Counters()
        self._wal = Wal(connection, sidecar)
        self._batches = 0
        self.hook: Hook = _nothing  # crash tests stop the world at these points
        self._thread = threading.Thread(target=self._main, name=f"tidings-writer-{sidecar.database.name}", daemon=True)
        self._thread.start()

    def session(self, connection: sqlite3.Connection) -> Session:
        """What an open write transaction on `connection` works with."""
        return Session(connection, self._epoch, int(self.clock.now() * 1e6), self._recorded_at)

    def announce(self, tip: int, recorded_at: int, under: Sidecar | None = None) -> Position:
        """Write the head record and ring the bell for what is committed, up to the position it returns.

        Call it under the writers' lock; `under` had that, if it was not the writer itself.
        """
        epoch, sidecar = self._epoch, under or self._sidecar
        counters = sidecar.heard().latest(self._counters)
        sidecar.write_head(Head(epoch.counter, epoch.mark, tip, recorded_at, counters))
        position = epoch.position(tip)
        self._on_commit(position, counters)
        return position

    def submit(self, job: Job) -> Any:
        """Queue `job`; its future gives what `run` returned once that is committed."""
        future = job.future
        with self._gate:
            if self._closed:
                raise LogClosed(self._path)
            self._queue.put(job)
        return future

    def record(self, draft: Draft, timeout: float | None = None) -> Appended | None:
        """Record one event of no stream on the calling thread; None when that does not go, and a job has to.

        Raises:
            LogLocked: a writer outside tidings did not come to its end.
        """
        if timeout is not None and timeout <= self.lock_timeout:
            return None
        outcome = self._unless_busy(lambda: self._at_once(draft))
        if isinstance(outcome, LogLocked):
            raise outcome
        return outcome

    def run(self, job: Job, timeout: float | None = None) -> Any:
        """Run a `plain` job and wait for it: on the calling thread when nobody else writes, else queued.

        Raises:
            TimeoutError: it was queued for so many seconds; it may yet be committed if it had begun.
        """
        if timeout is None or timeout > self.lock_timeout:
            outcomes = self._unless_busy(lambda: self._commit([job]))
            if outcomes is not None:
                return _given(outcomes[0])
        try:
            return self.submit(job).result(timeout)
        finally:
            job.future.cancel()  # whatever ended the wait: nobody wants it any more

    def refuse_behind(self, job: Job) -> bool:
        """Refuse what is queued while `job` does not come to its end; False when it has, or has not begun."""
        with self._gate:
            if self._running is not job or time.monotonic() - self._began < self.lock_timeout:
                return False
            waiting = self._drained()
            for each in waiting:
                each.abandoned = True
        tell(waiting, [LogLocked(os.getpid(), self._path)] * len(waiting))
        return True

    def close(self) -> bool:
        """Finish what is queued, then end the thread; blocks. False when a job does not come to its end.

        That is a handler which hangs inside the transaction, or a stopped process which has the lock: the thread is
        left to it, so that this process can end.
        """
        with self._gate:  # no job may come after the end
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        seen = -1
        while self._thread.is_alive() and self._batches != seen:
            seen = self._batches
            self._thread.join(_STUCK_AFTER)
        return not self._thread.is_alive()

    def _unless_busy(self, work: Callable[[], Result]) -> Result | None:
        """Do `work` on this thread under the writers' lock; None when somebody else writes, here or elsewhere."""
        if not self._turn.acquire(blocking=False):
            return None
        try:
            if self._closed or not self._queue.empty():
                return None
            try:
                if not self._sidecar.try_lock():
                    return None
                result = work()
                self._wal.tend()
                return result
            finally:  # an interrupt may have come at any step
                self._roll_back()
                self._sidecar.unlock()
        finally:
            self._turn.release()

    def _main(self) -> None:
        here.is_awaited_by = WRITERS
        while (jobs := self._take()) is not None:
            try:
                with self._turn:
                    self._under_lock(jobs)
            except Exception as error:  # of the lock's file, or no thread to be had; this one must outlive it
                tell(jobs, [LogError(f"the log {self._path} cannot be written: {error!r}")] * len(jobs))
            self._batches += 1
            self.hook("told")
        with self._turn, contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _take(self) -> list[Job] | None:
        first, self._next = self._next or self._queue.get(), None
        if first is None:
            return None
        jobs = [first]
        weight = first.weight
        while not jobs[-1].exclusive and weight < _MOST_JOBS:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._queue.put(None)
                break
            if job.exclusive:
                self._next = job
                break
            jobs.append(job)
            weight += job.weight
        return jobs

    def _under_lock(self, jobs: Sequence[Job]) -> None:
        if not self._sidecar.try_lock():
            is_locked = threading.Event()
            watch = threading.Thread(target=self._refuse_until, args=(is_locked, jobs), daemon=True)
            watch.start()
            try:
                self._sidecar.lock()
            finally:
                is_locked.set()
                watch.join()  # what it has refused must not be run
        try:
            tell(jobs, self._commit(jobs))
            self._wal.tend()  # behind that: nobody need wait for a checkpoint
        finally:
            self._sidecar.unlock()

    def _refuse_until(self, is_locked: threading.Event, jobs: Sequence[Job]) -> None:
        """Refuse `jobs` after the timeout and, as long as the lock is away, whatever is queued behind them."""
        while not is_locked.wait(self.lock_timeout):
            error = LogLocked(self._sidecar.holder(), self._path)
            waiting = [*jobs, *self._drained()]
            for job in waiting:
                job.abandoned = True
            tell(waiting, [error] * len(waiting))
            jobs = ()

    def _drained(self) -> list[Job]:
        drained = [] if self._next is None else [self._next]
        with contextlib.suppress(queue.Empty):
            while (job := self._queue.get_nowait()) is not None:
                drained.append(job)
            self._queue.put(None)
        return drained

    def _commit(self, jobs: Sequence[Job]) -> list[Any]:
        lone = jobs[0].lone if len(jobs) == 1 and not jobs[0].is_unwanted else None
        if lone is not None and (outcome := self._at_once(lone)) is not None:
            return [outcome]
        outcomes = self._attempt(jobs, careful=False)
        if outcomes is None:
            outcomes = [self._alone(job) for job in jobs]
        return outcomes

    def _at_once(self, draft: Draft) -> Appended | LogLocked | None:
        """Record one event of no stream by one statement.

        None when it did not go, or nobody knows: the long way, which looks for its id, does the same and tells why.
        """
        if self._connection.in_transaction:  # it would be part of that; the long way begins by rolling it back
            return None
        try:
            recorded_at = max(int(self.clock.now() * 1e6), self._recorded_at)
            self.hook("begun")
            self.hook("written")
            order = record_at_once(self._connection, draft, recorded_at)
            self.hook("committed")
            self._recorded_at = recorded_at
            position = self.announce(order, recorded_at)
            self._wal.add(_LONE_WEIGHT + weight_of(1, len(draft.data) + len(draft.envelope)))
        except BaseException as error:  # before the commit or behind it
            self._check_interrupt(error)
            known = _known(error, self._path)
            return known if isinstance(known, LogLocked) else None
        return Appended(position, position)

    def _alone(self, job: Job) -> Any:
        outcome = (self._attempt([job], careful=True) or [None])[0]
        if isinstance(outcome, DiskFull) and job.essential and self._sidecar.free_reserve():
            self._wal.checkpoint("TRUNCATE")
            outcome = (self._attempt([job], careful=True) or [None])[0]
        return outcome

    def _attempt(self, jobs: Sequence[Job], *, careful: bool) -> list[Any] | None:
        """Run and commit; None when, not being careful, it had to be rolled back after something was written."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            session = self.session(connection)
            self.hook("begun")
            outcomes = [self._run(job, session, careful=careful) for job in jobs]
            session.flush()
            self._count_change(session)
            self.hook("written")
        except BaseException as error:  # a handler may raise anything; this thread must outlive it
            self._roll_back()
            self._check_interrupt(error)
            known = _known(error, self._path)
            # Locked by a writer outside tidings: every job alone would wait as long again.
            return [known] * len(jobs) if careful or isinstance(known, LogLocked) else None
        if not session.writes:
            self._roll_back()
            if session.is_news:
                self.announce(session.tip, session.recorded_at)
            return outcomes
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            return self._failed_commit(jobs, error, careful=careful)
        return self._committed(session, outcomes, len(jobs))

    def _check_interrupt(self, error: BaseException) -> None:
        """One of a plain thread is raised, as it is that thread's end; the writer's own outlives whatever is raised."""
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is not self._thread:
            raise error

    def _run(self, job: Job, session: Session, *, careful: bool) -> Any:
        if not self._begin(job):
            return LogLocked(None, self._path)
        before = session.writes
        try:
            return job.run(session, careful=careful)
        except TidingsError as error:
            if session.writes != before:
                raise
            return error  # it has changed nothing: the others need not suffer
        finally:
            self._running = None

    def _begin(self, job: Job) -> bool:
        """May `job` run? One with user code is known while it does, as it may not come to its end."""
        if not job.exclusive:
            return not job.is_unwanted
        with self._gate:  # it is either run or refused
            if job.is_unwanted:
                return False
            self._running, self._began = job, time.monotonic()
            return True

    def _failed_commit(self, jobs: Sequence[Job], error: sqlite3.Error, *, careful: bool) -> list[Any] | None:
        certain = self._connection.in_transaction or isinstance(translated(error, self._path), DiskFull)
        self._roll_back()
        if certain:
            return [translated(error, self._path)] if careful else None
        return [CommitUnknown(str(error)) for _ in jobs]

    def _committed(self, session: Session, outcomes: list[Any], jobs: int) -> list[Any]:
        try:
            self.hook("committed")
            self._recorded_at = session.recorded_at
            self._ring(session)
            recorded = weight_of(session.tip - session.first_tip, session.size)
            self._wal.add(4 + jobs // 4 + recorded + session.removed // 8)
        except Exception as error:
            unknown = CommitUnknown(str(error))
            return [each if isinstance(each, BaseException) else unknown for each in outcomes]
        return outcomes

    def _count_change(self, session: Session) -> None:
        """In the database, and not in the head record alone: a process killed before it rings is heard all the same."""
        if (session.control or session.timers) and session.writes:
            changed = {"control": session.control, "timers": session.timers}
            self._counters = raise_counters(session.connection, self._sidecar.heard(), **changed)

    def _ring(self, session: Session) -> None:
        if session.tip > session.first_tip or session.control or session.timers or session.is_news:
            self.announce(session.tip, session.recorded_at)

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")


def _given(outcome: Any) -> Any:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _known(error: BaseException, path: str) -> BaseException:
    if isinstance(error, sqlite3.IntegrityError):
        return error  # the user's own: a careful append has looked for its ids before
    if isinstance(error, sqlite3.Error):
        return translated(error, path)
    return error if isinstance(error, Exception) else HandlingError(f"{type(error).__name__} was raised: {error}")


def _nothing(point: str) -> None:
    """Nobody tests the windows now."""
