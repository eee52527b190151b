"""Jobs for a writer, and the way their outcomes come back to the event loops and threads that wait."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Any

from tidings.log.record import Draft

Run = Callable[..., Any]  # (session, *, careful) -> result


class Job:
    """Work for the writer, and the future that waits for it: of the running event loop, or of a plain thread."""

    __slots__ = ("_future", "abandoned", "essential", "exclusive", "lone", "loop", "run", "weight")

    def __init__(
        self,
        run: Run,
        *,
        weight: int = 1,
        exclusive: bool = False,
        essential: bool = False,
        plain: bool = False,
        lone: Draft | None = None,
    ) -> None:
        self.loop = None if plain else asyncio.get_running_loop()
        self._future: asyncio.Future[Any] | Future[Any] | None = None
        self.run = run
        self.weight = weight
        self.exclusive = exclusive  # runs user code: alone in its transaction
        self.essential = essential  # an answer: may use the reserve when the disk is full
        self.lone = lone  # an event of no stream, when to record that is all it does
        self.abandoned = False

    @property
    def future(self) -> "asyncio.Future[Any] | Future[Any]":
        """Waits for the job; ask for it before another thread can see the job. One that runs at once needs none."""
        if self._future is None:
            self._future = Future() if self.loop is None else self.loop.create_future()
        return self._future

    @property
    def is_unwanted(self) -> bool:
        """Does nobody wait for it any more?"""
        return self.abandoned or (self._future is not None and self._future.cancelled())


def tell(jobs: Sequence[Job], outcomes: Sequence[Any]) -> None:
    """Hand the outcomes over, one wake-up an event loop."""
    by_loop: dict[asyncio.AbstractEventLoop | None, list[tuple[Job, Any]]] = {}
    for answer in zip(jobs, outcomes, strict=True):
        by_loop.setdefault(answer[0].loop, []).append(answer)
    for loop, answers in by_loop.items():
        if loop is None:
            for answer in answers:
                with contextlib.suppress(InvalidStateError):  # its thread has given it up just now
                    _resolve([answer])
            continue
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, answers)


def _resolve(answers: Sequence[tuple[Job, Any]]) -> None:
    for job, outcome in answers:
        if job.future.done():
            continue
        if isinstance(outcome, BaseException):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)
