"""`Running`: an application's handlers at work in one process, from start to the last settlement."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from tidings.app.broadcasting import forget_abandoned, of_member
from tidings.brokers import Broker, Channels
from tidings.brokers.foreign import UNREADABLE, Foreign
from tidings.clock import Clock
from tidings.errors import TidingsError
from tidings.events import Catalog
from tidings.events.names import OWN
from tidings.handling.batch import Answers
from tidings.handling.chores.housekeeping import Chore, Housekeeping
from tidings.handling.direct import warn_of_order
from tidings.handling.execution import Execution
from tidings.handling.feed import Feed
from tidings.handling.flow.announcing import Announcer
from tidings.handling.flow.circuit import Circuit
from tidings.handling.flow.circuit_breaker import CircuitBreaker
from tidings.handling.flow.controls import Controls, controls_of
from tidings.handling.flow.settings import Rate
from tidings.handling.outgoing import Outgoing
from tidings.handling.oversight.orphans import greet_orphans
from tidings.handling.oversight.reporting import Reporting
from tidings.handling.oversight.vigil import Vigil, vigil_over
from tidings.handling.reader import Reader
from tidings.handling.relay import Inbound, Relaying, outbound_subscription, unreadable_subscription
from tidings.handling.report import MetricsHook
from tidings.handling.subscription import Subscription
from tidings.log import Log
from tidings.log.balance import part
from tidings.log.group import ORPHAN_AFTER, Group
from tidings.log.pulse import keep_pulse

_UNREADABLE = frozenset({UNREADABLE})
_MOST_READERS = 8  # of one group in one process; with more concurrency each handles several keys at a time
_LEAVING = 1.0  # seconds to answer a cancellation, and to give the lanes back


class Running:
    """The readers and relays of one application, as one member of each group."""

    def __init__(
        self,
        name: str,
        log: Log,
        broker: Broker | None,
        subscriptions: Sequence[Subscription],
        catalog: Catalog,
        outgoing: Outgoing,
        clock: Clock,
        metrics: MetricsHook | None,
        chores: Sequence[Chore] = (),
        orphan_after: float = ORPHAN_AFTER,
        breakers: Sequence[CircuitBreaker] = (),
        channels: Channels | None = None,
        relay_rate: Rate | str | None = None,
    ) -> None:
        self._name = name
        self._log = log
        self._broker = broker
        self._channels = channels or Channels()
        self._relay_rate = relay_rate
        self._subscriptions = tuple(subscriptions)
        self._feed = Feed(log, catalog, _literal_types(self._subscriptions))
        self._apart = Feed(log, catalog, _UNREADABLE)  # that group wants whole events, which the others may do without
        if broker is not None:  # what nobody could read is the dead letters of a group of its own
            foreign = Foreign(broker.url, self._channels.decoders)
            self._subscriptions += (unreadable_subscription(name, log, foreign),)
        self._outgoing = outgoing
        self._clock = clock
        self._metrics = metrics
        self._chores = tuple(chores)
        self._orphan_after = orphan_after
        self._member = ""
        self._tasks: list[asyncio.Task[None]] = []
        self._announcer: Announcer | None = None
        self._announcer_task: asyncio.Task[None] | None = None
        self._pulse_task: asyncio.Task[None] | None = None
        self._inbound_task: asyncio.Task[None] | None = None
        self.readers: list[Reader] = []
        self.breakers = tuple(breakers)
        self.inbound: Inbound | None = None
        self.vigil: Vigil | None = None
        self.housekeeping: Housekeeping | None = None
        self.reporting: Reporting | None = None

    async def start(self) -> None:
        """Record the groups' starts, become a member, and begin to read."""
        outbound = [outbound_subscription(self._name, self._relay_rate)] if self._broker is not None else []
        self._member = await self._log.ledger.enter()
        await forget_abandoned(self._log, self._subscriptions)
        self._subscriptions = tuple(of_member(each, self._member) for each in self._subscriptions)
        groups = [each.group for each in (*self._subscriptions, *outbound)]
        await self._join(groups)
        for each in self._subscriptions:  # one by one, so that a start that is cut short knows whom to close
            self.readers += await self._readers(each)
        if self._broker is not None:
            self._relay(self._broker, outbound)
        self._announce()
        self._tasks = [asyncio.create_task(each.run(), name=each.subscription.name) for each in self.readers]
        if self._chores:
            self.housekeeping = Housekeeping(self._name, self._log, self._member, self._clock, self._chores)
            self._tasks.append(asyncio.create_task(self.housekeeping.run(), name=self.housekeeping.group.name))
        self.reporting = Reporting(self._log, self.readers, self._clock)
        self._pulse_task = asyncio.create_task(
            keep_pulse(self._log, self._member, self.reporting.tell, self._is_idle), name=f"{self._name}:pulse"
        )
        if self.inbound is not None and _is_forgetful(self._broker):
            await self.inbound.tried.wait()  # what is published from now on is heard

    async def stop(self, drain: float) -> None:
        """Take no more, finish what is in hand for at most `drain` seconds, settle it, and give the lanes back.

        What is not finished by then gets no answer, and comes again. Who is cancelled meanwhile leaves at once.
        """
        try:
            await self._drain(drain)
        finally:
            for task in (self._inbound_task, self._announcer_task, self._pulse_task, *self._tasks):
                if task is not None:
                    task.cancel()
            if self.vigil is not None:
                self.vigil.end()
            for reader in self.readers:
                reader.feed.close()
                reader.close()
            if self._announcer is not None:
                self._announcer.end()

    async def _drain(self, drain: float) -> None:
        for reader in self.readers:
            reader.stop()
        if self.housekeeping is not None:
            self.housekeeping.stop()
        await _cancel(self._inbound_task)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=drain)
            await _cancel(*late)
        await _cancel(self._announcer_task, self._pulse_task)
        if self._member:
            with contextlib.suppress(TidingsError, TimeoutError):  # closing the log frees the lanes too
                async with asyncio.timeout(_LEAVING):  # a handler may hang in the writer's thread
                    await self._log.ledger.leave(self._member)
                    for each in self._subscriptions:
                        if each.broadcast:
                            await self._log.ledger.forget(each.name)

    async def _join(self, groups: Sequence[Group]) -> None:
        await greet_orphans(self._log, groups)
        for group in groups:
            orphan_after = min(group.orphan_after, self._orphan_after)
            await self._log.ledger.join(msgspec.structs.replace(group, orphan_after=orphan_after))
        await self._log.ledger.pulse(self._member)  # whoever died before us frees its lanes now

    def _relay(self, broker: Broker, outbound: Sequence[Subscription]) -> None:
        """Take the broker's events into the log, and public ones from the log to the broker."""
        for each in self._subscriptions:
            warn_of_order(each, self._channels, broker)
        feed = Feed(self._log, None, None, public=True)
        self.readers += [self._reader(each, feed, partial(Relaying, broker)) for each in outbound]
        self._start_inbound(broker)

    async def _readers(self, subscription: Subscription) -> list[Reader]:
        """One reader, or several with lanes of their own: one that is kept waiting must not stop the other keys."""
        controls = controls_of(subscription.policy.flow, subscription.name, self._clock)
        count = min(subscription.policy.concurrency, _MOST_READERS)
        feed = self._apart if subscription.types == _UNREADABLE else self._feed
        if count == 1:
            return [self._reader(subscription, feed, controls=controls)]
        members = [part(self._member, number) for number in range(count)]
        for member in members * 2:  # once to be known, once to take a fair share, before anything is read
            await self._log.ledger.claim(subscription.name, member)
        each = _divided(subscription, count)
        return [self._reader(each, feed, member=member, controls=controls) for member in members]

    def _reader(
        self,
        subscription: Subscription,
        feed: Feed,
        execution: Callable[[Answers], Execution] | None = None,
        *,
        member: str | None = None,
        controls: Controls | None = None,
    ) -> Reader:
        member, log, clock = member or self._member, self._log, self._clock
        return Reader(subscription, log, member, feed, self._outgoing, clock, self._metrics, execution, controls)

    def _announce(self) -> None:
        """Tell of circuits that open or close, where there are any."""
        circuits = self._circuits()
        if circuits:
            self._announcer = Announcer(self._name, circuits, self._log, self._outgoing)
            self._announcer_task = asyncio.create_task(self._announcer.run(), name=f"{self._name}:breakers")

    def _circuits(self) -> list[Circuit]:
        """Those of its groups and those included; several readers of a group share one."""
        own = [reader.controls.circuit for reader in self.readers if reader.controls is not None]
        included = [breaker.circuit for breaker in self.breakers]
        return list(dict.fromkeys(filter(None, [*own, *included])))

    def _start_inbound(self, broker: Broker) -> None:
        heard = {pattern for each in self._subscriptions for pattern in each.group.patterns}
        patterns = sorted(pattern for pattern in heard if not pattern.startswith(OWN))
        if patterns:
            self.inbound = Inbound(self._log, broker, self._name, patterns, self._clock)
            self._inbound_task = asyncio.create_task(self.inbound.run(), name=f"{self._name}:inbound")
            self.vigil = vigil_over(broker, {self._name: self.inbound.count}, self._clock)

    def _is_idle(self) -> bool:
        is_told = self.reporting is not None and self.reporting.is_up_to_date
        return is_told and all(reader.is_idle for reader in self.readers)


def _is_forgetful(broker: Broker | None) -> bool:
    """Is what nobody hears at that moment gone?"""
    return broker is not None and not (broker.capabilities.durable or broker.capabilities.replay)


def _divided(subscription: Subscription, count: int) -> Subscription:
    """What each of so many readers runs, so that all together keep to the policy's concurrency."""
    concurrency = subscription.policy.concurrency
    if subscription.form.is_async and concurrency > count:  # keys are never spread evenly: whoever has more takes more
        return msgspec.structs.replace(subscription, limit=asyncio.Semaphore(concurrency))
    policy = msgspec.structs.replace(subscription.policy, concurrency=-(-concurrency // count))
    return msgspec.structs.replace(subscription, policy=policy)


def _literal_types(subscriptions: Sequence[Subscription]) -> frozenset[str] | None:
    types: set[str] = set()
    for subscription in subscriptions:
        if subscription.types is None:
            return None
        types |= subscription.types
    return frozenset(types)


async def _cancel(*tasks: asyncio.Task[None] | None) -> None:
    asked = [task for task in tasks if task is not None]
    for task in asked:
        task.cancel()
    if asked:
        done, _ = await asyncio.wait(asked, timeout=_LEAVING)  # a handler may answer a cancellation with more work
        for task in done:
            if not task.cancelled():
                task.exception()  # looked at: whoever runs has said it
