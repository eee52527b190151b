"""The two relays between a service's log and its broker.

*Outbound* reads the log's public events like any group and publishes them. *Inbound* records what arrives and only then
acknowledges it, so that every promise about handling is kept by the log alone.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from tidings.brokers import Arrival, Broker, Inbox
from tidings.brokers.foreign import UNREADABLE, Foreign, message_in
from tidings.clock import Clock
from tidings.concurrency import together
from tidings.errors import EventRefused, Fenced, Reject
from tidings.events import Event
from tidings.events.names import ANSWER, OWN
from tidings.handling.acknowledging import Acknowledging
from tidings.handling.batch import Answers
from tidings.handling.delivery import Item
from tidings.handling.flow.checking import flow
from tidings.handling.flow.settings import Rate
from tidings.handling.form import form_of
from tidings.handling.policy import Policy, Retry
from tidings.handling.subscription import Subscription
from tidings.handling.trouble import Trouble
from tidings.log import Draft, Log
from tidings.log.group import Group
from tidings.log.record import restore

Received = tuple[list[Arrival], list[Draft]]  # what came, and what of it is recorded
_BATCH = 2000  # arrivals that are recorded at once
_PREFETCH = 2 * _BATCH  # that are received, recorded and acknowledged at a time


def outbound_subscription(app: str, rate: Rate | str | None = None) -> Subscription:
    """The group that relays an application's public events, at most so many at a time as `rate` says."""

    async def relay(event: Event) -> None:
        """Done a batch at a time, by `Relaying`."""

    return Subscription(
        Group(f"{app}:outbound", ("**", f"{ANSWER}**")),
        form_of(relay),
        Policy((Retry.never(EventRefused),), timeout=None, flow=flow(rate=rate)),
    )


def unreadable_subscription(app: str, log: Log, foreign: Foreign) -> Subscription:
    """The group whose dead letters are the messages that nobody could read."""

    async def unreadable(event: Event) -> None:
        """Read it with the decoders declared by now.

        Raises:
            Reject: it still cannot be read.
        """
        message = message_in(event)
        arrival = foreign.arrival(message, None)
        if arrival.failure is not None:
            raise Reject(f"a message on channel {message.channel!r} cannot be read: {arrival.failure}")
        await log.absorb([arrival.event])

    return Subscription(Group(f"{app}:unreadable", (UNREADABLE,)), form_of(unreadable), Policy())


class Relaying:
    """The way outbound 'calls its handler': a batch is one publish."""

    def __init__(self, broker: Broker, answers: Answers) -> None:
        self._broker = broker
        self._answers = answers
        self.left: list[Item] = []

    async def run(self, items: list[Item]) -> list[Item]:
        """Publish all items, in order. What the carrier would never take becomes a dead letter of outbound.

        Raises:
            BrokerError, LogError: the carrier did not take them all; they are published again.
        """
        self.left = items
        if self._answers.is_holding:
            items = [item for item in items if not self._answers.must_wait(item)]
        try:
            await self._broker.publish([_travelling(item) for item in items])
        except EventRefused:
            await self._one_by_one(items)
        else:
            self._done(items)
        return []

    def _done(self, items: list[Item]) -> None:
        if items and items[0].parked:  # all of them are, or none; of the others the cursor says it
            for item in items:
                self._answers.done(item)

    async def _one_by_one(self, items: list[Item]) -> None:
        for item in items:
            if self._answers.must_wait(item):
                continue
            try:
                await self._broker.publish([_travelling(item)])
            except EventRefused as refused:
                self._answers.failed(item, refused, item.attempts + 1)
            else:
                self._done([item])

    def pause(self) -> None:
        """A publish is not interrupted."""

    def close(self) -> None:
        """Nothing is held."""


class Inbound:
    """Records what a broker has for this service, in its own log."""

    def __init__(self, log: Log, broker: Broker, source: str, patterns: Sequence[str], clock: Clock) -> None:
        self.trouble = Trouble(f"{source}:inbound")
        self.tried = asyncio.Event()  # it listens now, or could not at its first attempt
        self._log = log
        self._broker = broker
        self._source = source
        self._patterns = tuple(patterns)
        self._clock = clock
        self._received = 0

    def count(self) -> int:
        """How many events have come."""
        return self._received

    async def run(self) -> None:
        """Receive until stopped; when the carrier or the log fails, wait, and go on."""
        while True:
            try:
                async with self._broker.subscribe(self._patterns, group=self._source, prefetch=_PREFETCH) as inbox:
                    self.trouble.reason = None
                    self.tried.set()
                    await self._receive(inbox)
            except Fenced:
                continue  # recorded by two members is recorded once
            except Exception as error:
                wait = self.trouble.met(error)
                self.tried.set()
                await self._clock.sleep(wait)

    async def _receive(self, inbox: Inbox) -> None:
        """While some are recorded, the next are received, and those before acknowledged."""
        came: asyncio.Queue[Received] = asyncio.Queue(1)
        done = Acknowledging(inbox, self.trouble.over)
        await together(self._fetch(inbox, came), self._record(came, done), done.run())

    async def _fetch(self, inbox: Inbox, came: "asyncio.Queue[Received]") -> None:
        while True:
            arrivals = await inbox.receive(_BATCH)
            self._received += len(arrivals)
            await came.put((arrivals, [each.draft for each in self._welcome(arrivals)]))

    async def _record(self, came: "asyncio.Queue[Received]", done: Acknowledging) -> None:
        while True:
            arrivals, drafts = await came.get()
            await self._log.absorb(drafts)
            done.add(arrivals)

    def _welcome(self, arrivals: list[Arrival]) -> list[Arrival]:
        """Most come from services and under names that all are welcome from; they are looked at together."""
        notices = [each.notice for each in arrivals]
        if self._source not in {it.source for it in notices} and not _are_own({it.type for it in notices}):
            return arrivals
        return [each for each in arrivals if self._is_welcome(each)]

    def _is_welcome(self, arrival: Arrival) -> bool:
        """Not what this service has said itself, nor what only it may say: that a function's time has come, say."""
        if arrival.failure is not None:
            return True  # our own note of a message that nobody could read
        return arrival.notice.source != self._source and not arrival.notice.type.startswith(OWN)


def _are_own(names: set[str]) -> bool:
    return any(name.startswith(OWN) for name in names)


def _travelling(item: Item) -> Event:
    """The event without its place in this log; what kept it in order there keeps it in order elsewhere."""
    event = restore(item.record, item.position)
    key = event.key or event.stream
    return msgspec.structs.replace(event, key=key, position=None, recorded_at=None, stream=None, stream_version=None)
