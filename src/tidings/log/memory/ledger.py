"""Groups, lanes and what is parked: the ledger's questions, put to the state in memory."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Literal

from msgspec.structs import replace

from tidings.clock import Clock
from tidings.errors import ConfigurationError, Fenced
from tidings.log.balance import whole
from tidings.log.group import LANES, Group, GroupStatus, Lease, Report
from tidings.log.interface import Lineage
from tidings.log.lineage import heard
from tidings.log.memory import parked
from tidings.log.memory.group import KnownGroup
from tidings.log.memory.lineage import lineage
from tidings.log.memory.state import State
from tidings.log.memory.timers import MemoryTimers
from tidings.log.memory.transaction import no_sql
from tidings.log.parked import Held, Parked, ParkedList
from tidings.log.position import Position
from tidings.log.pulse import PULSE
from tidings.log.record import Draft
from tidings.log.refusals import answered, nothing_there
from tidings.log.settlement import Settlement
from tidings.log.slices import Appended
from tidings.log.turn import in_turn


class MemoryLedger:
    """The ledger of a log in memory."""

    def __init__(self, state: State, clock: Clock, ready: Callable[[], Awaitable[None]]) -> None:
        self._state = state
        self._clock = clock
        self._ready = ready  # the log's
        self._entered: set[str] = set()
        self.timers = MemoryTimers(state, clock, ready)
        self.keeps_lineage = False
        self.pulse_every = PULSE

    async def enter(self) -> str:
        """Become a member, alive until `leave` or until the log is closed."""
        await self._ready()
        member = f"memory-{next(self._state.numbers)}"
        self._entered.add(member)
        self._state.alive.add(member)
        return member

    async def leave(self, member: str) -> None:
        """Give back every lane, in every group, and be a member no more."""
        await self._ready()
        self._entered.discard(member)
        self._state.alive.discard(member)
        self._state.bury([name for name in self._members() if whole(name) == member], self._clock.now())
        self._state.ring(control=True)

    async def pulse(self, member: str) -> None:
        """Free the lanes of members whose log was closed before they left."""
        await self._ready()
        lost = sorted(name for name in self._members() if whole(name) not in self._state.alive)
        if lost:
            self._note_lost(lost)
            self._state.bury(lost, self._clock.now())
            self._state.ring(control=True)

    async def join(self, group: Group) -> None:
        """Record the group's start, if it is new."""
        await self._ready()
        known, now = self._state.groups.get(group.name), self._clock.now()
        if known is not None:
            known.patterns, known.orphan_after, known.last_seen = group.patterns, group.orphan_after, now
            return
        self._state.groups[group.name] = KnownGroup.starting(group, self._start(group.start), now)
        self._state.ring(control=True)

    async def claim(self, group: str, member: str, *, alone: bool = False) -> Lease:
        """Take this member's fair share of the lanes, or with `alone` all or none; see `balance`."""
        await self._ready()
        known = self._state.groups.get(group)
        if known is None:
            raise ConfigurationError(f"there is no group {group!r}: it was deleted; start its application again")
        if known.take_share(member, alone=alone):
            self._state.ring(control=True)
        return known.lease(group, member, self._state.epoch)

    async def release(self, group: str, member: str) -> None:
        """Give all lanes of one group back."""
        await self._ready()
        if group in self._state.groups:
            self._state.groups[group].give_back(member, self._clock.now())
            self._state.ring(control=True)

    async def settle(self, settlement: Settlement) -> Appended | None:
        """Do all that the settlement says, or nothing."""
        if settlement.work is not None or settlement.writes:
            raise no_sql()
        await self._ready()
        state, now = self._state, self._clock.now()
        group = self._owned(settlement.lease)
        order = 0 if settlement.upto is None else state.order(settlement.upto)
        self._note(group, settlement, order)  # nothing fails from here on
        _answer(group, settlement, order, now, next(state.changes))
        self.timers.add(settlement.timers)
        first = state.tip + 1
        if not state.absorb(settlement.events, now):
            return None
        return Appended(state.epoch.position(first), state.epoch.position(state.tip))

    async def due(self, lease: Lease, now: float, limit: int = 500) -> list[Parked]:
        """What may be handled again, in the order of the log."""
        await self._ready()
        return [self._state.with_record(one) for one in in_turn(self._parked(lease), now)[:limit]]

    async def held(self, lease: Lease) -> Held:
        """The keys that wait, in the lease's lanes."""
        await self._ready()
        group = self._state.groups.get(lease.group)
        return parked.held(self._parked(lease), frozenset() if group is None else parked.ahead(group))

    async def deferred(self, lease: Lease) -> list[Parked]:
        """What waits and holds nobody up, in the lease's lanes."""
        await self._ready()
        return [one for one in self._parked(lease) if one.state == "retry" and not one.blocks]

    async def groups(self) -> list[GroupStatus]:
        """Every group there is."""
        await self._ready()
        state, now = self._state, self._clock.now()
        readers = [(name, group) for name, group in sorted(state.groups.items()) if group.patterns]
        first = state.before_first
        return [group.status(name, state.epoch, first, state.tip, state.alive, now) for name, group in readers]

    async def parked(
        self, group: str | None = None, state: str | None = None, limit: int = 1000, *, since: int = 0
    ) -> ParkedList:
        """What is set aside, oldest first."""
        await self._ready()
        known = [known for name, known in self._state.groups.items() if group in (None, name)]
        every = [one for each in known for one in parked.every(each)]
        chosen = sorted(
            (one for one in every if state in (None, one.state) and one.change > since),
            key=lambda one: (one.order, one.group),
        )
        latest = max((one.change for one in chosen), default=0)
        return ParkedList(map(self._state.with_record, chosen[:limit]), max(len(chosen) - limit, 0), latest)

    async def set_aside(self, group: str, position: Position, reason: str) -> None:
        """Make one event a dead letter, so that the group passes over it."""
        await self._ready()
        state, known, order = self._state, self._state.group(group), self._state.order(position)
        record, before = state.record(order), known.parked.get(order)
        if record is None:
            raise nothing_there(position)
        if before is None and known.lanes[record.slot % LANES].position >= order:
            raise answered(group, position)
        event_id = next(name for (name, _), at in state.by_id.items() if at == order)
        one = before or Parked(order, record.slot, state.keys[order], event_id, record.type, "dead")
        parked.keep(
            known,
            group,
            replace(one, state="dead", due=0.0, reason=reason, blocks=False),
            self._now(),
            next(state.changes),
        )
        state.ring(control=True)

    async def retry(self, group: str, orders: Sequence[int] | None = None) -> int:
        """Make parked events due now; their attempts start again."""
        await self._ready()
        before = parked.every(self._state.group(group))
        chosen = [one for one in before if one.state != "blocked" and (orders is None or one.order in orders)]
        self._state.fates.operated(group, "retried", chosen, self._log_time())
        count = parked.retry(self._state.group(group), orders, self._now(), next(self._state.changes))
        self._state.ring(control=True)
        return count

    async def discard(self, group: str, orders: Sequence[int] | None = None, *, followers: bool = False) -> int:
        """Drop dead events for good, and with `followers` those that wait behind them."""
        await self._ready()
        known = self._state.group(group)
        before = parked.every(known)
        count = parked.discard(known, orders, followers=followers)
        gone = [one for one in before if one.order not in known.parked]
        self._state.fates.operated(group, "dropped", gone, self._log_time())
        self._state.ring(control=True)
        return count

    async def expire(self, before: float, types: Collection[str]) -> int:
        """Drop dead events of these names set aside before a moment."""
        await self._ready()
        count = sum(parked.expire(group, before, types) for group in self._state.groups.values())
        if count:
            self._state.ring(control=True)
        return count

    async def set_state(self, group: str, state: Literal["live", "paused"], why: str = "") -> None:
        """Pause or resume a group."""
        await self._ready()
        known = self._state.group(group)
        known.state, known.why = state, why
        self._state.ring(control=True)

    async def reset(self, group: str, to: Position) -> None:
        """Move every lane to `to`, and forget what is parked."""
        await self._ready()
        known, order = self._state.group(group), self._state.order(to)
        known.restart(order)
        self._state.fates.group_wide(group, "reset", order, self._log_time())
        self._state.ring(control=True)

    async def forget(self, group: str) -> None:
        """Delete a group."""
        await self._ready()
        self._state.group(group)
        del self._state.groups[group]
        self._state.fates.group_wide(group, "forgotten", 0, self._log_time())
        self._state.ring(control=True)

    async def report(self, reports: Sequence[Report]) -> None:
        """Have members' words shown with their groups."""
        await self._ready()
        for one in reports:
            known = self._state.groups.get(one.group)
            if known is not None and one.member in known.members:
                known.reports[one.member] = one

    async def note(self, group: str, before: str, after: str, events: Sequence[Draft] = ()) -> bool:
        """Replace the group's note, and record what goes with it, if it is still what it was."""
        await self._ready()
        known = self._state.groups.get(group)
        if known is None or known.note != before:
            return False
        known.note = after
        self._state.absorb(events, self._clock.now())
        return True

    async def lineage(self, places: Sequence[tuple[int, int]]) -> Lineage:
        """What is known of the events with these orders and slots."""
        await self._ready()
        return lineage(self._state.groups, self._state.fates, places)

    async def trim_lineage(self, before: float, keep: int) -> int:
        """Forget the oldest rows, a thousand at most."""
        await self._ready()
        return self._state.fates.trim(int(before * 1e6), keep)

    def abandon(self) -> None:
        """Leave as a process does that dies: the next `pulse` of another member notices."""
        self._state.alive -= self._entered
        self._entered.clear()

    def _note(self, group: KnownGroup, settlement: Settlement, order: int) -> None:
        if self.keeps_lineage:
            lease, now = settlement.lease, self._log_time()
            self._state.fates.passage(lease, group, order, heard(settlement.patterns), now)
            self._state.fates.tell(lease.group, lease.member, settlement.told, now)

    def _note_lost(self, members: Sequence[str]) -> None:
        if self.keeps_lineage:
            for member in members:
                for name, group in self._state.groups.items():
                    if group.patterns:
                        self._state.fates.lost(name, group, member, self._state.tip, self._log_time())

    def _log_time(self) -> int:
        return self._state.log_time(self._clock.now())

    def _members(self) -> set[str]:
        return {name for group in self._state.groups.values() for name in group.members}

    def _now(self) -> float:
        """The log's own time, which never falls."""
        newest = self._state.records[-1].recorded_at / 1e6 if self._state.records else 0.0
        return max(self._clock.now(), newest)

    def _start(self, start: str) -> int:
        if start == "earliest":
            return 0
        return self._state.tip if start == "latest" else self._state.order(start)

    def _owned(self, lease: Lease) -> KnownGroup:
        group = self._state.groups.get(lease.group)
        if group is None or not group.honours(lease):
            raise Fenced(lease.group, lease.member)
        return group

    def _parked(self, lease: Lease) -> list[Parked]:
        group = self._state.groups.get(lease.group)
        return [] if group is None else parked.in_lanes(group, lease)


def _answer(group: KnownGroup, settlement: Settlement, order: int, now: float, change: int) -> None:
    for number in settlement.lease.lanes:
        group.lanes[number].position = max(group.lanes[number].position, order)
    for done in settlement.cleared:
        group.parked.pop(done, None)
    for one in settlement.parked:
        parked.keep(group, settlement.lease.group, one, now, change)
