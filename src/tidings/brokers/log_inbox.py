"""`LogInbox`: one member's part of a group on a log that serves as a carrier."""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from tidings.brokers.interface import Arrival
from tidings.clock import Clock
from tidings.events import Event, Pattern, PatternSet
from tidings.log import Lease, Log, Parked, Record, Settlement, Where
from tidings.log.bell import Ear
from tidings.log.group import LANES
from tidings.log.position import order_in
from tidings.log.record import restore

_IDLE = 1.0  # seconds without a look, when nobody rings


class LogInbox:
    """What has come for a member's lanes. An arrival's ticket is its record, whose order is its place in the log."""

    def __init__(
        self, log: Log, group: str, member: str, patterns: Sequence[str], ear: Ear, prefetch: int, clock: Clock
    ) -> None:
        self._log = log
        self._group = group
        self._member = member
        self._hears = PatternSet(patterns)
        self._types = frozenset(patterns) if all(Pattern(each).literal for each in patterns) else None
        self._ear = ear
        self._prefetch = prefetch
        self._clock = clock
        self._lease: Lease | None = None
        self._control = -1
        self._cursor = 0  # the order up to which all is settled
        self._received = 0  # the order up to which it has looked
        self._open: dict[int, Record] = {}  # handed over and not settled, in the order of the log
        self._parked: dict[int, Parked] = {}  # of these, those that were parked before
        self._due: float | None = None  # when the next parked one is
        self._patient_until = 0.0  # of the monotonic clock: since the last answer others are made room for so long
        self._passing: frozenset[int] = frozenset()  # what an operator has set aside for this group

    async def receive(self, at_most: int = 500) -> list[Arrival]:
        """The next events for this member's lanes."""
        while True:
            lease, room = await self._claimed(), min(at_most, self._prefetch - len(self._open))
            if room <= 0 or not lease.lanes or lease.state == "paused":
                await self._ear.wait(_IDLE)
                continue
            if arrivals := await self._again(lease, room):
                return arrivals
            found = await self._log.scan(lease.epoch.position(self._received), self._where(lease), room)
            self._received = order_in(found.upto)
            records = [record for record in found.records if self._is_for(record, lease)]
            if records:
                self._open.update((record.order, record) for record in records)
                self._patient_until = self._clock.monotonic() + _IDLE
                return [Arrival(travelling(restore(each, found.position(each))), each) for each in records]
            if found.at_head:
                await self._move(lease)  # what is not for this group need not be looked at again
                await self._ear.wait(self._patience())

    async def settle(self, arrivals: Sequence[Arrival] | None = None) -> None:
        """Move the cursor up to the lowest without an answer; what was parked is cleared."""
        orders = list(self._open) if arrivals is None else [each.ticket.order for each in arrivals]
        cleared = [order for order in orders if self._parked.pop(order, None) is not None]
        await self._answered(orders, cleared=cleared)

    async def retry(self, arrival: Arrival, seconds: float) -> None:
        """Park it until then."""
        await self._park(arrival, "retry", self._clock.now() + seconds, "handed back", "")

    async def reject(self, arrival: Arrival, reason: str, detail: str = "") -> None:
        """Park it as dead."""
        await self._park(arrival, "dead", 0.0, reason, detail)

    async def _park(
        self, arrival: Arrival, state: Literal["retry", "dead"], due: float, reason: str, detail: str
    ) -> None:
        record: Record = arrival.ticket
        event, order = arrival.event, record.order
        self._parked.pop(order, None)
        parked = Parked(
            order, record.slot, event.key, event.id, event.type, state, arrival.attempt, due, reason, detail
        )
        parked.blocks = False  # what order there is to keep, its reader keeps
        await self._answered([order], parked=[parked])
        if state == "retry":
            self._due = due if self._due is None else min(self._due, due)

    async def _answered(
        self, orders: Iterable[int], *, parked: Sequence[Parked] = (), cleared: Sequence[int] = ()
    ) -> None:
        for order in orders:
            self._open.pop(order, None)
        self._patient_until = self._clock.monotonic() + _IDLE
        if self._lease is not None:
            await self._move(self._lease, parked, cleared)
        self._ear.ring()  # there may be room for more

    async def _move(self, lease: Lease, parked: Sequence[Parked] = (), cleared: Sequence[int] = ()) -> None:
        ahead = [order for order in self._open if order not in self._parked]
        order = ahead[0] - 1 if ahead else self._received
        moves = order > self._cursor
        if moves or parked or cleared:
            settlement = Settlement(lease, parked=list(parked), cleared=list(cleared))
            settlement.upto = lease.epoch.position(order) if moves else None
            await self._log.ledger.settle(settlement)
            self._cursor = max(order, self._cursor)

    async def _again(self, lease: Lease, room: int) -> list[Arrival]:
        """Parked events that are due."""
        now = self._clock.now()
        if self._due is None or self._due > now:
            return []
        due = [each for each in await self._log.ledger.due(lease, now, room) if each.order not in self._parked]
        held = await self._log.ledger.held(lease)
        self._due = None if held.next_due is None else max(held.next_due, now + (0 if len(due) == room else _IDLE))
        arrivals = []
        for one in due:
            if one.record is not None:
                self._parked[one.order] = one
                self._open[one.order] = one.record
                event = travelling(restore(one.record, lease.epoch.position(one.order)))
                arrivals.append(Arrival(event, one.record, one.attempts + 1))
        return arrivals

    async def _claimed(self) -> Lease:
        """The lease; claimed anew when members come or go, at a point where nothing is unsettled.

        As long as what was handed over is being answered nothing more is, so that the others get their share; who
        answers nothing for a while goes on as before.
        """
        control = self._log.bell.control
        while control != self._control and self._open and (left := self._patient_until - self._clock.monotonic()) > 0:
            await self._ear.wait(left)
            control = self._log.bell.control
        if self._lease is None or (control != self._control and not self._open):
            self._control = control
            before, self._lease = self._lease, await self._log.ledger.claim(self._group, self._member)
            held = await self._log.ledger.held(self._lease)
            self._passing, self._due = held.passing, held.next_due
            if before is None or before.fence != self._lease.fence:
                self._cursor = self._received = min(self._lease.lanes.values(), default=0)
        return self._lease

    def _patience(self) -> float:
        return _IDLE if self._due is None else min(max(self._due - self._clock.now(), 0.0), _IDLE)

    def _is_for(self, record: Record, lease: Lease) -> bool:
        return self._hears.matches(record.type) and record.order > lease.lanes[record.slot % LANES]

    def _where(self, lease: Lease) -> Where:
        lanes = None if len(lease.lanes) == LANES else frozenset(lease.lanes)
        return Where(self._types, lanes, passing=self._passing)


def travelling(event: Event) -> Event:
    """The event without its place in the carrier's own log."""
    return msgspec.structs.replace(event, position=None, recorded_at=None, stream=None, stream_version=None)
