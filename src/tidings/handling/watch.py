"""The time limit of a handler's call, kept without a timer an event."""

import asyncio

from tidings.errors import HandlerTimeout, HandlingError
from tidings.handling.delivery import Current, Item

LOOKS = 4  # in one time limit


class Watch:
    """Looks at a task's cell four times per `limit`; one item seen there for a whole limit is cancelled."""

    def __init__(self, cell: Current, limit: float | None, name: str) -> None:
        self._cell = cell
        self._limit = limit
        self._name = name
        self._task = asyncio.current_task()
        self._seen: Item | None = None
        self._looks = 0  # at the item seen, after the first
        self._overrun: Item | None = None  # the item whose call was cancelled
        self._timer: asyncio.TimerHandle | None = None
        self._look_again()

    def told(self, error: BaseException) -> BaseException:
        """The error to answer with: a timeout, where the cancellation was ours.

        Raises:
            CancelledError: it was the task that somebody else cancelled.
        """
        is_late = self._overrun is not None and self._overrun is self._cell.item
        self._forgive()
        if not isinstance(error, asyncio.CancelledError):
            return error
        if self._task is not None and self._task.cancelling():
            raise error
        if is_late:
            return HandlerTimeout(self._name, self._limit or 0.0)
        inner = HandlingError(f"{self._name} awaited something that was cancelled: await it where that can be answered")
        inner.__cause__ = error
        return inner

    def end(self) -> None:
        """Look no more."""
        self._forgive()
        if self._timer is not None:
            self._timer.cancel()

    def _forgive(self) -> None:
        """Take our cancellation back: it was answered, or swallowed by a handler that returned in spite of it."""
        if self._overrun is not None and self._task is not None:
            self._task.uncancel()
        self._overrun = None

    def _look(self) -> None:
        item = self._cell.item
        if item is None or item is not self._seen:
            self._seen, self._looks = item, 0
        else:
            self._looks += 1
            if self._looks == LOOKS and self._task is not None:
                self._forgive()
                self._overrun = item
                self._task.cancel()
        self._look_again()

    def _look_again(self) -> None:
        if self._limit is not None:
            self._timer = asyncio.get_running_loop().call_later(self._limit / LOOKS, self._look)
