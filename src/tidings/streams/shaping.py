"""Operators that look at one item after the other: no time, no tasks, nothing read ahead."""

from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Hashable
from typing import TypeVar, overload

from tidings.errors import ConfigurationError
from tidings.streams.flow import Flow, reading, settled

Item = TypeVar("Item")
Made = TypeVar("Made")


@overload
def map(source: AsyncIterable[Item], function: Callable[[Item], Awaitable[Made]]) -> Flow[Made]: ...
@overload
def map(source: AsyncIterable[Item], function: Callable[[Item], Made]) -> Flow[Made]: ...
def map(source: AsyncIterable[Item], function: Callable[[Item], Awaitable[Made] | Made]) -> Flow[Made]:
    """What a plain or async function makes of each item: `map(orders, lambda order: order.total)`."""

    async def steps() -> AsyncGenerator[Made, None]:
        async with reading(source) as items:
            async for item in items:
                yield await settled(function(item))

    return Flow(steps(), source)


def filter(source: AsyncIterable[Item], wanted: Callable[[Item], Awaitable[bool] | bool]) -> Flow[Item]:
    """The items a plain or async function says yes to: `filter(orders, lambda order: order.total > 100)`."""

    async def steps() -> AsyncGenerator[Item, None]:
        async with reading(source) as items:
            async for item in items:
                if await settled(wanted(item)):
                    yield item

    return Flow(steps(), source)


def take(source: AsyncIterable[Item], count: int) -> Flow[Item]:
    """The first `count` items; the source is closed with the last of them, not asked for another: `take(orders, 3)`.

    Raises:
        ConfigurationError: the count is negative.
    """
    if count < 0:
        raise ConfigurationError(f"take({count}) takes less than nothing: use 0 or more")

    async def steps() -> AsyncGenerator[Item, None]:
        async with reading(source) as items:
            left = count
            while left:
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
                left -= 1
                if left:
                    yield item
        if count:
            yield item  # with the source closed: whoever got what was asked for may never ask again

    return Flow(steps(), source)


def distinct(
    source: AsyncIterable[Item], key: Callable[[Item], Hashable] | None = None, *, remember: int = 10_000
) -> Flow[Item]:
    """Items whose `key` (the item itself, without one) was not seen before: `distinct(orders, lambda o: o.customer)`.

    It remembers the `remember` keys seen last; one that was forgotten counts as new.

    Raises:
        ConfigurationError: nothing would be remembered.
    """
    if remember < 1:
        raise ConfigurationError(f"distinct(remember={remember}) remembers nothing: use 1 or more")

    async def steps() -> AsyncGenerator[Item, None]:
        seen: OrderedDict[Hashable, None] = OrderedDict()
        async with reading(source) as items:
            async for item in items:
                mark: Hashable = item if key is None else key(item)
                is_new = mark not in seen
                seen[mark] = None
                seen.move_to_end(mark)
                if len(seen) > remember:
                    seen.popitem(last=False)
                if is_new:
                    yield item

    return Flow(steps(), source)


@overload
def scan(
    source: AsyncIterable[Item], function: Callable[[Made, Item], Awaitable[Made]], initial: Made
) -> Flow[Made]: ...
@overload
def scan(source: AsyncIterable[Item], function: Callable[[Made, Item], Made], initial: Made) -> Flow[Made]: ...
def scan(
    source: AsyncIterable[Item], function: Callable[[Made, Item], Awaitable[Made] | Made], initial: Made
) -> Flow[Made]:
    """The running result after each item: `scan(orders, lambda sum, order: sum + order.total, Decimal(0))`."""

    async def steps() -> AsyncGenerator[Made, None]:
        result = initial
        async with reading(source) as items:
            async for item in items:
                result = await settled(function(result, item))
                yield result

    return Flow(steps(), source)
