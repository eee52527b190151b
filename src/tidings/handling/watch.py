"""The time limit of a handler's call, kept without a timer an event."""

import asyncio
from collections.abc import Callable

from tidings.errors import HandlerTimeout
from tidings.handling.delivery import Current, Item


class Watch:
    """Looks at a task's cell four times per `limit`; one item seen there for a whole limit is cancelled."""

    def __init__(self, cell: Current, limit: float | None, name: str) -> None:
        self._cell = cell
        self._limit = limit
        self._name = name
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._seen: Item | None = None
        self._since = 0.0
        self._cancelled = False
        self._timer = None if limit is None else self._loop.call_later(limit / 4, self._look)

    def told(self, error: BaseException) -> BaseException:
        """The error to answer with: a timeout, where the cancellation was ours.

        Raises:
            CancelledError: it was somebody else's.
        """
        if not isinstance(error, asyncio.CancelledError):
            return error
        if not self._cancelled or self._task is None:
            raise error
        self._cancelled = False
        self._task.uncancel()
        return HandlerTimeout(self._name, self._limit or 0.0)

    def end(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        limit = self._limit or 0.0
        now = self._loop.time()
        if self._cell.item is not self._seen or self._seen is None:
            self._seen, self._since = self._cell.item, now
        elif now - self._since >= limit and self._task is not None and not self._cancelled:
            self._cancelled = True
            self._task.cancel()
            self._seen = None
        self._timer = self._loop.call_later(limit / 4, self._look)


class Pause:
    """Calls `pause` once after some seconds, unless it is ended before."""

    def __init__(self, seconds: float, pause: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, pause)

    def end(self) -> None:
        """Leave it."""
        self._timer.cancel()
