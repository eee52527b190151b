"""The ledger in a Postgres log's database: who is alive by the server's word, and settlements under rows' locks."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tidings.clock import Clock
from tidings.errors import Fenced
from tidings.log.group import GroupStatus, Lease
from tidings.log.postgres.connection import Connection
from tidings.log.postgres.edge import Edge
from tidings.log.postgres.members import Members
from tidings.log.postgres.orders import MOMENT
from tidings.log.postgres.session import Placed, Session
from tidings.log.postgres.threads import Threads
from tidings.log.postgres.transaction import Guard, OpenTransaction
from tidings.log.relational import standing
from tidings.log.relational.ledger import RelationalLedger
from tidings.log.relational.retention import SIGN_EVERY
from tidings.log.relational.timers import StoredTimers
from tidings.log.settlement import Settlement
from tidings.log.slices import Appended

_MOST_COUNTED = 1_000_000  # events of a lag: beyond that nobody needs to know it to the last one
_LAG = f"""
SELECT count(*) FROM (
  SELECT 1 FROM tidings_events WHERE position > ? AND position <= ? LIMIT {_MOST_COUNTED}) AS behind"""
_OWNED = f"""
SELECT lane, position, {MOMENT} FROM tidings_lanes
WHERE group_name = ? AND owner = ? AND fence = ? ORDER BY lane FOR UPDATE"""
_TURN = "SELECT pg_advisory_xact_lock(hashtext('tidings timers'), hashtext(?))"
_MEMBERS = "SELECT DISTINCT member FROM tidings_members"


class PostgresLedger(RelationalLedger):
    """The ledger in a Postgres log's database."""

    _threads: Threads

    def __init__(self, threads: Threads, members: Members, edge: Edge, clock: Clock) -> None:
        super().__init__(threads, clock)
        self._members = members
        self._edge = edge
        self._seen_at: dict[str, float] = {}
        self._alone = " FOR UPDATE"
        self.timers = StoredTimers(threads, clock, self._take_turn)

    async def enter(self) -> str:
        """Become a member: a row, and a lock that this process's session holds."""
        return await self._threads.ask_watch(self._members.enter)

    async def leave(self, member: str) -> None:
        """Give back every lane, in every group, and be a member no more."""
        seen = self._clock.now()
        await self._threads.write(lambda session, careful: self._leave(session, member, seen))
        await self._threads.ask_watch(lambda connection: self._members.leave(connection, member))

    async def pulse(self, member: str) -> None:
        """Show that this member works, and bury those that died or have stood still longer than a lease."""
        lost = await self._threads.ask_watch(lambda connection: self._look_around(connection, member))
        if lost:
            await self._threads.write(lambda session, careful: self._bury(session, lost))
            await self._threads.ask_watch(lambda connection: self._members.forget(connection, lost))
        now = self._clock.now()
        if abs(now - self._seen_at.get(member, -math.inf)) > SIGN_EVERY:
            await self._threads.write(lambda session, careful: self._see(session, member, now))
            self._seen_at[member] = now

    async def settle(self, settlement: Settlement) -> Appended | None:
        """Commit the whole settlement in one transaction; one with a handler's own SQL holds up nobody else."""
        guard = Guard(settlement.lease.group) if settlement.work is not None else None
        appended: Appended | None = await self._threads.write(
            lambda session, careful: self._settle(session, settlement, guard, careful=careful),
            exclusive=guard is not None or bool(settlement.writes),
            weight=1 + len(settlement.events) + len(settlement.timers),
            guard=guard,
        )
        return appended if appended is not None and appended.last else None

    async def groups(self) -> list[GroupStatus]:
        """Every group there is."""
        epoch, now = self._threads.epoch, self._clock.now()

        def ask(connection: Connection) -> list[GroupStatus]:
            head, known = self._edge.look(connection), dict[int, int]()

            def lag(order: int) -> int:
                if order not in known:
                    known[order] = connection.execute(_LAG, (order, head)).fetchone()[0] if order < head else 0
                return known[order]

            return standing.statuses(connection, self._members.signs(connection), epoch, now, lag)

        return await self._threads.read(ask)

    def _take_turn(self, session: Session) -> None:
        """One transaction fires timers at a time; it has no number yet, and so stands behind those before it."""
        session.connection.execute(_TURN, (self._threads.schema,))

    def _end(self, connection: Any) -> int:
        return self._edge.look(connection)

    def _execute(self, session: Session) -> Callable[[str, Sequence[Any]], Any]:
        return session.run

    def _look_around(self, connection: Connection, member: str) -> Mapping[str, float]:
        """Who is lost, and when each was last seen; and what no bell has told."""
        self._members.sign(connection, member)
        self._threads.watch.look(connection)
        signs, now = self._members.signs(connection), self._clock.now()
        known = {row[0] for row in connection.execute(_MEMBERS)} | set(signs.dead)
        lost = sorted(name for name in known if not (self._members.is_own(name) or signs.is_alive(name)))
        return {name: min(signs.last_sign(name) or now, now) for name in lost}

    def _settle(self, session: Session, settlement: Settlement, guard: Guard | None, *, careful: bool) -> Placed:
        """The handler's own work comes first: until its first statement no transaction is open."""
        if settlement.work is not None and guard is not None:
            session.writes += 1
            guard.tx = tx = OpenTransaction(session, guard)
            try:
                settlement.work(tx, careful=careful)
            finally:
                guard.tx = None
        places = self._check_fence(session, settlement.lease)
        placed: Placed = self._conclude(session, settlement, places, careful=careful)
        return placed

    def _check_fence(self, session: Session, lease: Lease) -> list[tuple[int, int]]:
        """The lease's lanes stay its own until the commit; gives (order, lanes as bits) of where they are."""
        asked = (session.moment, lease.group, lease.member, lease.fence)
        rows = session.connection.execute(_OWNED, asked).fetchall()
        if not rows or len(rows) != len(lease.lanes):
            raise Fenced(lease.group, lease.member)
        session.learn(rows[0][2])
        places: dict[int, int] = {}
        for lane, position, _ in rows:
            places[position] = places.get(position, 0) | 1 << lane
        return sorted(places.items())
