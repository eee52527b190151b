"""The ledger in a SQLite log's file: what of it only SQLite's locks and member files can tell."""

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from tidings.clock import Clock
from tidings.errors import Fenced
from tidings.log.bell import Bell, Counters
from tidings.log.group import GroupStatus, Lease
from tidings.log.pulse import PULSE
from tidings.log.relational import lineage, standing
from tidings.log.relational.ledger import RelationalLedger
from tidings.log.relational.retention import SIGN_EVERY
from tidings.log.settlement import Settlement
from tidings.log.slices import Appended
from tidings.log.sqlite.members import Members
from tidings.log.sqlite.reading import before_first
from tidings.log.sqlite.schema import counters_of, tip_of
from tidings.log.sqlite.session import Session
from tidings.log.sqlite.sidecar import Sidecar
from tidings.log.sqlite.threads import Threads
from tidings.log.sqlite.transaction import OpenTransaction

_LONGEST: Final = 2.5  # seconds that a member which waits need not show itself
_SIGNS: Final = 4  # in the time after which it would be taken for one that stands still
_OWNED = "SELECT count(*), 0, 0, 0 FROM tidings_lanes WHERE group_name = ? AND owner = ? AND fence = ?"
_PLACED = _OWNED.replace("0, 0, 0", "min(position), max(position), sum(1 << lane)")


class SqliteLedger(RelationalLedger):
    """The ledger in a SQLite log's file."""

    _threads: Threads

    def __init__(self, threads: Threads, members: Members, sidecar: Sidecar, bell: Bell, clock: Clock) -> None:
        super().__init__(threads, clock)
        self._members = members
        self._sidecar = sidecar
        self._bell = bell
        self._seen_at: dict[str, float] = {}
        self._version: int | None = None  # SQLite's, as of the last look
        self._known: set[str] = set()  # members, likewise
        self.pulse_every = max(min(members.lease / _SIGNS, _LONGEST), PULSE)

    async def enter(self) -> str:
        """Become a member: a locked file says that this process lives. Its reader's thread looks around meanwhile."""
        return await self._threads.read(lambda connection: self._enter())

    async def leave(self, member: str) -> None:
        """Give back every lane, in every group, and be a member no more."""
        seen = self._clock.now()
        try:
            await self._threads.write(lambda session, careful: self._leave(session, member, seen))
        finally:  # where that failed the next pulse of anybody gives the lanes back
            await self._threads.read(lambda connection: self._leave_file(member))

    async def pulse(self, member: str) -> None:
        """Show that this member works, and bury those that died or have stood still longer than a lease."""
        if lost := await self._threads.read(lambda connection: self._show(connection, member)):
            await self._threads.write(lambda session, careful: self._bury(session, lost))
            await self._threads.read(lambda connection: self._members.forget(list(lost)))
        now = self._clock.now()
        if abs(now - self._seen_at.get(member, -math.inf)) > SIGN_EVERY:
            await self._threads.write(lambda session, careful: self._see(session, member, now))
            self._seen_at[member] = now

    async def settle(self, settlement: Settlement) -> Appended | None:
        """Commit the whole settlement in one transaction."""
        appended: Appended | None = await self._threads.write(
            lambda session, careful: self._settle(session, settlement, careful=careful),
            exclusive=settlement.work is not None or bool(settlement.writes),
            essential=True,
            weight=1 + len(settlement.events) + len(settlement.timers),
        )
        return appended

    async def groups(self) -> list[GroupStatus]:
        """Every group there is."""
        members, epoch, now = self._members, self._threads.epoch, self._clock.now()

        def ask(connection: Any) -> list[GroupStatus]:
            tip, first = tip_of(connection), before_first(connection)
            return standing.statuses(connection, members, epoch, now, lambda order: tip - max(order, first))

        return await self._threads.read(ask)

    def close(self) -> None:
        """Be no member any more, as when a process dies: the next `pulse` of another one frees the lanes."""
        self._members.close()

    def _end(self, connection: Any) -> int:
        return tip_of(connection)

    def _execute(self, session: Session) -> Callable[[str, Sequence[Any]], Any]:
        return session.connection.execute

    def _enter(self) -> str:
        is_first, member = self._members.is_empty, self._members.enter()
        if is_first:
            self._threads.look_every(PULSE, self._look_unasked)
        return member

    def _leave_file(self, member: str) -> None:
        self._members.leave(member)
        if self._members.is_empty:
            self._threads.look_every(PULSE, None)

    def _show(self, connection: Any, member: str) -> dict[str, float]:
        self._members.show(member)
        return self._look_around(connection)

    def _look_unasked(self, connection: Any) -> None:
        """For commits that rang no bell, and members that died: who waits for the bell is woken, and sees to it."""
        with contextlib.suppress(Exception):  # who asks next meets it; the thread must live
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            if version != self._version:  # somebody has committed
                self._look_around(connection)
                self._version = version
            if not self._known.isdisjoint(self._members.lost(self._known)):
                self._bell.ring()

    def _look_around(self, connection: Any) -> dict[str, float]:
        """Ring the bell when there is news; who is lost, and when each was last seen."""
        self._threads.check_file()
        self._known = {row[0] for row in connection.execute("SELECT DISTINCT member FROM tidings_members")}
        head = self._sidecar.read_head()
        tip = self._threads.epoch.position(tip_of(connection))
        counters = counters_of(connection).latest(head.counters if head else Counters())
        now = self._clock.now()
        self._bell.news(tip, counters)
        return {name: min(self._members.last_sign(name) or now, now) for name in self._members.lost(self._known)}

    def _settle(self, session: Session, settlement: Settlement, *, careful: bool) -> Appended | None:
        lease = settlement.lease
        least, most, lanes = self._check_fence(session, lease)
        if settlement.work is not None:
            session.flush()
            session.writes += 1
            with OpenTransaction(session.connection) as tx:
                settlement.work(tx, careful=careful)
        places: list[tuple[int, int]] = []
        if self.keeps_lineage and settlement.upto is not None:
            places = [(least, lanes)] if least == most else lineage.places(session, lease)
        first = session.tip + 1
        self._conclude(session, settlement, places, careful=careful)
        if session.tip < first:
            return None
        return Appended(session.epoch.position(first), session.epoch.position(session.tip))

    def _check_fence(self, session: Session, lease: Lease) -> tuple[int, int, int]:
        """For the lineage: the order of the lease's slowest lane, that of its fastest, and all its lanes as bits."""
        sql = _PLACED if self.keeps_lineage else _OWNED
        owner = (lease.group, lease.member, lease.fence)
        owned, least, most, lanes = session.connection.execute(sql, owner).fetchone()
        if not owned or owned != len(lease.lanes):
            raise Fenced(lease.group, lease.member)
        return least, most, lanes
