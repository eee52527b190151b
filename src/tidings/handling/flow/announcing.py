"""The events that tell of circuits, so that handlers can hear when one opens or closes."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence

from tidings.errors import TidingsError
from tidings.events import event
from tidings.handling.flow.circuit import Change, Circuit
from tidings.handling.outgoing import Outgoing
from tidings.handling.trouble import Trouble
from tidings.log import Log

_MOST = 1000  # changes that wait for a log that is in trouble; the oldest are given up
_LAST = 1.0  # seconds for telling what is still untold at the end


@event("tidings:breaker:opened", key="name", public=False)
class BreakerOpened:
    """Calls have kept failing and are not made any more until a trial at `until`, in seconds since 1970 UTC."""

    name: str
    group: str | None  # whose handler's failure was the last
    failures: int
    until: float


@event("tidings:breaker:closed", key="name", public=False)
class BreakerClosed:
    """A trial has succeeded: calls are made again."""

    name: str
    group: str | None
    failures: int
    until: float


class Announcer:
    """Publishes the changes of an application's circuits, privately, on its log."""

    def __init__(self, app: str, circuits: Sequence[Circuit], log: Log, outgoing: Outgoing) -> None:
        self._circuits = tuple(circuits)
        self._log = log
        self._outgoing = outgoing
        self._trouble = Trouble(f"{app}:breakers")
        self._changes: deque[Change] = deque(maxlen=_MOST)
        self._ear = log.bell.listen()
        for circuit in self._circuits:
            circuit.on_change.append(self.heed)

    def end(self) -> None:
        """Listen to the circuits no more: they may be another application's, too."""
        for circuit in self._circuits:
            circuit.on_change.remove(self.heed)

    def heed(self, change: Change) -> None:
        """Have it told; from any thread."""
        self._changes.append(change)
        self._ear.ring_from_thread()

    async def run(self) -> None:
        """Tell what happens until cancelled, and then what is left."""
        try:
            while True:
                await self._tell()
                await self._ear.wait(60.0)
        except asyncio.CancelledError:
            with contextlib.suppress(TidingsError, TimeoutError):
                async with asyncio.timeout(_LAST):
                    await self._publish()
            raise
        finally:
            self._log.bell.forget(self._ear)

    async def _tell(self) -> None:
        try:
            await self._publish()
        except TidingsError as error:
            await asyncio.sleep(self._trouble.met(error))
            self._ear.ring()
        else:
            self._trouble.over()

    async def _publish(self) -> None:
        while self._changes:
            change = self._changes[0]
            made = BreakerOpened if change.is_open else BreakerClosed
            value = made(name=change.name, group=change.group, failures=change.failures, until=change.until)
            await self._log.append([self._outgoing.event(value, id=change.id)], public=False)
            self._changes.popleft()
