"""`App`: a service, put together: its parts, its log and broker, its handlers at work, and the ways to see it."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from types import ModuleType
from typing import Self

from tidings.app.health import Health, health_of
from tidings.app.hearing import Hearing
from tidings.app.needs import wanted
from tidings.app.publishing import Publishing
from tidings.app.running import Running
from tidings.app.signals import signals
from tidings.app.sources import Sources
from tidings.app.substitutes import Substitutes, substituted
from tidings.app.sync import SyncDoor
from tidings.app.urls import log_and_broker
from tidings.brokers import Channels, Wanted
from tidings.brokers.foreign import Decode
from tidings.clock import Clock, SystemClock
from tidings.errors import ConfigurationError
from tidings.events import Catalog, Contract
from tidings.handling.chores.housekeeping import Chore
from tidings.handling.chores.lineage import KEPT, LineageChore, kept_for
from tidings.handling.chores.trimmer import Trimmer
from tidings.handling.direct import DirectReader
from tidings.handling.flow.settings import Rate
from tidings.handling.outgoing import Outgoing
from tidings.handling.oversight.alerts import Alerts
from tidings.handling.oversight.groups import Groups
from tidings.handling.oversight.letters import Letters
from tidings.handling.oversight.lookout import Lookout
from tidings.handling.reader import Reader
from tidings.handling.report import MetricsHook
from tidings.handling.timing.firing import Firing
from tidings.handling.trace import DEPTH, LIMIT, Trace, trace
from tidings.log import Retain
from tidings.log.group import ORPHAN_AFTER
from tidings.log.retention import with_own


class App(Publishing):
    """A service: its name is the source of its events and the beginning of its groups' names.

    `url` is the log's or the broker's, whichever it names; with `log` and `broker` both, what arrives is recorded
    before it is handled, and public events are relayed; with a broker alone, handlers hear it directly. `contracts`
    are modules, `@event` classes or Contracts beside those its handlers speak of. `metrics` is called once a batch.
    After a stop is asked for, handlers have `drain` seconds to finish. A process that stands still for `lease` seconds
    loses its lanes, where the log has such a limit. A group that nobody has run for `orphan_after` seconds is an
    orphan: nothing is kept for it any more. `alerts` says when groups in need are told of by events, such as
    `GroupLagging`; None: never. What each group did with an event is kept for `lineage` (7 days, or False), for
    `trace` to tell. `retain` says by pattern how long events are kept, the first that fits deciding: without it, all
    of them, for ever, but for what the toolkit itself records under `tidings:`, which goes after 30 days. `channels`
    says by pattern which channel of the broker events travel on: unless it does, the first segment of their name.
    `decoders` make events of what others put on a channel, by its name. `relay_rate`, as in "500/s", is how fast each
    process hands over to the broker at most, also what has gathered while it was away.

    Raises:
        ConfigurationError, InvalidName: the parts do not fit together.
    """

    def __init__(
        self,
        name: str,
        url: str | None = None,
        *,
        log: str | None = None,
        broker: str | None = None,
        contracts: Sequence[ModuleType | type | Contract | Catalog] = (),
        clock: Clock | None = None,
        metrics: MetricsHook | None = None,
        drain: float = 10.0,
        lease: float | None = None,
        orphan_after: float = ORPHAN_AFTER,
        alerts: Alerts | None = Alerts(),  # noqa: B008  # it is frozen
        lineage: bool | timedelta = True,
        retain: Mapping[str, Retain] | None = None,
        channels: Mapping[str, str] | None = None,
        decoders: Mapping[str, Decode] | None = None,
        relay_rate: Rate | str | None = None,
    ) -> None:
        log_url, broker_url = log_and_broker(url, log, broker)
        self._kept_for = kept_for(lineage)
        super().__init__(
            name,
            clock or SystemClock(),
            contracts,
            log_url=log_url,
            broker_url=broker_url,
            channels=Channels(channels or {}, decoders),
            keeps_lineage=self._kept_for is not None,
            **({} if lease is None else {"lease": lease}),
        )
        self.drain = drain
        self.retention = with_own(retain or {})
        self._retains = bool(retain)
        self._relay_rate = relay_rate
        self.sync = SyncDoor(self)  # the same for callers without an event loop
        self._orphan_after = orphan_after
        self._alerts = alerts
        self._metrics = metrics

    @property
    def groups(self) -> Groups:
        """The groups of its log: `await app.groups.pause("shop.*")`, and what else operators do with them.

        Raises:
            ConfigurationError: the application is not open.
        """
        running = self._running
        reports = running.reporting.latest if running is not None and running.reporting is not None else tuple
        return Groups(self.log, self._subscriptions, self.clock, reports)

    @property
    def dead(self) -> Letters:
        """The dead letters of its log: `await app.dead.retry(event_id)`, and what else operators do with them.

        Raises:
            ConfigurationError: the application is not open.
        """
        return Letters(self.log)

    @property
    def readers(self) -> Sequence[Reader]:
        """Who reads for its groups in this process, while its handlers are at work: what holds each back, too."""
        return () if self._running is None else self._running.readers

    @property
    def direct_readers(self) -> Sequence[DirectReader]:
        """Who hears its broker itself in this process, while its handlers are at work."""
        return () if self._hearing is None else self._hearing.readers

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """The handlers at work, for as long as the block lasts; then they are drained.

        Raises:
            ConfigurationError: they are at work already, or one takes tx from a log without SQL.
        """
        async with self:
            if self._supervision is not None:
                raise ConfigurationError(f"{self.name} is running already: run another process for more of it")
            catalog = self.catalog()  # with what was included since it was opened
            outgoing = self._outgoing = Outgoing(self.name, catalog, self.clock)
            running, hearing = self._new_running(catalog, outgoing), self._new_hearing(catalog, outgoing)
            self._running, self._hearing = running, hearing  # now that neither was refused
            sources = self._supervision = Sources(self._sources, self.clock)
            try:
                await self._prepare()
                if running is not None:
                    await running.start()
                if hearing is not None:
                    hearing.start()
                await sources.start(self)
                yield self
            finally:
                sources.end()  # now: a task that is cancelled before it begins would end nobody
                async with asyncio.TaskGroup() as stopping:  # at once: both have the same time
                    stopping.create_task(sources.stop(self.drain))
                    await self._stop(running, hearing)

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Run the handlers until `stop` is set or the process is told to end (SIGTERM, SIGINT); then drain.

        A second signal ends the process at once, with nothing more settled.
        """
        ending = stop or asyncio.Event()
        with signals(ending):
            async with self.running():
                await ending.wait()

    async def health(self) -> Health:
        """How it does: every group's lag and what it has set aside, and what is in trouble."""
        seen = None if self.log_url is None else self.groups
        hearing, broker = self._hearing, self._broker
        return await health_of(self.name, seen, self._running, hearing, broker, self._supervision, self._breakers)

    def wanted(self) -> Wanted:
        """What it needs of its broker, as `tidings setup` creates it."""
        has_log = self.log_url is not None
        return wanted(self.name, self._subscriptions, self.catalog(), self.channels, has_log=has_log)

    async def trace(self, event: str, *, depth: int = DEPTH, limit: int = LIMIT) -> Trace:
        """Where an event comes from, what it caused, and who did what with it: at most `limit` events.

        `event` is an id, the beginning of one, or a position; `depth` is how many causes away from it to look.

        Raises:
            UnknownEvent: the log has no such event, or several whose ids begin so.
        """
        return await trace(self.log, event, app=self.name, depth=depth, limit=limit)

    def substituted(self, parts: Substitutes) -> AbstractContextManager[None]:
        """Other parts in the place of its own until the block ends: how `tidings.testing` runs it without its URLs."""
        return substituted(self, parts)

    def _new_running(self, catalog: Catalog, outgoing: Outgoing) -> Running | None:
        """The handlers of its log, if it has one."""
        if self._log is None:
            self._check_needs_no_log()
            return None
        return Running(
            self.name,
            self._log,
            self._broker,
            [each for each in self._subscriptions if not each.direct],
            catalog,
            outgoing,
            self.clock,
            self._metrics,
            self._chores(),
            self._orphan_after,
            self._breakers,
            self.channels,
            self._relay_rate,
        )

    def _new_hearing(self, catalog: Catalog, outgoing: Outgoing) -> Hearing | None:
        """The handlers of its broker, if there are any."""
        direct = [each for each in self._subscriptions if each.direct or self._log is None]
        if not direct:
            return None
        if self._broker is None:
            raise ConfigurationError(
                f"{direct[0].name} is direct=True, and {self.name} has no broker: give it broker=..."
            )
        deliver, clock = self._deliver, self.clock
        return Hearing(self._broker, self.channels, direct, catalog, outgoing, deliver, clock, self._metrics)

    def _check_needs_no_log(self) -> None:
        asks = [f"every ({each.subscription.name})" for each in self._every]
        asks += ["retain"] if self._retains else []
        asks += ["relay_rate"] if self._relay_rate is not None else []
        if asks:
            raise ConfigurationError(
                f"{self.name} has no log, which {asks[0]} needs: give it one, log='sqlite:///app.db'"
            )

    async def _stop(self, running: Running | None, hearing: Hearing | None) -> None:
        until = self.clock.monotonic() + self.drain
        if hearing is not None:
            hearing.end()
        try:  # awaited here and in no task of its own: one that is cancelled before it begins would stop nobody
            if running is not None:
                await running.stop(self.drain)
        finally:
            try:
                if hearing is not None:
                    await hearing.stop(max(until - self.clock.monotonic(), 0.0))
            finally:
                self._running = self._hearing = self._supervision = None

    async def _prepare(self) -> None:
        for each in self._subscriptions:
            if each.form.uses_tx and self._log is not None and not self._log.has_sql:
                raise ConfigurationError(f"{each.name} takes tx, and {self._log.url} has no SQL: use sqlite:///file.db")
        for function in self._starts:
            if inspect.isawaitable(made := function()):
                await made

    def _chores(self) -> list[Chore]:
        """What one of the application's processes does for all."""
        forgetting = LineageChore(self.log, self._kept_for or KEPT)  # what was kept before it was switched off too
        trimming = Trimmer(self.log, self.retention, self.clock)
        return [Firing(self.name, self.log, self._every), forgetting, trimming, *self._watching()]

    def _watching(self) -> list[Chore]:
        if self._alerts is None:
            return []
        assert self._outgoing is not None
        names = [each.name for each in self._subscriptions]
        return [Lookout(self.name, names, self.log, self._outgoing, self.clock, self._alerts)]
