"""`DirectReader`: one group in one process that hears a broker itself. It receives, deals out to lanes, and goes on."""

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec

from tidings.brokers import Broker, Inbox
from tidings.brokers.channels import PARTITIONS
from tidings.clock import Clock
from tidings.errors import Fenced
from tidings.events import Catalog
from tidings.handling.acknowledging import Acknowledging
from tidings.handling.delivery import Item
from tidings.handling.direct.answers import DirectAnswers, Stopped
from tidings.handling.direct.arrivals import Arrivals
from tidings.handling.direct.lane import Lane, Outlet
from tidings.handling.flow.holding import Hold
from tidings.handling.outgoing import Outgoing
from tidings.handling.report import MetricsHook, say
from tidings.handling.subscription import Subscription
from tidings.handling.trouble import Trouble

_MOST_LANES = 8  # in one process; with more concurrency each handles several keys at a time
_PREFETCH = 1000
_FEW = 16  # events that came alone: to ask for more would only hold them up


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
        self.on_rest: Callable[[], None] | None = None  # called whenever a lane begins to wait with events in its hands
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

    @property
    def holds(self) -> list[Hold]:
        """What its lanes have in their hands and wait with."""
        return [lane.hold for lane in self._lanes if lane.hold is not None]

    def stop(self) -> None:
        """Take no further event; `run` returns when those in hand are answered."""
        self._ending.set()
        self._end_lanes()

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
        lists = self.subscription.policy.flow.batch
        prefetch = _PREFETCH if lists is None else max(_PREFETCH, lists.size)
        async with self._broker.subscribe(group.patterns, group=name, start=group.start, prefetch=prefetch) as inbox:
            self.trouble.reason = None
            arrivals = Arrivals(self._catalog, needs_slots=self.subscription.policy.concurrency > 1)
            done = Acknowledging(inbox, self.trouble.over)
            lanes = self._lanes = self._new_lanes(inbox, arrivals, done)
            for lane in lanes:
                lane.on_rest = self._rested
            receiving = asyncio.create_task(self._receive(inbox, arrivals, lanes))
            working = [asyncio.create_task(lane.run()) for lane in lanes]
            settling = asyncio.create_task(done.run())
            ending = asyncio.create_task(self._ending.wait())
            try:
                await asyncio.wait([receiving, *working, settling, ending], return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                for work in working:
                    work.cancel()
                raise
            finally:
                for task in (receiving, ending):
                    task.cancel()
                await self._finish(working, done, settling)
                for lane in lanes:
                    lane.close()
                self.handled += sum(lane.handled for lane in lanes)
                self._lanes = []
            for task in (receiving, *working, settling):
                if task.done() and not task.cancelled():
                    task.result()

    async def _finish(
        self, working: Sequence["asyncio.Task[None]"], done: Acknowledging, settling: "asyncio.Task[None]"
    ) -> None:
        """Let the handlers at work return, and settle what they have done, also when they are given no more time."""
        self._end_lanes()
        try:
            await _ended(*working)
        finally:
            done.end()
            await _ended(settling)

    async def _receive(self, inbox: Inbox, arrivals: Arrivals, lanes: Sequence[Lane]) -> None:
        while True:
            items = arrivals.items(await inbox.receive())
            if len(lanes) == 1:
                lanes[0].add(items)
            else:
                _deal(items, lanes)
            if len(items) <= _FEW:
                await asyncio.sleep(0)  # they are handled before more is asked for; behind many the next ones come

    def _new_lanes(self, inbox: Inbox, arrivals: Arrivals, done: Acknowledging) -> list[Lane]:
        subscription, concurrency = self.subscription, self.subscription.policy.concurrency
        count = min(concurrency, _MOST_LANES)
        if count > 1:
            policy = msgspec.structs.replace(subscription.policy, concurrency=-(-concurrency // count))
            subscription = msgspec.structs.replace(subscription, policy=policy)
        capabilities, clock = self._broker.capabilities, self._clock
        if subscription.broadcast:  # nothing of it is remembered
            capabilities = msgspec.structs.replace(capabilities, delay=False, dead_letters=False)
        batches = [DirectAnswers(subscription, self._outgoing, clock, self._end_lanes) for _ in range(count)]
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

    def _rested(self) -> None:
        if self.on_rest is not None:
            self.on_rest()

    def _end_lanes(self) -> None:
        """Have none of them begin with another event."""
        for lane in self._lanes:
            lane.end()

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._ending.wait()
        except TimeoutError:
            return


async def _ended(*tasks: "asyncio.Task[None]") -> None:
    """Wait for them; who is told to wait no longer has them cancelled, and waits for that."""
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise


def _deal(items: list[Item], lanes: Sequence[Lane]) -> None:
    """Each key to the lane that has it always.

    A carrier's partition is the remainder of the same sum as a slot, so a member that has some of eight has slots of as
    many remainders alone: what is above them tells its keys apart.
    """
    dealt: list[list[Item]] = [[] for _ in lanes]
    for item in items:
        dealt[item.record.slot // PARTITIONS % len(lanes)].append(item)
    for lane, its in zip(lanes, dealt, strict=True):
        if its:
            lane.add(its)
