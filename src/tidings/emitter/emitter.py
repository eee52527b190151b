"""`Emitter`: who listens is called, in order, each whatever befalls the others."""

import asyncio
import inspect
from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from types import CoroutineType
from typing import Any, Final, Self, TypeVar, overload

from tidings.concurrency import is_being_cancelled
from tidings.emitter.background import Background
from tidings.emitter.failures import raise_together, report, report_async, with_failure
from tidings.emitter.iteration import Iteration
from tidings.emitter.limit import ListenerLimit
from tidings.emitter.names import ERROR_MONITOR, LISTENER_REMOVED, NEW_LISTENER
from tidings.emitter.registration import Listener, Registration, check_listener, check_name, is_awaitable
from tidings.emitter.registry import Registry
from tidings.emitter.waiting import Wait

AnyListener = TypeVar("AnyListener", bound=Listener)


class _Later(Enum):
    DECORATED = "the listener is what comes next"  # were it None, the mistake `on(name, None)` would make a decorator


class Emitter:
    """Calls listeners in this process.

    Any string is a name. One with a whole segment `*` or `**` is, to a listener, a pattern: segments stand between `:`,
    `.` and `/`, `*` is one of them and `**` any number, so `order:*` hears `order:created`. Patterns do not hear
    `error`, nor the emitter's own events: those are heard by name.

    A listener that fails stops none of the others. Its exception is emitted as `error`; when nobody listens to that it
    is raised from `emit` after all have run, several as an ExceptionGroup.

    A function registered twice is called twice. An emission calls those who listened when it began. All methods may be
    called from any thread; no lock is taken to emit.

    More than `max_listeners` under one name (0: any number; weak ones are not counted) bring a warning, once: it is
    usually a leak. `max_pending` bounds the coroutine listeners `emit` leaves running, and the unread of an `iterate`.
    """

    NEW_LISTENER: Final = NEW_LISTENER  # emitted with (name, listener) before it is added
    LISTENER_REMOVED: Final = LISTENER_REMOVED  # emitted with (name, listener) after it was taken off
    ERROR_MONITOR: Final = ERROR_MONITOR  # hears each `error` first, and does not count as having taken it

    def __init__(self, *, max_listeners: int = 10, max_pending: int = 1000) -> None:
        self._registry = Registry()
        self._limit = ListenerLimit(max_listeners)
        self._background = Background(max_pending, self.emit)

    @overload
    def on(self, name: str, *, prepend: bool = ..., weak: bool = ...) -> Callable[[AnyListener], AnyListener]: ...
    @overload
    def on(self, name: str, listener: Listener, *, prepend: bool = ..., weak: bool = ...) -> Self: ...
    def on(
        self, name: str, listener: Listener | _Later = _Later.DECORATED, *, prepend: bool = False, weak: bool = False
    ) -> Any:
        """Call `listener` at each event of this name, or decorate a function with `@emitter.on(name)`.

        As a call it gives the emitter back, so that calls chain; as a decorator the function, untouched. `prepend` puts
        it before those who listen already. A `weak` listener is forgotten when nothing else holds it.
        """
        return self._listen(name, listener, once=False, prepend=prepend, weak=weak)

    @overload
    def once(self, name: str, *, prepend: bool = ..., weak: bool = ...) -> Callable[[AnyListener], AnyListener]: ...
    @overload
    def once(self, name: str, listener: Listener, *, prepend: bool = ..., weak: bool = ...) -> Self: ...
    def once(
        self, name: str, listener: Listener | _Later = _Later.DECORATED, *, prepend: bool = False, weak: bool = False
    ) -> Any:
        """As `on`, for the next event only: the listener is taken off before it is called."""
        return self._listen(name, listener, once=True, prepend=prepend, weak=weak)

    def off(self, name: str, listener: Listener) -> Self:
        """Take a listener off: the latest of its registrations under exactly this name or pattern, if there is one."""
        check_listener(name, listener)
        removed = self._registry.remove_latest(name, listener)
        if removed is not None:
            self._announce_removed([removed])
        return self

    def off_all(self, name: str | None = None) -> Self:
        """Take all listeners off, or all under this name or pattern."""
        names = self.names() if name is None else [name]
        names.sort(key=lambda each: each == LISTENER_REMOVED)  # who hears of removals goes last, and so hears of all
        self._announce_removed(removed for each in names for removed in self._registry.remove_all(each))
        return self

    def emit(self, name: str, /, *args: Any, **named: Any) -> bool:
        """Call the listeners now, with these arguments, and say whether there were any.

        Coroutine listeners become tasks on the event loop in which the emitter was first used for anything async. Their
        failures are emitted as `error` when they occur, or told to that loop. A `*` in the name has no meaning here.

        Raises:
            NoEventLoop, TooManyPending: a coroutine listener could not be run; all others were.
            Exception: what listeners raised, or what was emitted as `error`, with nobody listening to `error`.
        """
        hearing = self._registry.heard.get(name)
        if hearing is None:
            hearing = self._registry.who_hears(name)
        failures: list[Exception] | None = None
        for hear in _with_named(named, hearing) if named else hearing:
            try:
                answer = hear(*args)
                if answer is not None and is_awaitable(answer):
                    self._background.start(name, hear, answer)
            except Exception as failure:
                failures = with_failure(failure, failures)
        if failures is not None:
            report(name, failures, self.emit)
        return hearing != ()

    async def emit_async(self, name: str, /, *args: Any, concurrent: bool = False, **named: Any) -> bool:
        """As `emit`, and await each coroutine listener before the next is called; or all together, if `concurrent`.

        Nothing is left running, so nothing is refused. Failures of coroutine listeners are treated like all others.
        """
        loop = self._background.loop
        if loop is None or loop.is_closed():
            self._background.bind()
        hearing = self._registry.heard.get(name)
        if hearing is None:
            hearing = self._registry.who_hears(name)
        failures: list[Exception] | None = None
        left: list[Any] | None = [] if concurrent else None
        for hear in _with_named(named, hearing) if named else hearing:
            try:
                answer = hear(*args)
                if type(answer) is CoroutineType or (answer is not None and is_awaitable(answer)):
                    if left is None:
                        await answer
                    else:
                        left.append(answer)
            except Exception as failure:
                failures = with_failure(failure, failures)
            except asyncio.CancelledError:
                if is_being_cancelled():
                    raise  # else the listener has cancelled itself, which is no failure, and no reason to stop
        if left:
            for result in await asyncio.gather(*left, return_exceptions=True):
                if isinstance(result, Exception):
                    failures = with_failure(result, failures)
        if failures is not None:
            await report_async(name, failures, self.emit_async)
        return hearing != ()

    def listeners(self, name: str) -> list[Listener]:
        """Who listens under exactly this name or pattern, in order: the listeners themselves, in a list of your own."""
        found = [each.listener for each in self._registry.under(name)]
        return [listener for listener in found if listener is not None]

    def names(self) -> list[str]:
        """The names and patterns that have listeners, as they first got one."""
        return self._registry.names()

    def count(self, name: str, listener: Listener | None = None) -> int:
        """How many listen under exactly this name or pattern, or how often this one does."""
        listeners = self.listeners(name)
        return len(listeners) if listener is None else listeners.count(listener)

    def wait_for(self, name: str, *, timeout: float | None = None) -> Wait:
        """Await the next event of this name or pattern: the tuple of its arguments.

        It listens from the call on, so what happens between the call and the await is not missed. An `error` event
        meanwhile is raised from it; after `timeout` seconds TimeoutError is.
        """
        return Wait(self._iteration(name, only=1), timeout)

    def iterate(self, name: str) -> Iteration:
        """The events of this name or pattern from now on, for `async for`: each the tuple of its arguments.

        An `error` event ends it: what came before is given, then the exception is raised. `aclose()` ends it, too, and
        so does leaving `async with`.

        Raises, while it is read:
            FellBehind: `max_pending` events were waiting.
        """
        return self._iteration(name, only=None)

    async def idle(self, *, cancel: bool = False) -> None:
        """Return when no coroutine listener that `emit` has started is running; `cancel` them first, if asked to."""
        await self._background.idle(cancel=cancel)

    @property
    def pending(self) -> int:
        """How many coroutine listeners that `emit` has started are not finished."""
        return self._background.pending

    @property
    def max_pending(self) -> int:
        """How many may be."""
        return self._background.limit

    @property
    def max_listeners(self) -> int:
        """How many under one name bring no warning; 0 stands for any number."""
        return self._limit.most

    @max_listeners.setter
    def max_listeners(self, most: int) -> None:
        self._limit = ListenerLimit(most)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.names())} names, {self.pending} pending>"

    def _listen(self, name: str, listener: Listener | _Later, *, once: bool, prepend: bool, weak: bool) -> Any:
        if listener is _Later.DECORATED:
            check_name(name)
            return partial(self._decorate, name, once=once, prepend=prepend, weak=weak)
        check_listener(name, listener)
        if self._registry.under(NEW_LISTENER):
            self.emit(NEW_LISTENER, name, listener)
        if inspect.iscoroutinefunction(listener):
            self._background.bind()
        self._registry.add(name, listener, prepend=prepend, weak=weak, retire=self._retire if once else None)
        if not weak:
            self._limit.look_at(name, self._registry.under(name), type(self).__name__)
        return self

    def _decorate(self, name: str, listener: AnyListener, **options: bool) -> AnyListener:
        self._listen(name, listener, **options)
        return listener

    def _retire(self, registration: Registration) -> bool:
        is_first = self._registry.claim(registration)
        if is_first and self._registry.remove(registration):
            self._announce_removed([registration])
        return is_first

    def _announce_removed(self, removed: Iterable[Registration]) -> None:
        failures = []
        for each in removed:
            if each.listener is None or not self._registry.under(LISTENER_REMOVED):
                continue
            try:
                self.emit(LISTENER_REMOVED, each.name, each.listener)
            except Exception as failure:
                failures.append(failure)
        if failures:
            raise_together(LISTENER_REMOVED, failures)

    def _iteration(self, name: str, *, only: int | None) -> Iteration:
        self._background.bind()
        return Iteration(self, name, limit=self.max_pending, only=only)


def _with_named(named: dict[str, Any], hearing: Iterable[Listener]) -> list[Listener]:
    # Apart, because passing `**named` on slows down every call in the loop, also when there is nothing in it.
    return [partial(hear, **named) for hear in hearing]
