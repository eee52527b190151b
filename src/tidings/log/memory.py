"""The log in memory: plain lists and dicts, for tests and trials, and the reference that shows what the seam means.

Nothing here awaits between its first change and its last, so every call happens whole or not at all. A log belongs to
one event loop. It has no SQL, so `tx` of a handler can append events and nothing else.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from msgspec.structs import replace

from tidings.clock import Clock, SystemClock
from tidings.errors import (
    ConfigurationError,
    Fenced,
    LogClosed,
    LogDamaged,
    LogError,
    TransactionMisuse,
)
from tidings.events import Event
from tidings.log.balance import share
from tidings.log.bell import Bell
from tidings.log.expectation import conflict, distinct, holds, recorded_before
from tidings.log.interface import (
    ALL,
    ANY,
    LANES,
    Appended,
    Expect,
    Group,
    GroupStatus,
    Held,
    Lease,
    Parked,
    Settlement,
    Slice,
    Where,
)
from tidings.log.position import START, Epoch, Position, order_of
from tidings.log.record import Draft, Record, damaged, draft
from tidings.log.tailing import tail


@dataclass(slots=True)
class _Lane:
    position: int  # all up to here is answered
    owner: str | None = None
    fence: int = 0  # the owner's; a settlement with another one commits nothing


@dataclass(slots=True)
class _Group:
    patterns: tuple[str, ...]
    lanes: list[_Lane]
    state: Literal["live", "paused"] = "live"
    fence: int = 0  # the last one given out
    members: set[str] = field(default_factory=set)
    parked: dict[int, Parked] = field(default_factory=dict)  # by order


class _Memory:
    """What a log holds; shared by all that opened it under one name."""

    def __init__(self) -> None:
        self.epoch = Epoch.first()
        self.bell = Bell()
        self.records: list[Record] = []  # order n stands at n - 1
        self.public: list[bool] = []  # beside each record
        self.keys: list[str | None] = []
        self.by_id: dict[tuple[str, str], int] = {}  # (id, source) -> order
        self.streams: dict[str, list[Record]] = {}  # version n stands at n - 1
        self.groups: dict[str, _Group] = {}
        self.alive: set[str] = set()  # members whose log is open
        self.numbers = itertools.count(1)  # of members
        self.users = 0

    @property
    def tip(self) -> int:
        return len(self.records)

    def order(self, position: Position) -> int:
        return order_of(position, [self.epoch], self.tip)

    def append(self, drafts: Sequence[Draft], stream: str | None, expect: Expect, now: float) -> Appended:
        before = recorded_before(drafts, [self._found(draft) for draft in drafts])
        position = self.epoch.position
        if before is not None:
            return Appended(position(before.first), position(before.last), before.stream_version, duplicate=True)
        version = len(self.streams.get(stream, ())) if stream is not None else None
        if stream is not None and version is not None and not holds(expect, version):
            raise conflict(stream, expect, version)
        first = self.tip + 1
        self._write(drafts, stream, now)
        return Appended(position(first), position(self.tip), None if version is None else version + len(drafts))

    def absorb(self, drafts: Sequence[Draft], now: float) -> int:
        new = [draft for draft in distinct(drafts) if (draft.id, draft.source) not in self.by_id]
        self._write(new, None, now)
        return len(new)

    def group(self, name: str) -> _Group:
        if name not in self.groups:
            raise ConfigurationError(f"there is no group {name!r}: 'tidings groups' lists those there are")
        return self.groups[name]

    def bury(self, members: Iterable[str]) -> None:
        """Free the lanes of `members` in every group."""
        for name in members:
            for group in self.groups.values():
                _give_back(group, name)

    def ring(self, *, control: bool = False) -> None:
        self.bell.news(self.epoch.position(self.tip), self.bell.control + control)

    def _found(self, draft: Draft) -> tuple[int, int | None, str, bytes, str | None] | None:
        order = self.by_id.get((draft.id, draft.source))
        if order is None:
            return None
        record = self.records[order - 1]
        return order, record.stream_version, record.type, record.data, self.keys[order - 1]

    def _write(self, drafts: Sequence[Draft], stream: str | None, now: float) -> None:
        # Log time never falls, whatever the clock does.
        recorded_at = max(int(now * 1e6), self.records[-1].recorded_at if self.records else 0)
        for one in drafts:
            record = Record(
                self.tip + 1,
                one.type,
                one.version,
                one.data,
                one.checksum,
                one.slot,
                recorded_at,
                stream,
                None,
                one.envelope,
            )
            if stream is not None:
                self.streams.setdefault(stream, []).append(record)
                record.stream_version = len(self.streams[stream])
            self.records.append(record)
            self.public.append(one.public)
            self.keys.append(one.key)
            self.by_id[one.id, one.source] = record.order
        if drafts:
            self.ring()


_named: dict[str, _Memory] = {}  # the logs open by name; the last to close one forgets it


class MemoryLog:
    """A log that lasts as long as somebody has it open. Make it with `open`."""

    def __init__(self, name: str, memory: _Memory, clock: Clock) -> None:
        self.url = f"memory:{name}"
        self.bell = memory.bell
        self.ledger = MemoryLedger(self, memory, clock)
        self.is_closed = False
        self._name = name
        self._memory = memory
        self._clock = clock

    @classmethod
    async def open(cls, path: str = "", *, clock: Clock | None = None) -> Self:
        """A new log; or, under a name, the one that others in this process have open under it."""
        memory = _named.setdefault(path, _Memory()) if path else _Memory()
        memory.users += 1
        return cls(path, memory, clock or SystemClock())

    async def append(
        self,
        events: Sequence[Event],
        *,
        stream: str | None = None,
        expect: Expect = ANY,
        tx: Any = None,
        public: bool | None = None,
    ) -> Appended:
        """Record `events`, all or none; see `Log.append`."""
        shown = stream is None if public is None else public
        drafts = [draft(event, public=shown, stream=stream) for event in events]
        if tx is not None:
            if stream is not None or expect is not ANY:
                raise LogError("a recorded transaction appends without a stream or an expectation: leave them out")
            tx.drafts += drafts
            return Appended(START, START)
        await self.ready()
        if not drafts:
            return Appended(START, START)
        return self._memory.append(drafts, stream, expect, self._clock.now())

    async def absorb(self, events: Sequence[Event], *, public: bool = False) -> int:
        """Record those not yet recorded, and say how many were new."""
        drafts = [draft(event, public=public) for event in events]
        await self.ready()
        return self._memory.absorb(drafts, self._clock.now())

    async def scan(self, after: Position, where: Where = ALL, limit: int = 500) -> Slice:
        """One look past `after`, without waiting."""
        await self.ready()
        memory = self._memory
        start = upto = memory.order(after)
        found: list[Record] = []
        while upto < memory.tip and len(found) < limit:
            if self._is_wanted(upto, where):
                found.append(memory.records[upto])
            upto += 1
        if len(found) < limit:
            upto = memory.tip
        return self._slice(found, start, upto, lean=where.lean)

    def tail(self, *, after: Position = START, where: Where = ALL, batch: int = 500) -> AsyncIterator[Slice]:
        """Everything past `after`, in slices, and then whatever comes."""
        return tail(self, after, where, batch)

    async def read(
        self, stream: str, *, after: int = 0, upto: int | None = None, backwards: bool = False, batch: int = 500
    ) -> AsyncIterator[Slice]:
        """One stream's records by version, `after` excluded and `upto` included."""
        await self.ready()
        records = self._memory.streams.get(stream, [])[after:upto]
        if backwards:
            records.reverse()
        for start in range(0, len(records), batch):
            page = records[start : start + batch]
            yield replace(
                self._slice(page, page[0].order, page[-1].order),
                at_head=start + batch >= len(records),
            )

    async def head(self) -> Position:
        """The newest position; all that is recorded here is safe to read."""
        await self.ready()
        return self._memory.epoch.position(self._memory.tip)

    async def tip(self) -> Position:
        """The newest position given out: the same as the head."""
        return await self.head()

    async def position_at(self, moment: float) -> Position:
        """The last position recorded before `moment` (seconds since 1970 UTC, log time)."""
        await self.ready()
        earlier = itertools.takewhile(lambda record: record.recorded_at < int(moment * 1e6), self._memory.records)
        return self._memory.epoch.position(sum(1 for _ in earlier))

    async def find(self, event_id: str) -> Slice:
        """The records with this id, of whatever source."""
        await self.ready()
        orders = sorted(order for (known, _), order in self._memory.by_id.items() if known == event_id)
        return self._slice([self._memory.records[order - 1] for order in orders], 0, 0)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator["MemoryTransaction"]:
        """Events recorded in the block are appended together when it ends, and forgotten when it raises."""
        tx = self.recorder()
        yield tx
        await self.ready()
        if tx.drafts:
            self._memory.append(tx.drafts, None, ANY, self._clock.now())

    def recorder(self) -> "MemoryTransaction":
        """The `tx` of an `async def` handler."""
        return MemoryTransaction()

    async def close(self) -> None:
        """Let go of the log; its members die with it. Who closes a log last forgets it."""
        if self.is_closed:
            return
        self.is_closed = True
        self.ledger.abandon()
        self._memory.users -= 1
        if self._name and not self._memory.users:
            del _named[self._name]

    async def ready(self) -> None:
        """Let others run, so that a task which appends in a loop starves nobody.

        Raises:
            LogClosed: this log was closed.
        """
        await asyncio.sleep(0)
        if self.is_closed:
            raise LogClosed(self.url)

    def _is_wanted(self, index: int, where: Where) -> bool:
        record = self._memory.records[index]
        return (
            (where.types is None or record.type in where.types)
            and (where.lanes is None or record.slot % LANES in where.lanes)
            and (not where.public or self._memory.public[index])
        )

    def _slice(self, records: list[Record], after: int, upto: int, *, lean: bool = False) -> Slice:
        epoch = self._memory.epoch
        broken = damaged(records)
        if broken:
            raise LogDamaged("the data's checksum does not fit", [epoch.position(record.order) for record in broken])
        if lean:
            records = [Record(one.order, one.type, one.version, one.data, one.checksum) for one in records]
        return Slice(records, epoch.position(after), epoch.position(upto), upto == self._memory.tip, epoch)


class MemoryTransaction:
    """`tx` on a log in memory: events to append, and no SQL."""

    __slots__ = ("drafts", "writes")

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.writes: list[Any] = []  # never any

    def append(self, events: Sequence[Event], *, public: bool = True) -> None:
        """Record events, appended by the same commit."""
        self.drafts += [draft(event, public=public) for event in events]

    def execute(self, sql: str, parameters: Sequence[Any] = (), *, rows: int | None = None) -> None:
        """Refused: memory has no SQL."""
        raise _no_sql()

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Refused: memory has no SQL."""
        raise _no_sql()

    def commit(self) -> None:
        """Refused: it commits by itself at the end."""
        raise TransactionMisuse("commit()")

    def rollback(self) -> None:
        """Refused: raise instead."""
        raise TransactionMisuse("rollback()")


class MemoryLedger:
    """The ledger of a log in memory."""

    def __init__(self, log: MemoryLog, memory: _Memory, clock: Clock) -> None:
        self._log = log
        self._memory = memory
        self._clock = clock
        self._entered: set[str] = set()

    async def enter(self) -> str:
        """Become a member, alive until `leave` or until the log is closed."""
        await self._log.ready()
        member = f"memory-{next(self._memory.numbers)}"
        self._entered.add(member)
        self._memory.alive.add(member)
        return member

    async def leave(self, member: str) -> None:
        """Give back every lane, in every group, and be a member no more."""
        await self._log.ready()
        self._entered.discard(member)
        self._memory.alive.discard(member)
        self._memory.bury([member])
        self._memory.ring(control=True)

    async def pulse(self, member: str) -> None:
        """Free the lanes of members whose log was closed before they left."""
        await self._log.ready()
        members = {name for group in self._memory.groups.values() for name in group.members}
        lost = sorted(members - self._memory.alive)
        if lost:
            self._memory.bury(lost)
            self._memory.ring(control=True)

    async def join(self, group: Group) -> None:
        """Record the group's start, if it is new."""
        await self._log.ready()
        known = self._memory.groups.get(group.name)
        if known is not None:
            known.patterns = group.patterns
            return
        start = self._start(group.start)
        self._memory.groups[group.name] = _Group(group.patterns, [_Lane(start) for _ in range(LANES)])
        self._memory.ring(control=True)

    async def claim(self, group: str, member: str) -> Lease:
        """Take this member's fair share of the lanes; see `share`."""
        await self._log.ready()
        found = self._memory.groups.get(group)
        if found is None:
            raise ConfigurationError(f"there is no group {group!r}: it was deleted; start its application again")
        is_new = member not in found.members
        found.members.add(member)
        owned = {number for number, lane in enumerate(found.lanes) if lane.owner == member}
        wanted = share([lane.owner for lane in found.lanes], sorted(found.members), member)
        if wanted != owned:
            found.fence += 1
            for number, lane in enumerate(found.lanes):
                if number in wanted:
                    lane.owner, lane.fence = member, found.fence
                elif number in owned:
                    lane.owner = None
        if is_new or wanted != owned:
            self._memory.ring(control=True)
        lanes = {number: found.lanes[number].position for number in sorted(wanted)}
        fence = max((found.lanes[number].fence for number in wanted), default=found.fence)
        epoch = self._memory.epoch
        cursor = epoch.position(min(lanes.values(), default=0))
        return Lease(group, member, fence, lanes, cursor, epoch, found.state, len(found.members))

    async def release(self, group: str, member: str) -> None:
        """Give all lanes of one group back."""
        await self._log.ready()
        if group in self._memory.groups:
            _give_back(self._memory.groups[group], member)
            self._memory.ring(control=True)

    async def settle(self, settlement: Settlement) -> Appended | None:
        """Do all that the settlement says, or nothing."""
        if settlement.work is not None or settlement.writes:
            raise _no_sql()
        await self._log.ready()
        group = self._owned(settlement.lease)
        order = 0 if settlement.upto is None else self._memory.order(settlement.upto)
        now = self._clock.now()
        for number in settlement.lease.lanes:  # nothing fails from here on
            group.lanes[number].position = max(group.lanes[number].position, order)
        for done in settlement.cleared:
            group.parked.pop(done, None)
        for one in settlement.parked:
            _keep(group, settlement.lease.group, one, now)
        first = self._memory.tip + 1
        if not self._memory.absorb(settlement.events, now):
            return None
        return Appended(self._memory.epoch.position(first), self._memory.epoch.position(self._memory.tip))

    async def due(self, lease: Lease, now: float, limit: int = 500) -> list[Parked]:
        """What may be handled again, in the order of the log."""
        await self._log.ready()
        found: list[Parked] = []
        stopped: set[str] = set()  # keys at an event that has to be waited for
        for one in self._of(lease):
            is_ready = one.state == "retry" and one.due <= now
            if one.key is None or not one.blocks:
                if is_ready:
                    found.append(one)
            elif one.key not in stopped and (is_ready or one.state == "blocked"):
                found.append(one)
            else:
                stopped.add(one.key)
        return [self._with_record(one) for one in found[:limit]]

    async def held(self, lease: Lease) -> Held:
        """The keys that wait, in the lease's lanes."""
        await self._log.ready()
        heads: dict[str, Parked] = {}
        counts: dict[str, int] = {}
        blocked = 0
        waits: list[float] = []
        for one in self._of(lease):
            if one.key is not None and one.blocks:
                heads.setdefault(one.key, one)
                counts[one.key] = counts.get(one.key, 0) + 1
                blocked += one.state == "blocked"
            elif one.state == "retry":
                waits.append(one.due)
        waits += [0.0 if head.state == "blocked" else head.due for head in heads.values() if head.state != "dead"]
        return Held(counts, min(waits, default=None), blocked)

    async def groups(self) -> list[GroupStatus]:
        """Every group there is."""
        await self._log.ready()
        return [self._status(name, group) for name, group in sorted(self._memory.groups.items())]

    async def parked(self, group: str | None = None, state: str | None = None, limit: int = 1000) -> list[Parked]:
        """What is set aside, oldest first."""
        await self._log.ready()
        every = [one for name, known in self._memory.groups.items() if group in (None, name) for one in _sorted(known)]
        chosen = [one for one in every if state in (None, one.state)]
        return [self._with_record(one) for one in sorted(chosen, key=lambda one: one.order)[:limit]]

    async def retry(self, group: str, orders: Sequence[int] | None = None) -> int:
        """Make parked events due now; their attempts start again."""
        await self._log.ready()
        known = self._memory.group(group)
        chosen = [one for one in _chosen(known, orders) if one.state != "blocked"]
        for one in chosen:
            known.parked[one.order] = replace(one, state="retry", due=0.0, attempts=0)
        self._memory.ring(control=True)
        return len(chosen)

    async def discard(self, group: str, orders: Sequence[int] | None = None, *, followers: bool = False) -> int:
        """Drop dead events for good, and with `followers` those that wait behind them."""
        await self._log.ready()
        known = self._memory.group(group)
        chosen = [one for one in _chosen(known, orders) if one.state == "dead"]
        if followers:
            heads: dict[str | None, int] = {one.key: one.order for one in reversed(chosen) if one.blocks and one.key is not None}
            blocked = [one for one in _sorted(known) if one.state == "blocked"]
            chosen += [one for one in blocked if one.order > heads.get(one.key, one.order)]
        for one in chosen:
            del known.parked[one.order]
        self._memory.ring(control=True)
        return len(chosen)

    async def set_state(self, group: str, state: Literal["live", "paused"]) -> None:
        """Pause or resume a group."""
        await self._log.ready()
        self._memory.group(group).state = state
        self._memory.ring(control=True)

    async def reset(self, group: str, to: Position) -> None:
        """Move every lane to `to`, and forget what is parked."""
        await self._log.ready()
        known, order = self._memory.group(group), self._memory.order(to)
        known.fence += 1  # whoever is in the middle of a batch must not move the lanes back
        known.parked.clear()
        for lane in known.lanes:
            lane.position, lane.owner = order, None
        self._memory.ring(control=True)

    async def forget(self, group: str) -> None:
        """Delete a group."""
        await self._log.ready()
        self._memory.group(group)
        del self._memory.groups[group]
        self._memory.ring(control=True)

    def abandon(self) -> None:
        """Leave as a process does that dies: the next `pulse` of another member notices."""
        self._memory.alive -= self._entered
        self._entered.clear()

    def _start(self, start: str) -> int:
        if start == "earliest":
            return 0
        return self._memory.tip if start == "latest" else self._memory.order(start)

    def _owned(self, lease: Lease) -> _Group:
        group = self._memory.groups.get(lease.group)
        lanes = [] if group is None else group.lanes
        owned = {n for n, lane in enumerate(lanes) if lane.owner == lease.member and lane.fence == lease.fence}
        if group is None or not owned or owned != lease.lanes.keys():
            raise Fenced(lease.group, lease.member)
        return group

    def _of(self, lease: Lease) -> list[Parked]:
        group = self._memory.groups.get(lease.group)
        return [] if group is None else [one for one in _sorted(group) if one.slot % LANES in lease.lanes]

    def _with_record(self, one: Parked) -> Parked:
        return replace(one, record=self._memory.records[one.order - 1] if one.order <= self._memory.tip else None)

    def _status(self, name: str, group: _Group) -> GroupStatus:
        position = min(lane.position for lane in group.lanes)
        states = [one.state for one in group.parked.values()]
        owners = sorted({lane.owner for lane in group.lanes if lane.owner is not None})
        return GroupStatus(
            name,
            group.patterns,
            group.state,
            self._memory.epoch.position(position),
            self._memory.tip - position,
            states.count("retry"),
            states.count("blocked"),
            states.count("dead"),
            tuple(owners),
        )


def _give_back(group: _Group, member: str) -> None:
    group.members.discard(member)
    for lane in group.lanes:
        if lane.owner == member:
            lane.owner = None


def _keep(group: _Group, name: str, one: Parked, now: float) -> None:
    known = group.parked.get(one.order)
    parked_at = now if known is None else known.parked_at
    group.parked[one.order] = replace(one, group=name, parked_at=parked_at, record=None)


def _sorted(group: _Group) -> list[Parked]:
    return [group.parked[order] for order in sorted(group.parked)]


def _chosen(group: _Group, orders: Sequence[int] | None) -> list[Parked]:
    return [one for one in _sorted(group) if orders is None or one.order in orders]


def _no_sql() -> ConfigurationError:
    return ConfigurationError("a log in memory has no SQL for tx or recorded writes: use sqlite:///file.db")
