"""`Interruption`: the time limit of a plain handler on the log's own thread, which cannot be left to it.

Everybody waits for that thread, so Python code that overruns there is ended by an exception raised inside it, which
CPython does before the thread's next instruction. What blocks in C (a sleep, a socket) is reached when it returns, and
until then can only be reported.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from math import inf
from types import TracebackType
from typing import Any

from tidings.handling.watch import LOOKS

_STUCK_AFTER = 1.0  # seconds past its limit without an end; also between looks when there is no limit


class Interrupted(BaseException):
    """Raised inside the handler. Not an `Exception`: a handler that suppresses those is ended all the same."""


class Interruption:
    """Watched on the event loop, inside it on the thread: `with` it, the handler is called.

    `stuck` is told when a call overruns and does not end.
    """

    def __init__(self, limit: float | None, stuck: Callable[[], None]) -> None:
        self.limit = limit
        self._stuck = stuck
        self._until: Callable[[], float] = lambda: inf
        self._thread: int | None = None  # the one that is inside
        self._sent: float | None = None  # the instant at which the call that was interrupted should have ended
        self._lock = threading.Lock()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, until: Callable[[], float]) -> None:
        """On the thread: calls are made from now on; `until` says when the one at hand must have ended."""
        self._until = until

    def __enter__(self) -> None:
        with self._lock:
            self._thread, self._sent = threading.get_ident(), None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            thread, self._thread = self._thread, None
            if self._sent is not None and thread is not None and kind is not Interrupted:
                _raise_in(thread, None)  # it returned in the same instant: what was sent must hit nobody else

    @contextlib.contextmanager
    def watched(self) -> Any:
        """On the event loop: look at the thread while the block lasts."""
        self._look_again()
        try:
            yield
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _look(self) -> None:
        until = self._until()
        late = time.monotonic() - until
        if late > 0 and self._lock.acquire(blocking=False):
            try:
                if self._thread is not None and self._sent != until:
                    _raise_in(self._thread, Interrupted)
                    self._sent = until
            finally:
                self._lock.release()
        if late > _STUCK_AFTER and self._thread is not None:
            self._stuck()
        self._look_again()

    def _look_again(self) -> None:
        wait = min(self.limit or _STUCK_AFTER, _STUCK_AFTER) / LOOKS
        self._timer = asyncio.get_running_loop().call_later(wait, self._look)


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    """Raise in a thread before its next instruction, or take that back (PyThreadState_SetAsyncExc of CPython)."""
    import ctypes  # 10 ms, and only who overruns pays for it

    with contextlib.suppress(AttributeError):  # not CPython
        raising = ctypes.pythonapi.PyThreadState_SetAsyncExc
        raising(ctypes.c_ulong(thread), None if kind is None else ctypes.py_object(kind))
