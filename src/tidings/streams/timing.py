"""Operators that know the time, by a clock that a test can move."""

from collections.abc import AsyncGenerator, AsyncIterable
from typing import TypeVar

from tidings.clock import Clock, SystemClock
from tidings.errors import ConfigurationError
from tidings.streams.flow import Flow, reading
from tidings.streams.inlet import Inlet

Item = TypeVar("Item")


def debounce(source: AsyncIterable[Item], wait: float, *, clock: Clock | None = None) -> Flow[Item]:
    """The last item before each pause of `wait` seconds: `debounce(app.listen("file:changed"), 0.5)`.

    The item that still waits when the source ends or fails is given before the end.

    Raises:
        ConfigurationError: the wait is negative.
    """
    _check("wait", wait)
    ticking = clock or SystemClock()
    inlet = Inlet([source], ticking)

    async def steps() -> AsyncGenerator[Item, None]:
        async with inlet:
            while await inlet.wait() == "item":
                latest = inlet.take()
                while await inlet.wait(ticking.monotonic() + wait) == "item":
                    latest = inlet.take()
                yield latest
            inlet.end()

    return Flow(steps(), source)


def throttle(source: AsyncIterable[Item], wait: float, *, clock: Clock | None = None) -> Flow[Item]:
    """An item, and none of those that come within `wait` seconds of it: `throttle(app.listen("price:*"), 1.0)`.

    Raises:
        ConfigurationError: the wait is negative.
    """
    _check("wait", wait)
    ticking = clock or SystemClock()

    async def steps() -> AsyncGenerator[Item, None]:
        opens = ticking.monotonic()
        async with reading(source) as items:
            async for item in items:
                now = ticking.monotonic()
                if now >= opens:
                    opens = now + wait
                    yield item

    return Flow(steps(), source)


def batch(
    source: AsyncIterable[Item], size: int, wait: float | None = None, *, clock: Clock | None = None
) -> Flow[list[Item]]:
    """Lists of `size` items; of fewer once `wait` seconds have gone by since the first: `batch(orders, 100, 0.5)`.

    What is left when the source ends or fails is given before the end.

    Raises:
        ConfigurationError: the size is below 1, or the wait negative.
    """
    if size < 1:
        raise ConfigurationError(f"batch(size={size}) holds nothing: use 1 or more")
    _check("wait", wait)
    ticking = clock or SystemClock()
    inlet = Inlet([source], ticking, limit=size)

    async def steps() -> AsyncGenerator[list[Item], None]:
        async with inlet:
            while await inlet.wait() == "item":
                gathered = [inlet.take()]
                until = None if wait is None else ticking.monotonic() + wait
                while len(gathered) < size and await inlet.wait(until) == "item":
                    gathered.append(inlet.take())
                yield gathered
            inlet.end()

    return Flow(steps(), source)


def timeout(source: AsyncIterable[Item], seconds: float, *, clock: Clock | None = None) -> Flow[Item]:
    """The items, as long as none lets its reader wait for more than `seconds`: `timeout(app.listen("beat"), 30)`.

    Raises:
        ConfigurationError: the limit is negative.
        TimeoutError: while it is read: nothing came in time.
    """
    _check("seconds", seconds)
    ticking = clock or SystemClock()
    inlet = Inlet([source], ticking, limit=1)

    async def steps() -> AsyncGenerator[Item, None]:
        async with inlet:
            while (news := await inlet.wait(ticking.monotonic() + seconds)) == "item":
                yield inlet.take()
            inlet.end()
            if news == "time":
                raise TimeoutError(f"nothing came for {seconds:g} s: see to the source, or give timeout() more")

    return Flow(steps(), source)


def _check(name: str, seconds: float | None) -> None:
    if seconds is not None and seconds < 0:
        raise ConfigurationError(f"{name}={seconds:g} lies in the past: use 0 or more seconds")
