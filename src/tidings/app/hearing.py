"""`Hearing`: the handlers of an application that hear its broker directly, at work in one process."""

import asyncio
from collections.abc import Sequence

from tidings.brokers import Broker, Channels
from tidings.clock import Clock
from tidings.events import Catalog
from tidings.handling.direct import DirectReader, Outlet, check_direct, warn_of_order
from tidings.handling.outgoing import Outgoing
from tidings.handling.oversight.vigil import PATIENCE, Vigil, vigil_over
from tidings.handling.report import MetricsHook
from tidings.handling.subscription import Subscription

_LEAVING = 1.0  # seconds to answer a cancellation


class Hearing:
    """Their readers, from start to the last answer."""

    def __init__(
        self,
        broker: Broker,
        channels: Channels,
        subscriptions: Sequence[Subscription],
        catalog: Catalog,
        outgoing: Outgoing,
        outlet: Outlet,
        clock: Clock,
        metrics: MetricsHook | None,
    ) -> None:
        """Nothing is received yet.

        Raises:
            ConfigurationError: a handler asks for what this carrier cannot do without a log.
        """
        self.vigil: Vigil | None = None
        self._broker = broker
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []
        self.readers = [
            DirectReader(check_direct(each, broker), broker, catalog, outgoing, outlet, clock, metrics)
            for each in subscriptions
        ]
        for each in subscriptions:
            warn_of_order(each, channels, broker)

    def start(self) -> None:
        """Begin to receive."""
        self._tasks = [asyncio.create_task(each.run(), name=each.subscription.name) for each in self.readers]
        received = {each.subscription.name: each.count for each in self.readers}
        lists = [each.subscription.policy.flow.batch for each in self.readers]
        gathering = max((each.wait for each in lists if each is not None), default=0.0)  # is no silence
        self.vigil = vigil_over(self._broker, received, self._clock, PATIENCE + gathering)

    def end(self) -> None:
        """Receive no more."""
        if self.vigil is not None:
            self.vigil.end()
        for reader in self.readers:
            reader.stop()

    async def stop(self, drain: float) -> None:
        """Receive no more, and answer what is in hand, for at most `drain` seconds; the rest comes again."""
        self.end()
        late = set(self._tasks)
        try:
            if late:
                _, late = await asyncio.wait(late, timeout=drain)
        finally:
            for task in late:
                task.cancel()
        if late:
            await asyncio.wait(late, timeout=_LEAVING)
