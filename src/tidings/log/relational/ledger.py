"""Groups, lanes and what is parked: the ledger's questions, as SQL run by a log's threads.

Each log adds what it alone knows: who is alive, and how a settlement's transaction holds off other owners.
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

import msgspec

from tidings.clock import Clock
from tidings.errors import ConfigurationError
from tidings.log.balance import all_or_none, share, whole
from tidings.log.group import LANES, Group, Lease, Report
from tidings.log.interface import Lineage
from tidings.log.lineage import Fate, Places
from tidings.log.parked import Held, Parked, ParkedList
from tidings.log.position import Position
from tidings.log.pulse import PULSE
from tidings.log.reading import refuse_damaged
from tidings.log.record import Draft
from tidings.log.recorded import run_writes
from tidings.log.refusals import no_group
from tidings.log.relational import lineage, parked, standing
from tidings.log.relational.session import Connection, Session, Threads
from tidings.log.relational.timers import StoredTimers
from tidings.log.settlement import Settlement
from tidings.log.slices import Appended

Divide = Callable[[Sequence[str | None], Sequence[str], str], set[int]]

_MOVE = """
UPDATE tidings_lanes SET position = CASE WHEN position < ? THEN ? ELSE position END
WHERE group_name = ? AND owner = ? AND fence = ?"""
_GROUP = "SELECT state, fence FROM tidings_groups WHERE name = ?"
_LANES = "SELECT owner, position, fence FROM tidings_lanes WHERE group_name = ? ORDER BY lane"
_RELEASED = "UPDATE tidings_groups SET last_seen = CASE WHEN last_seen < ? THEN ? ELSE last_seen END WHERE name = ?"


class RelationalLedger:
    """What the ledgers in relational databases have in common."""

    def __init__(self, threads: Threads, clock: Clock) -> None:
        self._threads = threads
        self._clock = clock
        self._passages = lineage.Passages()
        self.timers = StoredTimers(threads, clock)
        self.keeps_lineage = False
        self.pulse_every = PULSE
        self._alone = ""  # SQL that has one member at a time claim lanes of a group, where writers are not alone anyway

    @abstractmethod
    async def settle(self, settlement: Settlement) -> Appended | None:
        """Commit the whole settlement in one transaction."""

    @abstractmethod
    def _end(self, connection: Connection) -> int:
        """The order that a group begins after which is to hear what comes from now on."""

    async def join(self, group: Group) -> None:
        """Record the group's start, if it is new."""
        start = await self._threads.read(lambda connection: self._start(connection, group.start))
        now = self._clock.now()
        await self._threads.write(lambda session, careful: standing.join(session, group, start, now))

    async def claim(self, group: str, member: str, *, alone: bool = False) -> Lease:
        """Take this member's fair share of the lanes, or with `alone` all or none; see `balance`."""
        divide = all_or_none if alone else share
        lease: Lease = await self._threads.write(lambda session, careful: self._claim(session, group, member, divide))
        return lease

    async def release(self, group: str, member: str) -> None:
        """Give all lanes of one group back."""
        now = self._clock.now()
        await self._threads.write(lambda session, careful: _release(session, member, group, now))

    async def due(self, lease: Lease, now: float, limit: int = 500) -> list[Parked]:
        """What may be handled again, in the order of the log."""
        due = await self._threads.read(lambda connection: parked.due(connection, lease, now, limit))
        refuse_damaged((one.record for one in due if one.record is not None), self._threads.epoch)
        return due

    async def held(self, lease: Lease) -> Held:
        """The keys that wait, in the lease's lanes."""
        return await self._threads.read(lambda connection: parked.held(connection, lease))

    async def deferred(self, lease: Lease) -> list[Parked]:
        """What waits and holds nobody up, in the lease's lanes."""
        return await self._threads.read(lambda connection: parked.deferred(connection, lease))

    async def parked(
        self, group: str | None = None, state: str | None = None, limit: int = 1000, *, since: int = 0
    ) -> ParkedList:
        """What is set aside, oldest first."""
        found = await self._threads.read(lambda connection: parked.listed(connection, group, state, limit, since))
        for one in found:
            one.position = self._threads.epoch.position(one.order)
        return found

    async def set_aside(self, group: str, position: Position, reason: str) -> None:
        """Make one event a dead letter, so that the group passes over it."""
        order = await self._threads.read(lambda connection: self._threads.order(connection, position))
        await self._change(group, lambda session: parked.set_aside(session, group, order, position, reason))

    async def retry(self, group: str, orders: Sequence[int] | None = None) -> int:
        """Make parked events due now."""
        return await self._change(group, lambda session: lineage.retry(session, group, orders))

    async def discard(self, group: str, orders: Sequence[int] | None = None, *, followers: bool = False) -> int:
        """Drop dead events for good, and with `followers` those that wait behind them."""
        return await self._change(group, lambda session: lineage.discard(session, group, orders, followers=followers))

    async def expire(self, before: float, types: Collection[str]) -> int:
        """Drop dead events of these names set aside before a moment."""

        def run(session: Session, careful: bool) -> int:
            count = parked.expire(session, before, types)
            session.control = session.control or count > 0
            return count

        dropped: int = await self._threads.write(run)
        return dropped

    async def set_state(self, group: str, state: Literal["live", "paused"], why: str = "") -> None:
        """Pause or resume a group."""
        sql = "UPDATE tidings_groups SET state = ?, why = ? WHERE name = ?"
        await self._change(group, lambda session: session.execute(sql, (state, why, group)).rowcount)

    async def reset(self, group: str, to: Position) -> None:
        """Move every lane to `to`, and forget what is parked."""
        order = await self._threads.read(lambda connection: self._threads.order(connection, to))

        def run(session: Session) -> int:
            # The fence rises: whoever is in the middle of a batch must not move the lanes back.
            session.execute("UPDATE tidings_groups SET fence = fence + 1 WHERE name = ?", (group,))
            session.execute("DELETE FROM tidings_parked WHERE group_name = ?", (group,))
            lineage.group_wide(session, group, "reset", order)
            sql = "UPDATE tidings_lanes SET position = ?, owner = NULL WHERE group_name = ?"
            return session.execute(sql, (order, group)).rowcount

        await self._change(group, run)

    async def forget(self, group: str) -> None:
        """Delete a group."""

        def run(session: Session) -> int:
            for table in ("lanes", "members", "parked"):
                session.execute(f"DELETE FROM tidings_{table} WHERE group_name = ?", (group,))
            lineage.group_wide(session, group, "forgotten")
            return session.execute("DELETE FROM tidings_groups WHERE name = ?", (group,)).rowcount

        await self._change(group, run)

    async def report(self, reports: Sequence[Report]) -> None:
        """Have members' words shown with their groups."""
        sql = "UPDATE tidings_members SET report = ? WHERE group_name = ? AND member = ?"

        def run(session: Session, careful: bool) -> None:
            for one in reports:
                session.execute(sql, (msgspec.json.encode(one).decode(), one.group, one.member))

        await self._threads.write(run)

    async def note(self, group: str, before: str, after: str, events: Sequence[Draft] = ()) -> bool:
        """Replace the group's note, and record what goes with it, if it is still what it was."""
        sql = "UPDATE tidings_groups SET note = ? WHERE name = ? AND note = ?"

        def run(session: Session, careful: bool) -> bool:
            is_ours = session.execute(sql, (after, group, before)).rowcount == 1
            if is_ours:
                session.absorb(events, careful=careful)
            return is_ours

        noted: bool = await self._threads.write(run, weight=1 + len(events))
        return noted

    async def lineage(self, places: Sequence[tuple[int, int]]) -> Lineage:
        """What is known of the events with these orders and slots."""
        orders = [order for order, _ in places]
        if not orders:
            return Lineage([], [], [])
        groups, aside, newest = await self._threads.read(lambda connection: lineage.standing(connection, orders))
        known = Places((order, slot % LANES) for order, slot in places)
        fates: list[Fate] = []
        upto = 0
        while upto < newest:
            more, upto = await self._threads.read(lambda connection: lineage.fates(connection, known, upto))  # noqa: B023
            fates += more
        return Lineage(groups, fates, aside)

    async def trim_lineage(self, before: float, keep: int) -> int:
        """Forget the oldest rows, a thousand at most."""
        below = await self._threads.read(lambda connection: lineage.trimmable(connection, int(before * 1e6), keep))
        if not below:
            return 0
        count: int = await self._threads.write(lambda session, careful: lineage.trim(session, below))
        return count

    async def _change(self, group: str, change: Any) -> int:
        def run(session: Session, careful: bool) -> int:
            known = session.connection.execute("SELECT 1 FROM tidings_groups WHERE name = ?", (group,)).fetchone()
            if known is None:
                raise no_group(group)
            changed: int = change(session)
            session.control = True
            return changed

        count: int = await self._threads.write(run, essential=True)
        return count

    def _start(self, connection: Connection, start: str) -> int:
        if start == "earliest":
            return 0
        return self._end(connection) if start == "latest" else self._threads.order(connection, start)

    def _claim(self, session: Session, group: str, member: str, divide: Divide) -> Lease:
        connection = session.connection
        found = connection.execute(_GROUP + self._alone, (group,)).fetchone()
        if found is None:
            raise ConfigurationError(f"there is no group {group!r}: it was deleted; start its application again")
        state, fence = found
        sql = "SELECT member FROM tidings_members WHERE group_name = ? ORDER BY member"
        members = [row[0] for row in connection.execute(sql, (group,))]
        if member not in members:
            session.execute("INSERT INTO tidings_members(group_name, member) VALUES (?, ?)", (group, member))
            session.control = True
            members.append(member)
        rows = connection.execute(_LANES, (group,)).fetchall()
        wanted = divide([row[0] for row in rows], members, member)
        owned = {lane for lane, row in enumerate(rows) if row[0] == member}
        if wanted != owned:
            fence += 1
            _restamp(session, group, member, fence, wanted, owned)
        else:
            fence = max((rows[lane][2] for lane in owned), default=fence)
        lanes = {lane: rows[lane][1] for lane in sorted(wanted)}
        epoch = self._threads.epoch
        cursor = epoch.position(min(lanes.values(), default=0))
        return Lease(group, member, fence, lanes, cursor, epoch, state, len(members))

    def _conclude(
        self, session: Session, settlement: Settlement, places: Sequence[tuple[int, int]], *, careful: bool
    ) -> Any:
        """All that a settlement commits, when its fence has held; `places` are where its lanes are, for the lineage."""
        lease = settlement.lease
        if settlement.upto is not None:
            order = self._threads.order(session.connection, settlement.upto)
            if self.keeps_lineage:
                self._passages.note(session, settlement, order, places)
            session.execute(_MOVE, (order, order, lease.group, lease.member, lease.fence))
        if settlement.writes:
            session.flush()
            session.writes += 1
            run_writes(self._execute(session), settlement.writes)
        if settlement.cleared:
            parked.clear(session, lease.group, settlement.cleared)
        if settlement.parked:
            parked.keep(session, lease.group, settlement.parked, self._clock.now())
        self.timers.add(session, settlement.timers)
        if self.keeps_lineage:
            lineage.tell(session, lease.group, lease.member, settlement.told)
        return session.absorb(settlement.events, careful=careful)

    @abstractmethod
    def _execute(self, session: Any) -> Callable[[str, Sequence[Any]], Any]:
        """What runs a user's own statement."""

    def _leave(self, session: Session, member: str, seen: float) -> None:
        _bury(session, dict.fromkeys(_parts(session, member), seen))

    def _see(self, session: Session, member: str, now: float) -> None:
        standing.see(session, _parts(session, member), now)

    def _bury(self, session: Session, members: Mapping[str, float]) -> None:
        if self.keeps_lineage:
            lineage.lost(session, list(members))
        _bury(session, members)


def _restamp(session: Session, group: str, member: str, fence: int, wanted: set[int], owned: set[int]) -> None:
    session.execute("UPDATE tidings_groups SET fence = ? WHERE name = ?", (fence, group))
    for lane in range(LANES):
        if lane in wanted:
            sql = "UPDATE tidings_lanes SET owner = ?, fence = ? WHERE group_name = ? AND lane = ?"
            session.execute(sql, (member, fence, group, lane))
        elif lane in owned:
            session.execute("UPDATE tidings_lanes SET owner = NULL WHERE group_name = ? AND lane = ?", (group, lane))
    session.control = True


def _release(session: Session, member: str, group: str, now: float) -> None:
    session.execute(_RELEASED, (now, now, group))
    session.execute("DELETE FROM tidings_members WHERE group_name = ? AND member = ?", (group, member))
    session.execute("UPDATE tidings_lanes SET owner = NULL WHERE group_name = ? AND owner = ?", (group, member))
    session.control = True


def _parts(session: Session, member: str) -> list[str]:
    """Every name under which a member owns lanes."""
    names = session.connection.execute("SELECT DISTINCT member FROM tidings_members").fetchall()
    return [name for (name,) in names if whole(name) == member]


def _bury(session: Session, members: Mapping[str, float]) -> None:
    """Free the lanes of these members, each of whom was last seen at a moment."""
    for member, seen in members.items():
        known = session.connection.execute("SELECT 1 FROM tidings_members WHERE member = ? LIMIT 1", (member,))
        if known.fetchone() is None:
            continue  # a stalled member is buried once, however long it stands still
        standing.see(session, [member], seen)
        session.execute("DELETE FROM tidings_members WHERE member = ?", (member,))
        session.execute("UPDATE tidings_lanes SET owner = NULL WHERE owner = ?", (member,))
        session.control = True
