"""`LogBroker`: any log as a carrier. Publishing appends, a group's inbox is a named reader with a cursor in its ledger."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import msgspec

from tidings.brokers.interface import Capabilities
from tidings.events import Event, PatternSet
from tidings.log import Lease, Log, Settlement, Where
from tidings.log.bell import Ear
from tidings.log.interface import LANES, Group
from tidings.log.position import Position
from tidings.log.record import restore

PULSE = 0.5  # seconds between signs of life, and looks for members that died


class LogBroker:
    """A carrier between services that share a log's file (or, on a server, its database)."""

    def __init__(self, log: Log) -> None:
        self.url = log.url
        self.capabilities = Capabilities(
            durable=not log.url.startswith("memory:"),
            groups=True,
            replay=True,
            order="total",
            delay=False,
            dead_letters=False,
            fsync=not log.url.startswith("memory:"),
        )
        self.log = log

    async def publish(self, events: Sequence[Event]) -> None:
        """Append those the log does not have."""
        await self.log.absorb(events, public=True)

    @contextlib.asynccontextmanager
    async def subscribe(
        self, patterns: Sequence[str], *, group: str, start: str = "earliest", prefetch: int = 500
    ) -> AsyncIterator["LogInbox"]:
        """Join a group; its cursor is kept in the log's ledger."""
        ledger = self.log.ledger
        await ledger.join(Group(group, tuple(patterns), start))
        member = await ledger.enter()
        ear = self.log.bell.listen()
        pulse = asyncio.create_task(self._pulse(member))
        try:
            yield LogInbox(self.log, group, member, patterns, ear, prefetch)
        finally:
            pulse.cancel()
            self.log.bell.forget(ear)
            await ledger.leave(member)

    async def close(self) -> None:
        """Close the log."""
        await self.log.close()

    async def _pulse(self, member: str) -> None:
        while True:
            with contextlib.suppress(Exception):  # the inbox meets the same trouble, and reports it
                await self.log.ledger.pulse(member)
            await asyncio.sleep(PULSE)


class LogInbox:
    """One member's part of a group on a log."""

    def __init__(
        self, log: Log, group: str, member: str, patterns: Sequence[str], ear: Ear, prefetch: int
    ) -> None:
        self._log = log
        self._group = group
        self._member = member
        self._hears = PatternSet(patterns)
        literal = not any("*" in pattern for pattern in patterns)
        self._types = frozenset(patterns) if literal else None
        self._ear = ear
        self._prefetch = prefetch
        self._lease: Lease | None = None
        self._control = -1
        self._cursor: Position = ""
        self._received: Position = ""

    async def receive(self, at_most: int = 500) -> list[Event]:
        """The next events for this member's lanes."""
        while True:
            lease = await self._claimed()
            if not lease.lanes or lease.state == "paused":
                await self._ear.wait(PULSE)
                continue
            found = await self._log.scan(self._received, self._where(lease), min(at_most, self._prefetch))
            after, self._received = self._received, found.upto
            events = [
                restore(record, found.position(record))
                for record in found.records
                if self._hears.matches(record.type) and record.order > lease.lanes[record.slot % LANES]
            ]
            if events:
                return [_travelling(event) for event in events]
            if found.at_head:
                await self._settle_progress(after)
                await self._ear.wait(PULSE * 2)

    async def settle(self) -> None:
        """Move the cursor past what was received."""
        if self._lease is None or self._received == self._cursor:
            return
        await self._log.ledger.settle(Settlement(self._lease, upto=self._received))
        self._cursor = self._received

    async def _settle_progress(self, after: Position) -> None:
        if self._received != after:
            await self.settle()

    async def _claimed(self) -> Lease:
        """The lease; claimed anew when members come or go, at a point where nothing is unsettled."""
        control = self._log.bell.control
        if self._lease is None or (control != self._control and self._received == self._cursor):
            self._control = control
            before, self._lease = self._lease, await self._log.ledger.claim(self._group, self._member)
            if before is None or before.fence != self._lease.fence:
                self._cursor = self._received = self._lease.cursor
        return self._lease

    def _where(self, lease: Lease) -> Where:
        return Where(self._types, None if len(lease.lanes) == LANES else frozenset(lease.lanes))


def _travelling(event: Event) -> Event:
    """The event without its place in the carrier's own log."""
    return msgspec.structs.replace(event, position=None, recorded_at=None, stream=None, stream_version=None)
