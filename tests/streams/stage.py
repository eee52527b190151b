"""A source that can be watched: it counts what was asked of it, and knows when it was closed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, Self, TypeVar

BOUND = 30.0  # seconds that a test waits for anything at most
Item = TypeVar("Item")


class Tap(AsyncIterator[Item], Generic[Item]):
    """Gives what it is given, then ends, fails, or waits for more."""

    def __init__(self, *items: Item, then: Exception | None = None, open: bool = False) -> None:
        self.asked = 0
        self.closed = 0
        self._queue: asyncio.Queue[Item | None] = asyncio.Queue()
        self._then = then
        for item in items:
            self.give(item)
        if not open:
            self.end()

    def give(self, item: Item) -> None:
        self._queue.put_nowait(item)

    def end(self) -> None:
        self._queue.put_nowait(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        self.asked += 1
        item = await self._queue.get()
        if item is not None:
            return item
        if self._then is not None:
            raise self._then
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed += 1


async def turns(count: int = 20) -> None:
    """Let every task that can run do so."""
    for _ in range(count):
        await asyncio.sleep(0)


def others() -> set[asyncio.Task[object]]:
    """The tasks that streams have begun."""
    return {task for task in asyncio.all_tasks() if task.get_name().startswith("stream:")}
