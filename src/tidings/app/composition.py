"""`Composition`: what an application is made of: who handles what, which events it speaks of, what feeds it."""

import inspect
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Literal, TypeVar

import msgspec

from tidings.app.hearing import Hearing
from tidings.app.running import Running
from tidings.app.sources import Source, Sources, check_new
from tidings.clock import Clock
from tidings.errors import ConfigurationError, DuplicateGroup
from tidings.events import Catalog, Contract, check_name
from tidings.handling.flow.checking import flow
from tidings.handling.flow.circuit_breaker import CircuitBreaker
from tidings.handling.flow.settings import Batch, Breaker, Debounce, Priority, Rate, Throttle
from tidings.handling.form import Handler, form_of
from tidings.handling.policy import Retry, policy
from tidings.handling.subscription import Subscription, subscription
from tidings.handling.timing.every import Every, every
from tidings.handling.timing.schedule import Spoken
from tidings.handling.timing.schedule import schedule as schedule_of

AnyHandler = TypeVar("AnyHandler", bound=Handler)
AnyStart = TypeVar("AnyStart", bound=Callable[[], Any])
Speaking = Sequence[ModuleType | type | Contract | Catalog]


class Composition:
    """The parts of an application, gathered before it runs."""

    def __init__(self, name: str, clock: Clock, contracts: Speaking) -> None:
        self.name = check_name(name)
        self.clock = clock
        self._contracts = list(contracts)
        self._subscriptions: list[Subscription] = []
        self._sources: list[Source] = []
        self._breakers: list[CircuitBreaker] = []
        self._every: list[Every] = []
        self._starts: list[Callable[[], Any]] = []
        self._running: Running | None = None
        self._hearing: Hearing | None = None
        self._supervision: Sources | None = None  # while it runs

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """Who handles what."""
        return tuple(self._subscriptions)

    @property
    def recurring(self) -> tuple[Every, ...]:
        """What is called every so often."""
        return tuple(self._every)

    def catalog(self) -> Catalog:
        """Every contract known here, checked.

        Raises:
            BrokenContracts: two of them cannot both be right.
        """
        spoken = [contract for each in self._subscriptions for contract in each.contracts]
        return Catalog.collect(*self._contracts, *spoken)

    def speak(self, *contracts: ModuleType | type | Contract | Catalog) -> None:
        """Have it know more contracts: modules, `@event` classes or Contracts, as with `App(contracts=...)`.

        Who loads an application by its name, as `tidings` and its workers do, says so of the module it stands in: its
        events are known by name there, whether or not a handler hears them.
        """
        self._contracts += [each for each in contracts if each not in self._contracts]

    def on(
        self,
        *heard: str | type | Contract,
        group: str | None = None,
        start: Literal["earliest", "latest"] | str = "earliest",
        retry: Retry | Sequence[Retry] = (),
        timeout: float | msgspec.UnsetType | None = msgspec.UNSET,
        concurrency: int = 1,
        on_dead: Literal["block", "pass"] | None = None,
        blocked_limit: int | None = None,
        rate: Rate | str | None = None,
        throttle: Throttle | str | None = None,
        debounce: Debounce | float | None = None,
        batch: Batch | None = None,
        breaker: Breaker | None = None,
        priority: Priority | None = None,
        singleton: bool = False,
        direct: bool = False,
        broadcast: bool = False,
        on_exhausted: Literal["dead", "stop", "drop"] = "dead",
    ) -> Callable[[AnyHandler], AnyHandler]:
        """Have a function handle events: names, patterns or `@event` classes; none: what its annotation says.

        What it returns is published when its work is committed, under ids that come out the same when it is run again;
        those of an `Event` that is returned are no exception. The group is `<app>.<function>` unless named; a new one
        begins at `start`: the log's beginning, its end, or a position. The rest is its `Policy`. A call may take
        `timeout` seconds, 60 unless said; that of a plain function with `tx`, for which everybody who writes has to
        wait, 0.25.

        From `rate` on it is about flow: `rate="100/s"` makes calls wait; of each key `throttle="1/10s"` takes the first
        events and `debounce=2.0` the last; `batch` is for a handler that takes a list; `breaker` leaves one that keeps
        failing alone for a while; `priority` ranks keys, by a function of the data or by numbers for keys; a
        `singleton` handles one event at a time over all processes.

        `direct` has it hear the broker itself, with no log between: at least once, failures tried again as far as the
        carrier can, and then `on_exhausted`: its dead letters, "stop", or "drop". Without a log, all handlers are so.
        With `broadcast` every process hears what comes while it runs, instead of one of the group; nothing is
        remembered of it.

        Raises:
            ConfigurationError: the handler cannot be called so, or the group's name is taken.
        """
        if len(heard) == 1 and inspect.isroutine(heard[0]):
            raise ConfigurationError(f"@app.on has no parentheses: write @app.on() above {heard[0].__name__}")
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
                on_exhausted=on_exhausted,
            )
            ways = {"direct": direct, "broadcast": broadcast}
            self.include(subscription(self.name, heard, handler, settled, group=group, start=start, **ways))
            return handler

        return register

    def every(
        self,
        schedule: Spoken,
        *,
        zone: str | None = None,
        group: str | None = None,
        retry: Retry | Sequence[Retry] = (),
        timeout: float | msgspec.UnsetType | None = msgspec.UNSET,
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

        def register(function: AnyHandler) -> AnyHandler:
            limit = form_of(function, may_take_nothing=True).timeout if timeout is msgspec.UNSET else timeout
            settled = policy(retry=retry, timeout=limit, on_dead=on_dead)
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
            if self._supervision is not None:
                raise ConfigurationError(f"{each.name} comes too late: include it before {self.name} runs")
            if isinstance(each, Subscription):
                self._subscriptions.append(each)
            else:
                self._sources.append(check_new(each, self._sources))
