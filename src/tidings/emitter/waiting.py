"""Awaiting one event, listening already before the await."""

import asyncio
from collections.abc import Coroutine, Generator
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any

from tidings.emitter.iteration import Iteration


class Wait(Coroutine[Any, Any, tuple[Any, ...]]):
    """What `wait_for` gives: await it, or make it a task. As with any coroutine, do one of the two.

    An `async def` would listen from its first step on, too late for a task that waits for the answer to what is emitted
    in the next line. This listens at once, and so has to stop also when it is cancelled before its first step.
    """

    def __init__(self, iteration: Iteration, timeout: float | None) -> None:
        self._iteration = iteration
        self._steps = _first_of(iteration, timeout)

    def __await__(self) -> Generator[Any, Any, tuple[Any, ...]]:
        return self._steps.__await__()

    def send(self, value: Any) -> Any:
        """Go on, as an event loop does."""
        return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        """Raise within, as an event loop does to cancel."""
        if getcoroutinestate(self._steps) == CORO_CREATED:
            self._iteration.stop()
        return self._steps.throw(*error)

    def close(self) -> None:
        """Wait no more."""
        self._iteration.stop()
        self._steps.close()


async def _first_of(iteration: Iteration, timeout: float | None) -> tuple[Any, ...]:
    async with iteration, asyncio.timeout(timeout):
        return await anext(iteration)
