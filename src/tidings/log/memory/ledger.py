"""Groups, lanes and what is parked: the ledger's questions, put to the state in memory."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from tidings.clock import Clock
from tidings.errors import ConfigurationError, Fenced
from tidings.log.balance import whole
from tidings.log.interface import Appended, Group, GroupStatus, Held, Lease, Parked, Settlement
from tidings.log.memory import parked
from tidings.log.memory.group import KnownGroup
from tidings.log.memory.state import State
from tidings.log.memory.transaction import no_sql
from tidings.log.position import Position
from tidings.log.turn import in_turn


class MemoryLedger:
    """The ledger of a log in memory."""

    def __init__(self, state: State, clock: Clock, ready: Callable[[], Awaitable[None]]) -> None:
        self._state = state
        self._clock = clock
        self._ready = ready  # the log's
        self._entered: set[str] = set()

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
        self._state.bury([name for name in self._members() if whole(name) == member])
        self._state.ring(control=True)

    async def pulse(self, member: str) -> None:
        """Free the lanes of members whose log was closed before they left."""
        await self._ready()
        lost = sorted(name for name in self._members() if whole(name) not in self._state.alive)
        if lost:
            self._state.bury(lost)
            self._state.ring(control=True)

    async def join(self, group: Group) -> None:
        """Record the group's start, if it is new."""
        await self._ready()
        known = self._state.groups.get(group.name)
        if known is not None:
            known.patterns = group.patterns
            return
        self._state.groups[group.name] = KnownGroup.starting(group.patterns, self._start(group.start))
        self._state.ring(control=True)

    async def claim(self, group: str, member: str) -> Lease:
        """Take this member's fair share of the lanes; see `share`."""
        await self._ready()
        known = self._state.groups.get(group)
        if known is None:
            raise ConfigurationError(f"there is no group {group!r}: it was deleted; start its application again")
        if known.take_share(member):
            self._state.ring(control=True)
        return known.lease(group, member, self._state.epoch)

    async def release(self, group: str, member: str) -> None:
        """Give all lanes of one group back."""
        await self._ready()
        if group in self._state.groups:
            self._state.groups[group].give_back(member)
            self._state.ring(control=True)

    async def settle(self, settlement: Settlement) -> Appended | None:
        """Do all that the settlement says, or nothing."""
        if settlement.work is not None or settlement.writes:
            raise no_sql()
        await self._ready()
        state, now = self._state, self._clock.now()
        group = self._owned(settlement.lease)
        order = 0 if settlement.upto is None else state.order(settlement.upto)
        _answer(group, settlement, order, now)  # nothing fails from here on
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
        return parked.held(self._parked(lease))

    async def groups(self) -> list[GroupStatus]:
        """Every group there is."""
        await self._ready()
        state = self._state
        readers = [(name, group) for name, group in sorted(state.groups.items()) if group.patterns]
        return [group.status(name, state.epoch, state.tip) for name, group in readers]

    async def parked(self, group: str | None = None, state: str | None = None, limit: int = 1000) -> list[Parked]:
        """What is set aside, oldest first."""
        await self._ready()
        known = [known for name, known in self._state.groups.items() if group in (None, name)]
        chosen = [one for each in known for one in parked.every(each) if state in (None, one.state)]
        return [self._state.with_record(one) for one in sorted(chosen, key=lambda one: one.order)[:limit]]

    async def retry(self, group: str, orders: Sequence[int] | None = None) -> int:
        """Make parked events due now; their attempts start again."""
        await self._ready()
        count = parked.retry(self._state.group(group), orders)
        self._state.ring(control=True)
        return count

    async def discard(self, group: str, orders: Sequence[int] | None = None, *, followers: bool = False) -> int:
        """Drop dead events for good, and with `followers` those that wait behind them."""
        await self._ready()
        count = parked.discard(self._state.group(group), orders, followers=followers)
        self._state.ring(control=True)
        return count

    async def set_state(self, group: str, state: Literal["live", "paused"]) -> None:
        """Pause or resume a group."""
        await self._ready()
        self._state.group(group).state = state
        self._state.ring(control=True)

    async def reset(self, group: str, to: Position) -> None:
        """Move every lane to `to`, and forget what is parked."""
        await self._ready()
        self._state.group(group).restart(self._state.order(to))
        self._state.ring(control=True)

    async def forget(self, group: str) -> None:
        """Delete a group."""
        await self._ready()
        self._state.group(group)
        del self._state.groups[group]
        self._state.ring(control=True)

    def abandon(self) -> None:
        """Leave as a process does that dies: the next `pulse` of another member notices."""
        self._state.alive -= self._entered
        self._entered.clear()

    def _members(self) -> set[str]:
        return {name for group in self._state.groups.values() for name in group.members}

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


def _answer(group: KnownGroup, settlement: Settlement, order: int, now: float) -> None:
    for number in settlement.lease.lanes:
        group.lanes[number].position = max(group.lanes[number].position, order)
    for done in settlement.cleared:
        group.parked.pop(done, None)
    for one in settlement.parked:
        parked.keep(group, settlement.lease.group, one, now)
