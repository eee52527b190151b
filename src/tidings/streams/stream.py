"""`Stream`: the operators one behind the other, read from left to right."""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Hashable
from typing import TypeVar, overload

from tidings.clock import Clock
from tidings.streams import merging, shaping, timing
from tidings.streams.flow import Flow, reading, settled

Item = TypeVar("Item")
Made = TypeVar("Made")


class Stream(Flow[Item]):
    """A flow with the operators as methods; each takes the stream over and gives the next. Make it with `stream`."""

    @overload
    def map(self, function: Callable[[Item], Awaitable[Made]]) -> "Stream[Made]": ...
    @overload
    def map(self, function: Callable[[Item], Made]) -> "Stream[Made]": ...
    def map(self, function: Callable[[Item], Awaitable[Made] | Made]) -> "Stream[Made]":
        """What a plain or async function makes of each item."""
        made: Flow[Made] = shaping.map(self, function)  # type: ignore[arg-type]  # an overload knows no union
        return _stream(made)

    def filter(self, wanted: Callable[[Item], Awaitable[bool] | bool]) -> "Stream[Item]":
        """The items a plain or async function says yes to."""
        return _stream(shaping.filter(self, wanted))

    def take(self, count: int) -> "Stream[Item]":
        """The first `count` items."""
        return _stream(shaping.take(self, count))

    def distinct(self, key: Callable[[Item], Hashable] | None = None, *, remember: int = 10_000) -> "Stream[Item]":
        """Items whose key is not among the `remember` seen last."""
        return _stream(shaping.distinct(self, key, remember=remember))

    @overload
    def scan(self, function: Callable[[Made, Item], Awaitable[Made]], initial: Made) -> "Stream[Made]": ...
    @overload
    def scan(self, function: Callable[[Made, Item], Made], initial: Made) -> "Stream[Made]": ...
    def scan(self, function: Callable[[Made, Item], Awaitable[Made] | Made], initial: Made) -> "Stream[Made]":
        """The running result after each item."""
        made: Flow[Made] = shaping.scan(self, function, initial)  # type: ignore[arg-type]  # as in `map`
        return _stream(made)

    def merge(self, *others: AsyncIterable[Item], limit: int = 16) -> "Stream[Item]":
        """Its items and those of others, as they come."""
        return _stream(merging.merge(self, *others, limit=limit))

    def debounce(self, wait: float, *, clock: Clock | None = None) -> "Stream[Item]":
        """The last item before each pause of `wait` seconds."""
        return _stream(timing.debounce(self, wait, clock=clock))

    def throttle(self, wait: float, *, clock: Clock | None = None) -> "Stream[Item]":
        """An item, and none of those within `wait` seconds of it."""
        return _stream(timing.throttle(self, wait, clock=clock))

    def batch(self, size: int, wait: float | None = None, *, clock: Clock | None = None) -> "Stream[list[Item]]":
        """Lists of `size` items, or of fewer after `wait` seconds."""
        return _stream(timing.batch(self, size, wait, clock=clock))

    def timeout(self, seconds: float, *, clock: Clock | None = None) -> "Stream[Item]":
        """The items, as long as none takes longer than `seconds`."""
        return _stream(timing.timeout(self, seconds, clock=clock))

    async def collect(self) -> list[Item]:
        """All items, once it has ended: for streams that do."""
        async with self:
            return [item async for item in self]

    async def each(self, function: Callable[[Item], object]) -> None:
        """Call a plain or async function with every item, one after the other, until the stream ends."""
        async with self:
            async for item in self:
                await settled(function(item))


def stream(source: AsyncIterable[Item]) -> Stream[Item]:
    """Any async iterator with the operators as methods: `stream(app.listen("order:*")).filter(is_large).take(10)`."""

    async def steps() -> AsyncGenerator[Item, None]:
        async with reading(source) as items:
            async for item in items:
                yield item

    return Stream(steps(), source)


def _stream(flow: Flow[Item]) -> Stream[Item]:
    """The same flow with methods, and no step more an item."""
    return Stream(flow.steps, *flow.sources)
