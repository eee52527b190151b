"""`Vigil`: notices a consumer that has gone silent: more and more waits for it at its carrier, and it gets nothing."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import msgspec

from tidings.brokers import Broker
from tidings.clock import Clock

PATIENCE = 30.0  # seconds without anything received while events wait
_LOOKS = 6  # in that time
_ANSWER_WITHIN = 10.0


class _Seen(msgspec.Struct):
    received: int
    lag: int  # when it was first seen without progress
    since: float


class Vigil:
    """Looks at the carrier's word on the groups of one process now and then; `received` counts what each was given."""

    def __init__(
        self, broker: Broker, received: Mapping[str, Callable[[], int]], clock: Clock, patience: float = PATIENCE
    ) -> None:
        self.silent: dict[str, str] = {}  # group -> why it is taken to be stuck, for `health()`
        self._broker = broker
        self._received = received
        self._clock = clock
        self._patience = patience
        self._seen: dict[str, _Seen] = {}
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Look on from now on, as a task."""
        self._task = asyncio.create_task(self.run(), name="tidings:vigil")

    def end(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Look until cancelled; a carrier that does not answer is its readers' trouble."""
        while True:
            await self._clock.sleep(self._patience / _LOOKS)
            with contextlib.suppress(Exception):
                await self.look()

    async def look(self) -> None:
        """Compare what waits at the carrier with what has come.

        Raises:
            BrokerError, LogError: the carrier did not say.
        """
        async with asyncio.timeout(_ANSWER_WITHIN):
            standings = await self._broker.groups()
        # Of several members one may rightly have nothing to do, as when there are fewer partitions than members.
        lags = {each.group: each.lag or 0 for each in standings if each.members is None or each.members <= 1}
        for group, received in self._received.items():
            self._judge(group, received(), lags.get(group, 0))

    def _judge(self, group: str, received: int, lag: int) -> None:
        now, seen = self._clock.monotonic(), self._seen.get(group)
        if seen is None or seen.received != received or lag < seen.lag or lag <= 0:
            self._seen[group] = _Seen(received, lag, now)
            self.silent.pop(group, None)
        elif now - seen.since >= self._patience and lag > seen.lag:
            self.silent[group] = (
                f"{group} has received nothing for {now - seen.since:.0f} s, while {lag} events wait for it at"
                f" {self._broker.url}: see that its handlers return, and restart it"
            )


def vigil_over(
    broker: Broker, received: Mapping[str, Callable[[], int]], clock: Clock, patience: float = PATIENCE
) -> Vigil | None:
    """A vigil that has begun; None where the carrier does not tell what waits."""
    if not broker.capabilities.lag:
        return None
    vigil = Vigil(broker, received, clock, patience)
    vigil.begin()
    return vigil
