"""`Flow`: what every operator gives back, an async iterator that closes what it reads from."""

import contextlib
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

Item = TypeVar("Item")


class Flow(AsyncIterator[Item], Generic[Item]):
    """The items of one operator, for one reader.

    It ends when its source does, when it is closed, and with the first error, which is passed on; its sources are
    closed then. Who leaves a loop early closes it: `async with flow: ...`, or `await flow.aclose()`.
    """

    def __init__(self, steps: AsyncGenerator[Item, None], *sources: AsyncIterable[Any]) -> None:
        self.steps = steps
        self.sources = sources

    def __anext__(self) -> Awaitable[Item]:  # the generator's own: an operator costs no call of its own an item
        return self.steps.__anext__()

    async def aclose(self) -> None:
        """End it, and all that it reads from; closing twice is harmless."""
        try:
            await self.steps.aclose()
        finally:
            await close(*self.sources)  # a generator that was never begun has no `finally` to do it

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


@contextlib.asynccontextmanager
async def reading(source: AsyncIterable[Item]) -> AsyncIterator[AsyncIterator[Item]]:
    """The source's iterator, closed when the block ends, however it ends."""
    iterator = aiter(source)
    try:
        yield iterator
    finally:
        await close(iterator, source)


async def close(*sources: AsyncIterable[Any]) -> None:
    """Close those that can be closed, every one of them, and pass on the first error."""
    async with contextlib.AsyncExitStack() as closing:
        for source in sources:
            if (aclose := getattr(source, "aclose", None)) is not None:
                closing.push_async_callback(aclose)


async def settled(result: Item | Awaitable[Item]) -> Item:
    """What a function gave, plain or async."""
    return await result if inspect.isawaitable(result) else result
