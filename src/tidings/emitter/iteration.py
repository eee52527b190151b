"""One event's arguments as an async iterator: what arrives between two looks waits in order."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Protocol, Self

from tidings.emitter.background import running_loop
from tidings.emitter.failures import as_exception
from tidings.emitter.names import ERROR
from tidings.emitter.registration import Listener
from tidings.errors import FellBehind


class Source(Protocol):
    """What an iteration asks of an emitter."""

    def on(self, name: str, listener: Listener, *, weak: bool) -> object:
        """Call `listener` with the arguments of each event of that name."""

    def off(self, name: str, listener: Listener) -> object:
        """Call it no more."""


class Iteration(AsyncIterator[tuple[Any, ...]]):
    """The events of one name or pattern since it was made, each as the tuple of its arguments.

    An `error` event ends it: what arrived before is given first, then the exception is raised, then it is done. So does
    falling more than `limit` events behind. It listens weakly: an iteration that is dropped listens no more.
    """

    def __init__(self, source: Source, name: str, *, limit: int, only: int | None = None) -> None:
        self.name = name
        self._source = source
        self._limit = limit
        self._left = only  # how many events to take before it stops listening; None: all there are
        self._arrived: deque[tuple[Any, ...] | BaseException] = deque()
        self._is_listening = True
        self._reader: asyncio.Future[None] | None = None
        source.on(name, self._take, weak=True)
        if name != ERROR:
            source.on(ERROR, self._fail, weak=True)

    async def __anext__(self) -> tuple[Any, ...]:
        if self._reader is not None:
            raise RuntimeError(f"another task is reading this iteration of {self.name!r}: give each reader its own")
        while True:
            is_over = not self._is_listening  # asked first: what came last, from another thread, came before the end
            if self._arrived:
                break
            if is_over:
                raise StopAsyncIteration
            await self._news()
        arrived = self._arrived.popleft()
        if isinstance(arrived, BaseException):
            self._arrived.clear()
            raise arrived
        return arrived

    def stop(self) -> None:
        """Listen no more; what has arrived can still be read."""
        if self._is_listening:
            self._is_listening = False
            self._source.off(self.name, self._take)
            self._source.off(ERROR, self._fail)

    async def aclose(self) -> None:
        """Stop listening and forget what was not read."""
        self.stop()
        self._arrived.clear()
        self._wake()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _news(self) -> None:
        self._reader = asyncio.get_running_loop().create_future()
        try:
            if not self._arrived and self._is_listening:  # looked at again: other threads emit, too
                await self._reader
        finally:
            self._reader = None

    def _take(self, *args: Any) -> None:
        if not self._is_listening:
            return
        if len(self._arrived) >= self._limit:
            self._end(FellBehind(self.name, self._limit))
            return
        self._arrived.append(args)
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self.stop()
        self._wake()

    def _fail(self, *args: Any) -> None:
        if self._is_listening:
            self._end(as_exception(args))

    def _end(self, reason: BaseException) -> None:
        self._arrived.append(reason)
        self.stop()
        self._wake()

    def _wake(self) -> None:
        reader = self._reader
        if reader is None:
            return
        loop = reader.get_loop()
        if loop is running_loop():
            _resolve(reader)
        else:
            with contextlib.suppress(RuntimeError):  # its loop is closed: nobody reads any more
                loop.call_soon_threadsafe(_resolve, reader)


def _resolve(reader: "asyncio.Future[None]") -> None:
    if not reader.done():
        reader.set_result(None)
