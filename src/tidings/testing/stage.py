"""`Stage`: the log, broker and clock that stand in for an application's own during a test, and what watches them."""

import asyncio
import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Literal, cast

from tidings.app import App
from tidings.app.substitutes import Substitutes
from tidings.brokers import Broker, Channels, connect
from tidings.brokers.log import LogBroker
from tidings.clock import Clock, ManualClock
from tidings.errors import MissingExtra
from tidings.events import PatternSet
from tidings.handling.subscription import Subscription
from tidings.log import Log, open_log
from tidings.testing.activity import Activity
from tidings.testing.calls import Calls
from tidings.testing.carrier import Carrier
from tidings.testing.clock import StillClock
from tidings.testing.faults import Faults
from tidings.testing.log import WatchedLog
from tidings.testing.outcomes import SetAside, set_aside
from tidings.testing.overheard import Overheard
from tidings.testing.quiet import Quiet
from tidings.testing.recorded import Recorded
from tidings.testing.wanted import Words

_DRAIN = 3.0  # seconds that handlers have at the end of a test
_JOINING = 5.0  # seconds, at most, until they hear a broker in memory
_numbers = itertools.count(1)


class Stage:
    """The parts around one application for one test. Make it with `set`, which leaves its ending to a stack."""

    def __init__(self, app: App, clock: Clock, faults: Faults, log: Log | None, bus: Log, like: Broker | None) -> None:
        self.catalog = app.catalog()
        self.words = Words(self.catalog)
        self.bus_broker = LogBroker(bus.url, clock=clock)
        self.activity = Activity((log or bus).bell)
        self.calls = Calls(self.activity)
        self._arrived = Recorded(bus, self.catalog, self.words)
        self.history = self._arrived if log is None else Recorded(log, self.catalog, self.words)
        self.sent = Recorded(bus, self.catalog, self.words, app.name)
        faults.readable = self.history.readable
        self.has_broker = app.broker_url is not None
        self._app = app
        self._bus = bus
        self._clock = clock
        self._faults = faults
        self._direct = {each.name: each for each in app.subscriptions if each.direct or log is None}
        self._carrier = Carrier(LogBroker(bus.url, clock=clock), faults, clock, self.activity, self.calls, like)
        hearing = _hearing(app, self._direct) if self.has_broker else {}
        self.overheard = Overheard(bus, self._arrived, self._carrier, hearing, lambda: app.direct_readers, clock)
        self.quiet = Quiet(
            _groups(app),
            log,
            self.calls,
            self.activity,
            self.history,
            clock,
            self.overheard,
            lambda: app.readers,
        )

    @classmethod
    async def set(
        cls,
        app: App,
        clock: ManualClock,
        faults: Faults,
        kind: Literal["memory", "sqlite"] | None,
        stack: AsyncExitStack,
    ) -> "Stage":
        """Open a log, unless there is to be none, and a bus: they are the application's until `stack` ends.

        Raises:
            ConfigurationError: the application's own broker could not be used.
        """
        still, number = StillClock(clock, f"{app.name}:inbound"), next(_numbers)
        url = f"memory:tidings-test-{number}" if kind != "sqlite" else f"sqlite:///{await _folder(stack)}/log.db"
        log = None if kind is None else await _opened(url, still, stack)
        bus = await _opened(f"memory:tidings-test-bus-{number}", still, stack)
        stage = cls(app, still, faults, log, bus, await _carrier_of(app))
        stack.push_async_callback(stage.bus_broker.close)
        stack.enter_context(app.substituted(stage._parts(app, None if log is None else url)))
        return stage

    def history_of(self, group: str) -> Recorded:
        """What a group hears of: all that is in the log, or all that was at the broker."""
        return self._arrived if group in self._direct else self.history

    async def attend(self) -> None:
        """Hear of it whenever one of the application's readers, which are at work now, comes to rest.

        Returns when those who hear the broker do so: nothing is kept for who hears it without a group.
        """
        for reader in self._app.readers:
            reader.on_rest = self.activity.ring
        for direct in self._app.direct_readers:
            direct.on_rest = self.activity.ring
        wanted = Counter("" if each.broadcast else each.name for each in self._direct.values())
        ear = self.activity.listen()
        try:
            async with asyncio.timeout(_JOINING):
                while not wanted <= self._carrier.members:
                    await ear.wait(_JOINING)
        finally:
            self.activity.forget(ear)

    async def set_aside(self) -> list[SetAside]:
        """What waits or was given up, in the log and at the broker."""
        ledger = self._app.log.ledger if self._app.log_url is not None else None
        parked = [] if ledger is None else await ledger.parked(limit=100_000)
        return set_aside([*parked, *await self.overheard.set_aside()], self.history_of)

    def ring(self) -> None:
        """Have everybody look again, as time has gone by."""
        if self._app.log_url is not None:
            self._app.log.bell.ring()  # its own: on SQLite, each opening of a log has a bell
        self._bus.bell.ring()
        self._carrier.ring()

    def _parts(self, app: App, url: str | None) -> Substitutes:
        broker_url = self._bus.url if self.has_broker else None
        drain = min(app.drain, _DRAIN)
        return Substitutes(self._clock, url, broker_url, self._open, self._connect, self._watched, drain)

    def _watched(self, subscription: Subscription) -> Subscription:
        return self.calls.watch(subscription, hears_broker=subscription.name in self._direct)

    async def _open(self, url: str, *, clock: Clock, **settings: Any) -> Log:
        log = await open_log(url, clock=clock, **({} if url.startswith("memory:") else settings))
        watched = WatchedLog(log, self.calls, self.history, self.activity, self._faults)
        return cast(Log, watched)  # what it does not define itself, it takes from `log` when asked

    async def _connect(self, url: str, *, clock: Clock, channels: Channels) -> Broker:
        return self._carrier


def _groups(app: App) -> dict[str, PatternSet]:
    """Whom the application runs, and what each hears."""
    groups = {each.name: PatternSet(each.group.patterns) for each in app.subscriptions}
    if app.broker_url is not None:
        groups[f"{app.name}:outbound"] = PatternSet(["**"])
    return groups


def _hearing(app: App, direct: Mapping[str, Subscription]) -> dict[str, PatternSet]:
    """The groups that hear the broker: handlers themselves, and the one in which events are taken into the log."""
    groups = {each.name: PatternSet(each.group.patterns) for each in direct.values() if not each.broadcast}
    heard = {pattern for each in app.subscriptions if each.name not in direct for pattern in each.group.patterns}
    return {**groups, app.name: PatternSet(sorted(heard))} if heard else groups


async def _carrier_of(app: App) -> Broker | None:
    """The application's own carrier, closed and never called, where handlers count on what it can do."""
    if app.broker_url is None or not any(each.direct or app.log_url is None for each in app.subscriptions):
        return None
    try:
        broker = await connect(app.broker_url, channels=app.channels)
    except MissingExtra:  # whoever runs the tests need not have its library
        return None
    await broker.close()
    return broker


async def _folder(stack: AsyncExitStack) -> str:
    folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="tidings-test-")
    stack.push_async_callback(asyncio.to_thread, shutil.rmtree, folder, ignore_errors=True)
    return folder


async def _opened(url: str, clock: Clock, stack: AsyncExitStack) -> Log:
    log = await open_log(url, clock=clock)
    stack.push_async_callback(log.close)
    return log
