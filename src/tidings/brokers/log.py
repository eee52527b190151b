"""`LogBroker`: any log as a carrier. Publishing appends; an inbox is a named reader with a cursor in the ledger."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import msgspec

from tidings.brokers.interface import Capabilities
from tidings.clock import Clock
from tidings.errors import LogClosed, LogDamaged
from tidings.events import Event, Pattern, PatternSet
from tidings.log import Lease, Log, Settlement, Where, open_log
from tidings.log.bell import Ear
from tidings.log.group import LANES, Group
from tidings.log.position import Position
from tidings.log.record import restore

PULSE = 0.5  # seconds between signs of life, and looks for members that died


class LogBroker:
    """A carrier between services that share a log's file (or, on a server, its database).

    The log is opened when it is first needed, and again after it was found closed, or its file replaced: who publishes
    to a bus that is away for a while fails until it is back, and then goes on.
    """

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        durable = not url.startswith("memory:")
        self.url = url
        self.capabilities = Capabilities(
            durable=durable,
            groups=True,
            replay=True,
            order="total",
            delay=False,
            dead_letters=False,
            fsync=durable,
            atomic=True,
        )
        self._clock = clock
        self._log: Log | None = None
        self._opening = asyncio.Lock()

    async def publish(self, events: Sequence[Event]) -> None:
        """Append those the log does not have."""
        async with self._opened() as log:
            await log.absorb(events, public=True)

    @contextlib.asynccontextmanager
    async def subscribe(
        self, patterns: Sequence[str], *, group: str, start: str = "earliest", prefetch: int = 500
    ) -> AsyncIterator["LogInbox"]:
        """Join a group; its cursor is kept in the log's ledger."""
        async with self._opened() as log:
            await log.ledger.join(Group(group, tuple(patterns), start))
            member = await log.ledger.enter()
            ear = log.bell.listen()
            pulse = asyncio.create_task(_pulse(log, member))
            try:
                yield LogInbox(log, group, member, patterns, ear, prefetch)
            finally:
                pulse.cancel()
                log.bell.forget(ear)
                with contextlib.suppress(Exception):  # the log is away, or closed: the other members notice
                    await log.ledger.leave(member)

    async def close(self) -> None:
        """Close the log."""
        log, self._log = self._log, None
        if log is not None:
            await log.close()

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[Log]:
        """The log, open. One that has shown to be of no more use is closed, and the next who asks opens it anew."""
        async with self._opening:
            log = self._log = self._log or await open_log(self.url, clock=self._clock)
        try:
            yield log
        except (LogClosed, LogDamaged):
            if self._log is log:
                await self.close()
            raise


class LogInbox:
    """One member's part of a group on a log."""

    def __init__(self, log: Log, group: str, member: str, patterns: Sequence[str], ear: Ear, prefetch: int) -> None:
        self._log = log
        self._group = group
        self._member = member
        self._hears = PatternSet(patterns)
        self._types = frozenset(patterns) if all(Pattern(each).literal for each in patterns) else None
        self._ear = ear
        self._prefetch = prefetch
        self._lease: Lease | None = None
        self._control = -1
        self._cursor: Position = ""  # as last settled
        self._received: Position = ""  # as far as it has looked
        self._passing: frozenset[int] = frozenset()  # what an operator has set aside for this group
        self._owing = False  # events were handed over that are not settled

    async def receive(self, at_most: int = 500) -> list[Event]:
        """The next events for this member's lanes."""
        while True:
            lease = await self._claimed()
            if not lease.lanes or lease.state == "paused":
                await self._ear.wait(PULSE)
                continue
            found = await self._log.scan(self._received, self._where(lease), min(at_most, self._prefetch))
            self._received = found.upto
            events = [
                _travelling(restore(record, found.position(record)))
                for record in found.records
                if self._hears.matches(record.type) and record.order > lease.lanes[record.slot % LANES]
            ]
            if events:
                self._owing = True
                return events
            if found.at_head:
                if not self._owing:
                    await self.settle()  # what is not for this group need not be looked at again
                await self._ear.wait(PULSE * 2)

    async def settle(self) -> None:
        """Move the cursor past what was received."""
        if self._lease is not None and self._received != self._cursor:
            await self._log.ledger.settle(Settlement(self._lease, upto=self._received))
            self._cursor = self._received
        self._owing = False

    async def _claimed(self) -> Lease:
        """The lease; claimed anew when members come or go, at a point where nothing is unsettled."""
        control = self._log.bell.control
        if self._lease is None or (control != self._control and not self._owing):
            self._control = control
            before, self._lease = self._lease, await self._log.ledger.claim(self._group, self._member)
            self._passing = (await self._log.ledger.held(self._lease)).passing
            if before is None or before.fence != self._lease.fence:
                self._cursor = self._received = self._lease.cursor
        return self._lease

    def _where(self, lease: Lease) -> Where:
        lanes = None if len(lease.lanes) == LANES else frozenset(lease.lanes)
        return Where(self._types, lanes, passing=self._passing)


async def _pulse(log: Log, member: str) -> None:
    while True:
        with contextlib.suppress(Exception):  # the inbox meets the same trouble, and reports it
            await log.ledger.pulse(member)
        await asyncio.sleep(PULSE)


def _travelling(event: Event) -> Event:
    """The event without its place in the carrier's own log."""
    return msgspec.structs.replace(event, position=None, recorded_at=None, stream=None, stream_version=None)
