"""The bell between processes: one connection that listens, rings, and holds the signs that this process lives.

Whoever has committed has it rung here, after the commit: a NOTIFY inside the transaction would have all commits of the
database stand in one line. A ring says nothing; who hears it looks at the end of the log. As long as something is
committed that may not be read yet, because an older transaction goes on, it looks again every few milliseconds: nobody
rings when a transaction of somebody else's ends.
"""

import contextlib
import logging
import os
import queue
import select
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from tidings.errors import LogClosed, LogError
from tidings.log.bell import Bell, Counters
from tidings.log.postgres.connection import Connection, Link
from tidings.log.postgres.driver import psycopg
from tidings.log.postgres.edge import Edge
from tidings.log.postgres.failures import translated
from tidings.log.postgres.orders import AROUND, RING

logger = logging.getLogger("tidings")
_HELD_LOOK = 0.01  # seconds between looks while readers are held back
_HELD_LONG = 0.025  # the same when that has lasted for a while
_A_WHILE = 5.0
_AWAY = 1.0  # seconds between attempts, beyond the link's own patience
Question = Callable[[Connection], Any]


class Watch:
    """A thread with a connection of its own."""

    def __init__(self, link: Link, bell: Bell, channel: str) -> None:
        self.edge: Edge | None = None  # set when the log is open
        self._link = link
        self._bell = bell
        self._channel = channel
        self._questions: queue.SimpleQueue[tuple[Question, Future[Any]]] = queue.SimpleQueue()
        self._news = threading.Event()  # something of ours was committed
        self._is_closed = False
        self._held_since: float | None = None
        self._wakes, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        os.set_blocking(self._wakes, False)
        self._thread = threading.Thread(target=self._main, name="tidings-watch", daemon=True)

    def start(self, edge: Edge) -> None:
        """Begin to watch."""
        self.edge = edge
        self._thread.start()

    def ring(self) -> None:
        """Something was committed: wake the readers of this process, and of all others."""
        self._news.set()
        self._wake()

    def hasten(self) -> None:
        """Readers are held back: look again and again."""
        if self._held_since is None:
            self._held_since = time.monotonic()
            self._wake()

    def ask(self, question: Question) -> "Future[Any]":
        """Have a question answered on this connection; the future gets the answer."""
        future: Future[Any] = Future()
        if self._is_closed:
            future.set_exception(LogClosed(self._link.place))
            return future
        self._questions.put((question, future))
        self._wake()
        return future

    def look(self, connection: Connection) -> None:
        """See where the log ends, and tell the ears of this process."""
        self._tell(connection, AROUND)

    def ring_now(self, connection: Connection) -> None:
        """Look, and wake everybody else; on this thread."""
        self._tell(connection, RING, self._channel)

    def close(self) -> None:
        """End the thread; blocks for a moment."""
        self._is_closed = True
        self._wake()
        if self._thread.ident is not None:
            self._thread.join(2.0)
        self._link.close()

    def _tell(self, connection: Connection, question: str, *more: str) -> None:
        assert self.edge is not None
        life = self.edge.life
        head, tip, control, timers, *_ = connection.execute(question, (life.shift, *more)).fetchone()
        safe = self.edge.learn(head, tip)
        if not self.edge.is_held:
            self._held_since = None
        self._bell.news(life.epoch.position(safe), Counters(int(control or 0), int(timers or 0)))

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):  # it is awake, or gone
            os.write(self._waker, b"!")

    def _main(self) -> None:
        while not self._is_closed:
            try:
                connection = self._link.connection()
                connection.execute(f'LISTEN "{self._channel}"')
                self.look(connection)  # what came while nobody listened
                while not self._is_closed:
                    self._once(connection)
            except Exception as error:  # this thread must outlive the server's failures and our own mistakes
                if not isinstance(error, psycopg.Error | LogError | OSError):
                    logger.exception("the watch of a log failed, and begins anew")
                self._link.drop()
                self._refuse(error)
                self._pause()
        self._answer_last()
        os.close(self._wakes)
        os.close(self._waker)

    def _once(self, connection: Connection) -> None:
        heard = self._wait(connection)
        self._answer(connection)
        if self._news.is_set():
            self._news.clear()
            self.ring_now(connection)
        elif heard or self._held_since is not None:
            self.look(connection)

    def _wait(self, connection: Connection) -> bool:
        """Until something happens; did the server say something?"""
        poll = select.poll()
        poll.register(connection.raw.fileno(), select.POLLIN)
        poll.register(self._wakes, select.POLLIN)
        found = [descriptor for descriptor, _ in poll.poll(self._patience())]
        if self._wakes in found:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wakes, 65536)
        if connection.raw.fileno() not in found:
            return False
        connection.raw.pgconn.consume_input()
        heard = False
        while (notified := connection.raw.pgconn.notifies()) is not None:
            heard = heard or notified.be_pid != connection.raw.info.backend_pid
        if not connection.is_alive():
            raise psycopg.OperationalError("the server has gone")
        return heard

    def _patience(self) -> float | None:
        """Milliseconds."""
        if self._held_since is None:
            return None
        is_long = time.monotonic() - self._held_since > _A_WHILE
        return 1000 * (_HELD_LONG if is_long else _HELD_LOOK)

    def _answer(self, connection: Connection) -> None:
        while True:
            try:
                question, future = self._questions.get_nowait()
            except queue.Empty:
                return
            if not future.set_running_or_notify_cancel():
                continue
            try:
                answer = question(connection)
            except psycopg.Error as error:
                future.set_exception(translated(error, connection.place))
                if not connection.is_alive():
                    raise
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(answer)

    def _refuse(self, error: Exception) -> None:
        known = translated(error, self._link.place) if isinstance(error, psycopg.Error) else error
        while True:
            try:
                _, future = self._questions.get_nowait()
            except queue.Empty:
                return
            if future.set_running_or_notify_cancel():
                future.set_exception(known)

    def _answer_last(self) -> None:
        """What was asked before the end."""
        try:
            self._answer(self._link.connection())
        except (psycopg.Error, LogError) as error:
            self._refuse(error)

    def _pause(self) -> None:
        poll = select.poll()
        poll.register(self._wakes, select.POLLIN)
        if not self._is_closed:
            poll.poll(1000 * _AWAY)
