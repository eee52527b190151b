"""`Source`: what brings events into an application from outside, kept at work while its handlers are."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from tidings.clock import Clock
from tidings.concurrency import is_being_cancelled
from tidings.errors import ConfigurationError
from tidings.handling.trouble import Trouble

_STEADY = 10.0  # seconds at work after which a failure before them is forgotten


@runtime_checkable
class Source(Protocol):
    """Joins an application with `app.include(source)`, and runs from its start to its stop.

        class Ticks:
            name = "ticks"

            async def run(self, app):
                while True:
                    await app.clock.sleep(60)
                    await app.publish("minute:passed")

    One that returns has done its work. One that raises is run again after a wait; what it has taken and not published
    is its own to keep. Each process of `tidings run --workers N` runs it: publish with ids that come out the same.
    """

    @property
    def name(self) -> str:
        """What it is called in `health()` and in the log."""

    async def run(self, app: Any) -> Any:  # an App: naming the type here would be a ring of imports
        """Publish what comes, until cancelled or at an end."""


class Supervised:
    """One source at work: started again when it fails, after longer and longer waits."""

    def __init__(self, source: Source, clock: Clock) -> None:
        self.source = source
        self.restarts = 0
        self.is_done = False
        self._trouble = Trouble(source.name)
        self._clock = clock
        self._began: float | None = None  # None while it waits for its next try

    @property
    def trouble(self) -> str | None:
        """Why it does not get on; None once it has worked again for a while."""
        self._forget_what_is_over()
        return self._trouble.reason

    async def run(self, app: Any) -> None:
        """Run it until it is done."""
        while True:
            self._began = self._clock.monotonic()
            try:
                await self.source.run(app)
            except Exception as error:
                self._forget_what_is_over()
                self._began = None
                wait = self._trouble.met(error)
                if is_being_cancelled():  # it failed at what it does last
                    return
                self.restarts += 1
                await self._clock.sleep(wait)
            else:
                self._trouble.over()
                self.is_done = True
                return

    def _forget_what_is_over(self) -> None:
        if self._began is not None and self._clock.monotonic() - self._began >= _STEADY:
            self._trouble.over()


class Sources:
    """The sources of one running application."""

    def __init__(self, sources: Sequence[Source], clock: Clock) -> None:
        self.supervised = [Supervised(each, clock) for each in sources]
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, app: Any) -> None:
        """Begin; each has had a first turn when this returns."""
        self._tasks = [asyncio.create_task(each.run(app), name=each.source.name) for each in self.supervised]
        if self._tasks:
            await asyncio.sleep(0)

    def end(self) -> None:
        """Take nothing more. Saying it twice is harmless: who is ending is not disturbed at it."""
        for task in self._tasks:
            if not task.cancelling():
                task.cancel()

    async def stop(self, within: float) -> None:
        """Take nothing more; what a source has in hand it may publish, for at most `within` seconds."""
        self.end()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within)


def check_new(source: Any, known: Sequence[Source]) -> Source:
    """The source, when it is one and its name is free.

    Raises:
        ConfigurationError: it is no source, or there is another of its name.
    """
    if not isinstance(source, Source):
        raise ConfigurationError(
            f"{source!r} cannot be included: give a subscription, or a source with name and run(app)"
        )
    if any(source.name == other.name for other in known):
        raise ConfigurationError(f"two sources are named {source.name!r}: give one of them its own name with name=")
    return source
