"""`DirectReader`: one group in one process that hears a broker itself. It receives, deals out to lanes, and goes on."""

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from tidings.brokers import Broker, Inbox
from tidings.clock import Clock
from tidings.errors import Fenced
from tidings.events import Catalog
from tidings.handling.acknowledging import Acknowledging
from tidings.handling.delivery import Item
from tidings.handling.direct.arrivals import Arrivals
from tidings.handling.direct.lane import DirectAnswers, Lane, Outlet, Stopped
from tidings.handling.outgoing import Outgoing
from tidings.handling.report import MetricsHook, say
from tidings.handling.subscription import Subscription
from tidings.handling.trouble import Trouble

_MOST_LANES = 8  # in one process; with more concurrency each handles several keys at a time
_PREFETCH = 1000


class DirectReader:
    """Runs one subscription over one broker, as one member among others; a broadcast without a group."""

    def __init__(
        self,
        subscription: Subscription,
        broker: Broker,
        catalog: Catalog,
        outgoing: Outgoing,
        outlet: Outlet,
        clock: Clock,
        metrics: MetricsHook | None = None,
    ) -> None:
        self.subscription = subscription
        self.trouble = Trouble(subscription.name)
        self.stopped: Stopped | None = None
        self._broker = broker
        self._catalog = catalog
        self._outgoing = outgoing
        self._outlet = outlet
        self._clock = clock
        self._metrics = metrics
        self._lanes: list[Lane] = []
        self._ending = asyncio.Event()
        self.handled = 0  # events with an answer, in all

    def count(self) -> int:
        """How many events have been answered."""
        return self.handled + sum(lane.handled for lane in self._lanes)

    def stop(self) -> None:
        """Take no further event; `run` returns when those in hand are answered."""
        self._ending.set()
        for lane in self._lanes:
            lane.end()

    async def run(self) -> None:
        """Receive until stopped. When the carrier fails it says so, waits, and subscribes anew: it is never silent."""
        while not self._ending.is_set():
            try:
                await self._lead()
            except Fenced:
                continue
            except Stopped as stopped:
                self.stopped = stopped
                self.trouble.says(str(stopped))
                say(logging.ERROR, "stop", group=self.subscription.name, reason=str(stopped))
                await self._ending.wait()
            except Exception as error:
                await self._wait(self.trouble.met(error))

    async def _lead(self) -> None:
        group = self.subscription.group
        name = None if self.subscription.broadcast else group.name
        async with self._broker.subscribe(group.patterns, group=name, start=group.start, prefetch=_PREFETCH) as inbox:
            self.trouble.reason = None
            arrivals = Arrivals(self._catalog, needs_slots=self.subscription.policy.concurrency > 1)
            done = Acknowledging(inbox, self.trouble.over)
            lanes = self._lanes = self._new_lanes(inbox, arrivals, done)
            receiving = asyncio.create_task(self._receive(inbox, arrivals, lanes))
            working = [asyncio.create_task(lane.run()) for lane in lanes]
            settling = asyncio.create_task(done.run())
            ending = asyncio.create_task(self._ending.wait())
            try:
                await asyncio.wait([receiving, *working, settling, ending], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (receiving, ending):
                    task.cancel()
                await self._finish(lanes, working, done, settling)
                for lane in lanes:
                    lane.close()
                self.handled += sum(lane.handled for lane in lanes)
                self._lanes = []
            for task in (receiving, *working, settling):
                if task.done() and not task.cancelled():
                    task.result()

    async def _finish(
        self,
        lanes: Sequence[Lane],
        working: Sequence["asyncio.Task[None]"],
        done: Acknowledging,
        settling: "asyncio.Task[None]",
    ) -> None:
        """Let the handlers at work return, and settle what they have done."""
        for lane in lanes:
            lane.end()
        try:
            await asyncio.wait(working)
            done.end()
            await asyncio.wait([settling])
        except asyncio.CancelledError:
            for task in (*working, settling):
                task.cancel()
            await asyncio.wait([*working, settling])
            raise

    async def _receive(self, inbox: Inbox, arrivals: Arrivals, lanes: Sequence[Lane]) -> None:
        while True:
            items = arrivals.items(await inbox.receive())
            if len(lanes) == 1:
                lanes[0].add(items)
            else:
                _deal(items, lanes)

    def _new_lanes(self, inbox: Inbox, arrivals: Arrivals, done: Acknowledging) -> list[Lane]:
        subscription, concurrency = self.subscription, self.subscription.policy.concurrency
        count = min(concurrency, _MOST_LANES)
        if count > 1:
            policy = msgspec.structs.replace(subscription.policy, concurrency=-(-concurrency // count))
            subscription = msgspec.structs.replace(subscription, policy=policy)
        capabilities, clock = self._broker.capabilities, self._clock
        if subscription.broadcast:  # nothing of it is remembered
            capabilities = msgspec.structs.replace(capabilities, delay=False, dead_letters=False)
        batches = [DirectAnswers(subscription, self._outgoing, clock) for _ in range(count)]
        return [
            Lane(
                subscription,
                inbox,
                capabilities,
                arrivals,
                batch,
                self._outlet,
                clock,
                self._metrics,
                done,
            )
            for batch in batches
        ]

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._ending.wait()
        except TimeoutError:
            return


def _deal(items: list[Item], lanes: Sequence[Lane]) -> None:
    """Each key to the lane that has it always."""
    dealt: list[list[Item]] = [[] for _ in lanes]
    for item in items:
        dealt[item.record.slot % len(lanes)].append(item)
    for lane, its in zip(lanes, dealt, strict=True):
        if its:
            lane.add(its)
