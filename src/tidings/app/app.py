"""`App`: what a service is made of, put together: its contracts, its log, its broker, and who handles what."""

import asyncio
import contextlib
import inspect
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any, Literal, Self, TypeVar, overload

import msgspec

from tidings.app.commands import check_sole_handler
from tidings.app.health import Health, health_of
from tidings.app.running import Running
from tidings.app.signals import signals
from tidings.app.sources import Source, Sources, check_new
from tidings.app.substitutes import Connect, OpenLog, Substitutes, substituted
from tidings.app.sync import SyncDoor
from tidings.app.transaction import AppTransaction, ExistingTransaction, recorded
from tidings.app.transaction import existing as joining
from tidings.app.urls import log_and_broker
from tidings.brokers import Broker, connect
from tidings.clock import Clock, SystemClock
from tidings.concurrency import SharedLock
from tidings.errors import ConfigurationError, DuplicateGroup
from tidings.events import Catalog, Contract, Event, check_name
from tidings.handling.alerts import Alerts
from tidings.handling.delivery import current
from tidings.handling.every import Every, every
from tidings.handling.firing import Firing
from tidings.handling.flow.checking import flow
from tidings.handling.flow.circuit_breaker import CircuitBreaker
from tidings.handling.flow.settings import Batch, Breaker, Debounce, Priority, Rate, Throttle
from tidings.handling.form import Handler, form_of
from tidings.handling.groups import Groups
from tidings.handling.housekeeping import Chore
from tidings.handling.later import Delay
from tidings.handling.letters import Letters
from tidings.handling.lineage import KEPT, LineageChore, kept_for
from tidings.handling.listening import Listener, ListeningRoom
from tidings.handling.lookout import Lookout
from tidings.handling.outgoing import Outgoing
from tidings.handling.policy import Retry, policy
from tidings.handling.report import MetricsHook
from tidings.handling.schedule import Spoken
from tidings.handling.schedule import schedule as schedule_of
from tidings.handling.subscription import Subscription, subscription
from tidings.handling.trace import DEPTH, LIMIT, Trace, trace
from tidings.handling.trimmer import Trimmer
from tidings.log import Log, Retain, open_log
from tidings.log.interface import ORPHAN_AFTER
from tidings.log.retention import Retention

AnyHandler = TypeVar("AnyHandler", bound=Handler)
AnyStart = TypeVar("AnyStart", bound=Callable[[], Any])


class App:
    """A service: its name is the source of its events and the beginning of its groups' names.

    `url` is the log's or the broker's, whichever it names; with `log` and `broker` both, what arrives is recorded
    before it is handled, and public events are relayed. `contracts` are modules, `@event` classes or Contracts beside
    those its handlers speak of. `metrics` is called once a batch. After a stop is asked for, handlers have `drain`
    seconds to finish. A process that stands still for `lease` seconds loses its lanes, where the log has such a limit.
    A group that nobody has run for `orphan_after` seconds is an orphan: nothing is kept for it any more. `alerts` says
    when groups in need are told of by events, see `tidings.handling.alerts`; None: never.
    What each group did with an event is kept for `lineage` (7 days, or False), for `trace` to tell.
    `retain` says by pattern how long events are kept, the first that fits deciding: without it, all of them, for ever.

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
    ) -> None:
        self.name = check_name(name)
        self.log_url, self.broker_url = log_and_broker(url, log, broker)
        self.clock = clock or SystemClock()
        self.drain = drain
        self._open_log: OpenLog = open_log
        self._connect: Connect = connect
        self._log_settings = {} if lease is None else {"lease": lease}
        self._orphan_after = orphan_after
        self._alerts = alerts
        self._kept_for = kept_for(lineage)
        self.retention = Retention(retain or {})
        self._contracts = list(contracts)
        self._metrics = metrics
        self._subscriptions: list[Subscription] = []
        self._sources: list[Source] = []
        self._supervision: Sources | None = None
        self._breakers: list[CircuitBreaker] = []
        self._every: list[Every] = []
        self._starts: list[Callable[[], Any]] = []
        self._log: Log | None = None
        self._broker: Broker | None = None
        self._outgoing: Outgoing | None = None
        self._running: Running | None = None
        self._listening: ListeningRoom | None = None
        self._open_count = 0
        self.loop: asyncio.AbstractEventLoop | None = None  # where it was opened
        self.opened_by: int | None = None  # the process
        self.sync = SyncDoor(self)  # the same for callers without an event loop
        self._opening = SharedLock()  # many may enter at once, as requests of a web server do

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """Who handles what."""
        return tuple(self._subscriptions)

    @property
    def log(self) -> Log:
        """The open log.

        Raises:
            ConfigurationError: the application is not open.
        """
        if self._log is None:
            raise ConfigurationError(f"{self.name} is not open: use 'async with app:', app.run() or 'tidings run'")
        return self._log

    @property
    def is_bound(self) -> bool:
        """Does its log live on one event loop alone, as it has nothing to keep the threads of two apart?"""
        return self.log_url.startswith("memory:")

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

    def catalog(self) -> Catalog:
        """Every contract known here, checked.

        Raises:
            BrokenContracts: two of them cannot both be right.
        """
        spoken = [contract for each in self._subscriptions for contract in each.contracts]
        return Catalog.collect(*self._contracts, *spoken)

    def on(
        self,
        *heard: str | type | Contract,
        group: str | None = None,
        start: Literal["earliest", "latest"] | str = "earliest",
        retry: Retry | Sequence[Retry] = (),
        timeout: float | msgspec.UnsetType | None = msgspec.UNSET,
        concurrency: int = 1,
        on_dead: Literal["block", "pass"] = "block",
        blocked_limit: int = 10_000,
        rate: Rate | str | None = None,
        throttle: Throttle | str | None = None,
        debounce: Debounce | float | None = None,
        batch: Batch | None = None,
        breaker: Breaker | None = None,
        priority: Priority | None = None,
        singleton: bool = False,
    ) -> Callable[[AnyHandler], AnyHandler]:
        """Have a function handle events: names, patterns or `@event` classes; none: what its annotation says.

        What it returns is published when its work is committed. The group is `<app>.<function>` unless named; a new one
        begins at `start`: the log's beginning, its end, or a position. The rest is its `Policy`. A call may take
        `timeout` seconds, 60 unless said; that of a plain function with `tx`, for which everybody who writes has to
        wait, 0.25.

        From `rate` on it is about flow: `rate="100/s"` makes calls wait; of each key `throttle="1/10s"` takes the first
        events and `debounce=2.0` the last; `batch` is for a handler that takes a list; `breaker` leaves one that keeps
        failing alone for a while; `priority` ranks keys, by a function of the data or by numbers for keys; a
        `singleton` handles one event at a time over all processes.

        Raises:
            ConfigurationError: the handler cannot be called so, or the group's name is taken.
        """
        flowing = flow(
            rate=rate,
            throttle=throttle,
            debounce=debounce,
            batch=batch,
            breaker=breaker,
            priority=priority,
            singleton=singleton,
            concurrency=concurrency,
        )

        def register(handler: AnyHandler) -> AnyHandler:
            settled = policy(
                retry=retry,
                timeout=form_of(handler).timeout if timeout is msgspec.UNSET else timeout,
                concurrency=concurrency,
                on_dead=on_dead,
                blocked_limit=blocked_limit,
                flow=flowing,
            )
            self.include(subscription(self.name, heard, handler, settled, group=group, start=start))
            return handler

        return register

    def every(
        self,
        schedule: Spoken,
        *,
        zone: str | None = None,
        group: str | None = None,
        retry: Retry | Sequence[Retry] = (),
        timeout: float | None = 60.0,
        on_dead: Literal["block", "pass"] = "pass",
    ) -> Callable[[AnyHandler], AnyHandler]:
        """Have a function called every so often, by one process among all: `"5m"`, `"1h30m"`, seconds, a timedelta.

        Or at the times of a cron expression, as in `"0 3 * * *"` or `"@daily"`, in the time zone `zone` (UTC unless
        given). An interval is counted from when it was first scheduled. What was missed while no process ran is made
        up for by one call. Calls never overlap. The function may take nothing, a `Tick`, a `Delivery` or `tx`, and is
        otherwise a handler like any other, of events named `tidings:every:<group>`.

        Raises:
            ConfigurationError: the schedule cannot be read, the function not be called so, or the group is taken.
        """
        when = schedule_of(schedule, zone)
        settled = policy(retry=retry, timeout=timeout, on_dead=on_dead)

        def register(function: AnyHandler) -> AnyHandler:
            one = every(self.name, when, function, settled, group=group)
            self.include(one.subscription)
            self._every.append(one)
            return function

        return register

    def on_start(self, function: AnyStart) -> AnyStart:
        """Have a function of no arguments run each time before the handlers do, with the application open.

        The place for `CREATE TABLE IF NOT EXISTS`. Plain or async; when it raises, the handlers do not start.
        """
        self._starts.append(function)
        return function

    def include(self, *parts: Subscription | Source | CircuitBreaker) -> None:
        """Add subscriptions made elsewhere, sources of events, and circuit breakers, to be seen and heard of.

        Raises:
            DuplicateGroup: a group's name is taken.
            ConfigurationError: a source's name is taken, or the application runs already.
        """
        for each in parts:
            if isinstance(each, CircuitBreaker):
                self._breakers.append(each.under(self.clock))
                continue
            if isinstance(each, Subscription) and any(each.name == other.name for other in self._subscriptions):
                raise DuplicateGroup(each.name)
            if self._running is not None:
                raise ConfigurationError(f"{each.name} comes too late: include it before {self.name} runs")
            if isinstance(each, Subscription):
                self._subscriptions.append(each)
            else:
                self._sources.append(check_new(each, self._sources))

    async def publish(
        self,
        event: Any,
        data: Any = msgspec.UNSET,
        *,
        id: str | None = None,
        key: str | None = None,
        subject: str | None = None,
        correlation_id: str | None = None,
        headers: dict[str, str | int | bool] | None = None,
        delay: Delay | None = None,
        at: datetime | None = None,
    ) -> Event:
        """Publish an `@event` value, an Event, or a name with `data`; returns it as recorded, once it is safe.

        With `delay` (seconds or timedelta) or `at` (a datetime with its timezone) it is recorded then, not before, by
        whichever process does the application's chores; until then it has no position and can be cancelled. Its time
        is that moment. What it says, and causes, are fixed now. A moment that has come already is now.

        With the same `id` again it is recorded once. Inside a handler it is caused by what is being handled, and it is
        recorded at once, apart from the settlement: a handler that is run again publishes again. What must happen once
        is to be returned, or published with an `id` of its own.

        Raises:
            ContractError, InvalidEvent, InvalidName: it cannot be recorded as it is.
            LogError: the log did not take it.
        """
        log, outgoing = await self._ready()
        made = outgoing.event(
            event, data=data, id=id, key=key, subject=subject, correlation_id=correlation_id, headers=headers
        )
        if delay is not None or at is not None:
            later = outgoing.later(made, event, delay=delay, at=at)
            if later is not None:
                await log.ledger.timers.schedule([later[1]])
                return later[0]
        appended = await log.append([made], public=outgoing.is_public(made.type))
        return msgspec.structs.replace(made, position=appended.first)

    async def publish_many(self, events: Sequence[Any]) -> list[Event]:
        """Publish values or Events in one append: all of them or none.

        Raises:
            ContractError, InvalidEvent, LogError: none was recorded.
        """
        log, outgoing = await self._ready()
        made = [outgoing.event(event) for event in events]
        public = all(outgoing.is_public(each.type) for each in made)
        if not public and any(outgoing.is_public(each.type) for each in made):
            raise ConfigurationError("public and private events cannot be published together: publish them apart")
        await log.append(made, public=public)
        return made

    async def cancel(self, event: str | Event) -> bool:
        """Have an event that was published with `delay` or `at` never take place, named by id or as it was returned.

        False when it is recorded already, or was never scheduled: then nothing is changed. When it is cancelled while
        it fires, one of the two happens, and the answer says which.
        """
        event_id, source = (event.id, event.source) if isinstance(event, Event) else (event, self.name)
        return await self.log.ledger.timers.cancel(event_id, source)

    def listen(
        self,
        *heard: str | type | Contract,
        after: Literal["earliest", "latest"] | str = "latest",
        events: bool = False,
        undecodable: Literal["raise", "skip"] = "raise",
    ) -> Listener:
        """Live events as an async iterator: `async for order in app.listen("order:*")`; no name: all of them.

        Each is the value a handler would get; with `events` the whole Event. It begins behind `after`, `latest` being
        where the log ends at the first step, or at `async with app.listen(...) as orders`. It ends when the application
        closes. No group is recorded: nothing is remembered or tried again.

        Raises:
            ConfigurationError, InvalidName: the application is not open, or nothing can be heard so.
        """
        room = self._listening = self._listening or ListeningRoom(self.log)
        return room.listen(heard, self.catalog(), after=after, events=events, undecodable=undecodable)

    async def send(
        self,
        command: Any,
        data: Any = msgspec.UNSET,
        *,
        id: str | None = None,
        key: str | None = None,
        subject: str | None = None,
        correlation_id: str | None = None,
        headers: dict[str, str | int | bool] | None = None,
    ) -> Event:
        """Record a command: like `publish`, but private to this service, and for exactly one group that handles it.

        Raises:
            NotOneHandler: no group of this application hears it, or several do; nothing was recorded.
            ContractError, InvalidEvent, InvalidName, LogError: as for `publish`.
        """
        log, outgoing = await self._ready()
        made = outgoing.event(
            command, data=data, id=id, key=key, subject=subject, correlation_id=correlation_id, headers=headers
        )
        check_sole_handler(self._subscriptions, made.type)
        appended = await log.append([made], public=False)
        return msgspec.structs.replace(made, position=appended.first)

    @overload
    def transaction(self) -> AbstractAsyncContextManager[AppTransaction]: ...
    @overload
    def transaction(self, *, existing: object) -> AbstractAsyncContextManager[ExistingTransaction]: ...
    def transaction(self, *, existing: object = None) -> AbstractAsyncContextManager[Any]:
        """SQL of your own and events in one commit: `tx.execute(...)`, `tx.publish(...)`. Raising forgets both.

        With `existing`, a connection of your own to the log's database (SQLite: a `sqlite3.Connection`), each is
        written on it at once, on this thread. If it is in a transaction, your commit keeps both and your rollback
        neither; `ring` then wakes the handlers at once. Else the block begins a transaction and commits it.

        Raises:
            ConfigurationError: it is no connection to that database, or does not fsync its commits.
            LogLocked: another connection is writing, or has written since this one read.
        """
        return recorded(self._ready) if existing is None else joining(self._ready, existing)

    async def ring(self) -> None:
        """Wake the handlers for events committed on a connection of your own; unasked, they look twice a second."""
        await self.log.ring()

    async def __aenter__(self) -> Self:
        """Open the log and the broker; no handler runs yet."""
        async with self._opening:
            if not self._open_count:
                await self._open()
            self._check_loop()
            self._open_count += 1
        return self

    async def __aexit__(self, *raised: object) -> None:
        async with self._opening:
            self._open_count -= 1
            if not self._open_count:
                await self._close()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """The handlers at work, for as long as the block lasts; then they are drained.

        Raises:
            ConfigurationError: they are at work already, or one takes tx from a log without SQL.
        """
        async with self:
            if self._running is not None:
                raise ConfigurationError(f"{self.name} is running already: run another process for more of it")
            catalog = self.catalog()  # with what was included since it was opened
            outgoing = self._outgoing = Outgoing(self.name, catalog, self.clock)
            running = self._running = Running(
                self.name,
                self.log,
                self._broker,
                self._subscriptions,
                catalog,
                outgoing,
                self.clock,
                self._metrics,
                self._chores(),
                self._orphan_after,
                self._breakers,
            )
            sources = self._supervision = Sources(self._sources, self.clock)
            try:
                await self._prepare()
                await running.start()
                await sources.start(self)
                yield self
            finally:
                try:
                    await sources.stop(self.drain)
                finally:
                    await self._stop(running)

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
        return await health_of(self.name, self.groups, self._running, self._supervision, self._breakers)

    async def _stop(self, running: Running) -> None:
        try:
            await running.stop(self.drain)
        finally:
            self._running = self._supervision = None

    def substituted(self, parts: Substitutes) -> AbstractContextManager[None]:
        """Other parts in the place of its own until the block ends: how `tidings.testing` runs it without its URLs."""
        return substituted(self, parts)

    async def trace(self, event: str, *, depth: int = DEPTH, limit: int = LIMIT) -> Trace:
        """Where an event comes from, what it caused, and who did what with it: at most `limit` events.

        `event` is an id, the beginning of one, or a position; `depth` is how many causes away from it to look.

        Raises:
            UnknownEvent: the log has no such event, or several whose ids begin so.
        """
        return await trace(self.log, event, app=self.name, depth=depth, limit=limit)

    async def _prepare(self) -> None:
        for each in self._subscriptions:
            if each.form.uses_tx and not self.log.has_sql:
                raise ConfigurationError(f"{each.name} takes tx, and {self.log.url} has no SQL: use sqlite:///file.db")
        for function in self._starts:
            if inspect.isawaitable(made := function()):
                await made

    def _chores(self) -> list[Chore]:
        """What one of the application's processes does for all."""
        forgetting = LineageChore(self.log, self._kept_for or KEPT)  # what was kept before it was switched off too
        trimming = [Trimmer(self.log, self.retention, self.clock)] if self.retention.rules else []
        return [Firing(self.name, self.log, self._every), forgetting, *trimming, *self._watching()]

    def _watching(self) -> list[Chore]:
        if self._alerts is None:
            return []
        assert self._outgoing is not None
        names = [each.name for each in self._subscriptions]
        return [Lookout(self.name, names, self.log, self._outgoing, self.clock, self._alerts)]

    async def _ready(self) -> tuple[Log, Outgoing]:
        """What publishing takes. Inside a handler its event, which may have been read lean, is a cause: made whole."""
        log, outgoing, cell = self.log, self._outgoing, current.get()
        assert outgoing is not None
        if cell is not None and cell.item is not None:
            await cell.complete([cell.item])
        return log, outgoing

    def _check_loop(self) -> None:
        if self.is_bound and self.loop is not asyncio.get_running_loop():
            raise ConfigurationError(
                f"{self.name} is open on another event loop, and a log in memory lives on one: let app.run() begin"
                " before app.sync is used, or use sqlite:///file.db"
            )

    async def _open(self) -> None:
        self.loop, self.opened_by = asyncio.get_running_loop(), os.getpid()
        try:
            self._outgoing = Outgoing(self.name, self.catalog(), self.clock)
            self._log = await self._open_log(self.log_url, clock=self.clock, **self._log_settings)
            self._log.ledger.keeps_lineage = self._kept_for is not None
            if self.broker_url is not None:
                self._broker = await self._connect(self.broker_url, clock=self.clock)
        except BaseException:
            await self._close()
            raise

    async def _close(self) -> None:
        room, self._listening = self._listening, None
        if room is not None:
            room.close()
        self.loop = self.opened_by = None
        broker, self._broker = self._broker, None
        log, self._log = self._log, None
        try:
            if broker is not None:
                await broker.close()
        finally:
            if log is not None:
                await log.close()
