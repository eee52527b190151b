"""A bridge to ReactiveX (extra `reactivex`): async iterators as observables, and observables as async iterators.

An observable pushes and an iterator is asked, so the way back needs a buffer, and a rule for when it is full.
"""

import asyncio
import contextlib
import weakref
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar

from tidings.errors import ConfigurationError, MissingExtra, StreamOverflow
from tidings.streams.flow import close

if TYPE_CHECKING:
    from reactivex import Observable
    from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

Item = TypeVar("Item")
Overflow = Literal["raise", "drop_oldest", "drop_newest"]


def to_observable(source: AsyncIterable[Item] | Callable[[], AsyncIterable[Item]]) -> "Observable[Item]":
    """An observable of what an async iterator gives: `to_observable(lambda: app.listen("order:*")).pipe(...)`.

    Subscribe on the event loop; the items are pushed there. An iterator has one reader: for several subscribers give a
    function that makes one for each. Disposing cancels the reading and closes the iterator; its end and its error are
    the observable's.

    Raises:
        MissingExtra: reactivex is not installed.
    """
    reactivex, disposable = _reactivex()

    def subscribe(observer: "ObserverBase[Item]", scheduler: "SchedulerBase | None" = None) -> "DisposableBase":
        loop = asyncio.get_running_loop()
        task = loop.create_task(_push(source() if callable(source) else source, observer), name="to_observable")

        def dispose() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and the task with it
                loop.call_soon_threadsafe(task.cancel)

        made: DisposableBase = disposable.Disposable(dispose)
        return made

    made: Observable[Item] = reactivex.create(subscribe)
    return made


def from_observable(
    observable: "Observable[Item]", *, limit: int = 1000, overflow: Overflow = "raise"
) -> "Observed[Item]":
    """What an observable pushes from now on, as an async iterator: `async for price in from_observable(prices)`.

    At most `limit` items wait unread. When another comes, `raise` unsubscribes, and the reader gets a StreamOverflow
    after those that waited; `drop_oldest` and `drop_newest` go on without one of them, and count it in `dropped`.

    Raises:
        ConfigurationError: a setting cannot be kept.
        MissingExtra: reactivex is not installed.
    """
    _reactivex()
    if limit < 1:
        raise ConfigurationError(f"limit={limit} leaves no room for an item: use 1 or more")
    if overflow not in ("raise", "drop_oldest", "drop_newest"):
        raise ConfigurationError(f"overflow={overflow!r} is unknown: use 'raise', 'drop_oldest' or 'drop_newest'")
    return Observed(observable, _Buffer(limit, overflow))


class Observed(AsyncIterator[Item], Generic[Item]):
    """An observable's items for one reader; made by `from_observable`. Closing it, or dropping it, unsubscribes."""

    def __init__(self, observable: "Observable[Item]", buffer: "_Buffer[Item]") -> None:
        self._buffer = buffer
        subscription = observable.subscribe(buffer.take, buffer.fail, buffer.end)
        self._dispose = weakref.finalize(self, subscription.dispose)
        self._dispose.atexit = False
        buffer.on_end(self._dispose)

    @property
    def dropped(self) -> int:
        """How many items were not given because the buffer was full."""
        return self._buffer.dropped

    async def __anext__(self) -> Item:
        return await self._buffer.next()

    async def aclose(self) -> None:
        """Unsubscribe, and forget what was not read."""
        self._dispose()
        self._buffer.forget()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.aclose()


class _Buffer(Generic[Item]):
    """Between the two: filled from any thread, read on the loop it was made on."""

    def __init__(self, limit: int, overflow: Overflow) -> None:
        self.dropped = 0
        self._limit = limit
        self._overflow = overflow
        self._loop = asyncio.get_running_loop()
        self._items: deque[Item] = deque()
        self._news = asyncio.Event()
        self._is_over = False
        self._failure: BaseException | None = None
        self._unsubscribe: Callable[[], object] | None = None

    def on_end(self, unsubscribe: Callable[[], object]) -> None:
        """Call `unsubscribe` when it is over, which a cold observable may have made it already."""
        self._unsubscribe = unsubscribe
        if self._is_over:
            unsubscribe()

    def take(self, item: Item) -> None:
        """One more item, and what is to be done when there is no room."""
        if self._is_over:
            return
        if len(self._items) >= self._limit:
            if self._overflow == "raise":
                self.fail(StreamOverflow(self._limit))
                return
            self.dropped += 1
            if self._overflow == "drop_newest":
                return
            with contextlib.suppress(IndexError):  # the reader was quicker
                self._items.popleft()
        self._items.append(item)
        self._wake()

    def fail(self, error: BaseException) -> None:
        """Nothing more comes but this error."""
        if not self._is_over:
            self._failure = error
            self.end()

    def end(self) -> None:
        """Nothing more comes."""
        self._is_over = True
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._wake()

    def forget(self) -> None:
        """It is over, and nothing is left to read."""
        self._is_over = True
        self._failure = None
        self._items.clear()
        self._news.set()

    async def next(self) -> Item:
        """The next item, when there is one.

        Raises:
            StopAsyncIteration: it is over; or what ended it, once.
        """
        while not self._items:
            if self._is_over and not self._items:  # asked again: what came last, from a thread, came before the end
                failure, self._failure = self._failure, None
                raise StopAsyncIteration if failure is None else failure
            self._news.clear()
            if not self._items and not self._is_over:
                await self._news.wait()
        return self._items.popleft()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # its loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(self._news.set)


async def _push(source: AsyncIterable[Item], observer: "ObserverBase[Item]") -> None:
    try:
        async for item in source:
            observer.on_next(item)
    except Exception as error:
        observer.on_error(error)
    else:
        observer.on_completed()
    finally:
        await close(source)


def _reactivex() -> tuple[Any, Any]:
    try:
        import reactivex
        from reactivex import disposable
    except ImportError:
        raise MissingExtra("reactivex", "the bridge to ReactiveX") from None
    return reactivex, disposable
