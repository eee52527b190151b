"""`Inlet`: sources read by tasks into a bounded buffer, for operators that wait for several things at once."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Sequence
from typing import Generic, Literal, Self, TypeVar

from tidings.clock import Clock
from tidings.errors import ConfigurationError
from tidings.streams.flow import close

Item = TypeVar("Item")
News = Literal["item", "end", "time"]


class Inlet(Generic[Item]):
    """Reads while its block lasts: at most `limit` items ahead, and one more in the hand of each source.

    The first source that fails ends it; what came before is still to be had, and `end` then raises the error.

    Raises:
        ConfigurationError: there is no room for a single item.
    """

    def __init__(self, sources: Sequence[AsyncIterable[Item]], clock: Clock, *, limit: int = 16) -> None:
        if limit < 1:
            raise ConfigurationError(f"limit={limit} leaves no room for an item: use 1 or more")
        self._sources = sources
        self._clock = clock
        self._room = asyncio.Semaphore(limit)
        self._arrived: deque[Item] = deque()
        self._news = asyncio.Event()  # an item, an end, or a wait that is over
        self._open = len(sources)
        self._failure: BaseException | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._read(each), name=f"stream:{each!r:.60}") for each in self._sources]
        return self

    async def __aexit__(self, *raised: object) -> None:
        try:
            await _ended(*self._tasks)
        finally:
            await close(*self._sources)

    async def wait(self, until: float | None = None) -> News:
        """What comes first: an item to `take`, the end of all sources, or the clock's monotonic `until`."""
        timer = None if until is None or self._known else self._timer(until)
        try:
            while not self._known:
                if timer is not None and timer.done():
                    return "time"
                self._news.clear()
                await self._news.wait()
        finally:
            if timer is not None:
                await _ended(timer)
        return self._known or "end"

    def take(self) -> Item:
        """The next item, once `wait` has said that there is one."""
        self._room.release()
        return self._arrived.popleft()

    def end(self) -> None:
        """Pass on what ended the sources, if it was an error."""
        if self._failure is not None:
            raise self._failure

    @property
    def _known(self) -> News | None:
        """What can be said without waiting."""
        if self._arrived:
            return "item"
        return "end" if self._failure is not None or not self._open else None

    async def _read(self, source: AsyncIterable[Item]) -> None:
        try:
            async for item in source:
                await self._room.acquire()
                if self._failure is not None:  # another source ended it, and nothing comes after that
                    return
                self._arrived.append(item)
                self._news.set()
        except Exception as error:
            self._failure = self._failure or error
        finally:
            self._open -= 1
            self._news.set()

    def _timer(self, until: float) -> asyncio.Task[None]:
        timer = asyncio.create_task(_sleep(self._clock, until), name="stream:timer")
        timer.add_done_callback(lambda _: self._news.set())
        return timer


async def _sleep(clock: Clock, until: float) -> None:
    await clock.sleep(until - clock.monotonic())


async def _ended(*tasks: asyncio.Task[None]) -> None:
    """Cancel them, and return when they are gone."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
