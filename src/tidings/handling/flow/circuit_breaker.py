"""`CircuitBreaker`: around calls to something that many handlers depend on, and that may be down for a while."""

import asyncio
import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar, cast

from tidings.clock import Clock
from tidings.errors import CircuitOpen, Reject
from tidings.events import check_name
from tidings.handling.delivery import current
from tidings.handling.flow.circuit import Circuit
from tidings.handling.flow.settings import Breaker

Function = TypeVar("Function", bound=Callable[..., Any])


class CircuitBreaker:
    """After `failures` failed calls `within` seconds it refuses calls for `open_for` seconds, then lets one try.

    Shared by handlers, in any thread: `async with payments:`, `with payments:` in plain functions, or `@payments` on a
    function. Of what is raised inside, `on` counts as a failure; a `Reject` never does. Included in an application, it
    is seen in its `health()`, and its opening and closing are events.

    Raises:
        ConfigurationError, InvalidName: the numbers cannot be kept, or the name is none.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int = 5,
        within: float = 60.0,
        open_for: float = 30.0,
        on: type[BaseException] | tuple[type[BaseException], ...] = Exception,
    ) -> None:
        self.name = check_name(name)
        self._breaker = Breaker(failures, within, open_for)
        self.circuit = Circuit(name, self._breaker)
        self._on = on

    @property
    def is_open(self) -> bool:
        """Are calls refused, or only tried?"""
        return not self.circuit.is_closed

    def under(self, clock: Clock) -> Self:
        """The same, by this clock."""
        self.circuit.clock = clock
        return self

    @contextlib.contextmanager
    def anew(self, clock: Clock) -> Iterator[None]:
        """Closed, with nothing known of any call, and by this clock, until the block ends: for a test."""
        before, self.circuit = self.circuit, Circuit(self.name, self._breaker, clock=clock)
        try:
            yield
        finally:
            self.circuit = before

    def __enter__(self) -> Self:
        """Begin a call.

        Raises:
            CircuitOpen: calls have kept failing, and the time of the next trial has not come.
        """
        if not self.circuit.enter(_caller()):
            raise CircuitOpen(self.name, self.circuit.until or self.circuit.clock.now())
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        cell, caller = current.get(), _caller()
        group = None if cell is None else cell.group
        if error is None:
            self.circuit.succeeded(caller, group=group)
        elif self._is_failure(error):
            self.circuit.failed(caller, group=group)
        self.circuit.leave(caller)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: Function) -> Function:
        """The function with each of its calls inside the circuit."""
        if inspect.iscoroutinefunction(function):

            async def awaited(*arguments: Any, **named: Any) -> Any:
                with self:
                    return await function(*arguments, **named)

            wrapped: Any = awaited
        else:

            def called(*arguments: Any, **named: Any) -> Any:
                with self:
                    return function(*arguments, **named)

            wrapped = called
        protected: Any = functools.wraps(function)(wrapped)
        return cast(Function, protected)

    def _is_failure(self, error: BaseException) -> bool:
        if isinstance(error, asyncio.CancelledError):  # in a handler that is its time limit; elsewhere, anything
            cell = current.get()
            return cell is not None and cell.item is not None
        return isinstance(error, self._on) and not isinstance(error, Reject | CircuitOpen)


def _caller() -> object:
    """Who calls: a task, or a thread without one."""
    try:
        return asyncio.current_task() or threading.get_ident()
    except RuntimeError:
        return threading.get_ident()
