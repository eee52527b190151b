"""`Stage`: the log, broker and clock that stand in for an application's own during a test, and what watches them."""

import asyncio
import itertools
import shutil
import tempfile
from contextlib import AsyncExitStack
from typing import Any, Literal, cast

from tidings.app import App
from tidings.app.substitutes import Substitutes
from tidings.brokers import Broker, Channels
from tidings.brokers.log import LogBroker
from tidings.clock import Clock, ManualClock
from tidings.events import PatternSet
from tidings.handling.subscription import Subscription
from tidings.log import Log, open_log
from tidings.testing.activity import Activity
from tidings.testing.calls import Calls
from tidings.testing.carrier import Carrier
from tidings.testing.clock import StillClock
from tidings.testing.faults import Faults
from tidings.testing.log import WatchedLog
from tidings.testing.quiet import Quiet
from tidings.testing.recorded import Recorded
from tidings.testing.wanted import Words

_DRAIN = 3.0  # seconds that handlers have at the end of a test
_numbers = itertools.count(1)


class Stage:
    """The parts around one application for one test. Make it with `set`, which leaves its ending to a stack."""

    def __init__(self, app: App, clock: Clock, faults: Faults, log: Log, bus: Log) -> None:
        self.catalog = app.catalog()
        self.words = Words(self.catalog)
        self.bus_broker = LogBroker(bus.url, clock=clock)
        self.activity = Activity(log.bell)
        self.calls = Calls(self.activity)
        self.history = Recorded(log, self.catalog, self.words)
        self.sent = Recorded(bus, self.catalog, self.words, app.name)
        faults.readable = self.history.readable
        self.has_broker = app.broker_url is not None
        self._app = app
        self._bus = bus
        self._clock = clock
        self._faults = faults
        self._carrier = Carrier(LogBroker(bus.url, clock=clock), faults, clock, self.activity)
        arrived = Recorded(bus, self.catalog, self.words)
        groups, inbound = _groups(app), _inbound(app) if self.has_broker else None
        self.quiet = Quiet(
            groups,
            log,
            self.calls,
            self.activity,
            self.history,
            clock,
            self._carrier,
            bus,
            arrived,
            inbound,
            lambda: app.readers,
        )

    @classmethod
    async def set(
        cls, app: App, clock: ManualClock, faults: Faults, kind: Literal["memory", "sqlite"], stack: AsyncExitStack
    ) -> "Stage":
        """Open a log and a bus, and put them in the application's hands until `stack` ends."""
        still, number = StillClock(clock, f"{app.name}:inbound"), next(_numbers)
        url = f"memory:tidings-test-{number}" if kind == "memory" else f"sqlite:///{await _folder(stack)}/log.db"
        log = await _opened(url, still, stack)
        bus = await _opened(f"memory:tidings-test-bus-{number}", still, stack)
        stage = cls(app, still, faults, log, bus)
        stack.push_async_callback(stage.bus_broker.close)
        stack.enter_context(app.substituted(stage._parts(app, url)))
        return stage

    def attend(self) -> None:
        """Hear of it whenever one of the application's readers, which are at work now, comes to rest."""
        for reader in self._app.readers:
            reader.on_rest = self.activity.ring

    def ring(self) -> None:
        """Have everybody look again, as time has gone by."""
        self._app.log.bell.ring()  # its own: on SQLite, each opening of a log has a bell
        self._bus.bell.ring()
        self._carrier.ring()

    def _parts(self, app: App, url: str) -> Substitutes:
        broker_url = self._bus.url if self.has_broker else None
        drain = min(app.drain, _DRAIN)
        return Substitutes(self._clock, url, broker_url, self._open, self._connect, self._watched, drain)

    def _watched(self, subscription: Subscription) -> Subscription:
        return self.calls.watch(subscription)

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


def _inbound(app: App) -> tuple[str, PatternSet] | None:
    """The group in which events are taken in from a broker, and what it hears."""
    heard = {pattern for each in app.subscriptions for pattern in each.group.patterns}
    return (app.name, PatternSet(sorted(heard))) if heard else None


async def _folder(stack: AsyncExitStack) -> str:
    folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="tidings-test-")
    stack.push_async_callback(asyncio.to_thread, shutil.rmtree, folder, ignore_errors=True)
    return folder


async def _opened(url: str, clock: Clock, stack: AsyncExitStack) -> Log:
    log = await open_log(url, clock=clock)
    stack.push_async_callback(log.close)
    return log
