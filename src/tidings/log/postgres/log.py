"""`PostgresLog`: the log as its users hold it. Its threads do the work."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Self

from tidings.clock import Clock, SystemClock
from tidings.concurrency import DedicatedThread
from tidings.errors import ConfigurationError
from tidings.log.interface import Existing
from tidings.log.position import START, Position
from tidings.log.postgres import reading
from tidings.log.postgres.address import address_of
from tidings.log.postgres.awaiting import gathering
from tidings.log.postgres.connection import Connection
from tidings.log.postgres.driver import psycopg
from tidings.log.postgres.existing import existing_transaction
from tidings.log.postgres.ledger import PostgresLedger
from tidings.log.postgres.opening import Parts, look_at_parts, moment_of, open_parts
from tidings.log.postgres.session import Session
from tidings.log.postgres.threads import Threads
from tidings.log.postgres.transaction import fetch_within
from tidings.log.postgres.verify import examine
from tidings.log.record import Draft, mentions
from tidings.log.relational import retention
from tidings.log.relational.log import RelationalLog
from tidings.log.retention import Cut, Disk, Trimmed
from tidings.log.slices import ALL, Slice, Where
from tidings.log.verifying import Examined

_LONGEST_FETCH = 2.0  # seconds of one `await tx.fetch()`; a read model is read by a connection of one's own
_SIZE = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
WHERE c.relnamespace = ?::regnamespace AND c.relkind = 'r'"""


class PostgresLog(RelationalLog):
    """A log in one schema of a Postgres database, for any number of machines. Make it with `open`."""

    ledger: PostgresLedger
    threads: Threads

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.url = parts.address.place
        self.is_dense = False
        self._members = parts.members
        self._clock = parts.clock

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        clock: Clock | None = None,
        schema: str = "tidings",
        lock_timeout: float = 10.0,
        lease: float = 15.0,
    ) -> Self:
        """Open the log in `schema` of the database that `url` names, and make the schema when it is not there.

        For `lock_timeout` seconds a call waits for a server that is away; a member that has not shown itself for
        `lease` seconds, by the server's clock, loses its lanes.

        Raises:
            LogUnreachable, LogReadOnly, NewerSchema: it cannot be used by this process.
            ConfigurationError: the URL is none, or the schema is somebody else's.
            MissingExtra: psycopg is not installed.
        """
        known = clock or SystemClock()
        return await cls._opened(partial(open_parts, address_of(url, schema), known, lock_timeout, lease))

    @classmethod
    async def look(
        cls,
        url: str,
        *,
        clock: Clock | None = None,
        schema: str = "tidings",
        lock_timeout: float = 10.0,
        lease: float = 15.0,
    ) -> Self:
        """Open the log for reading only: nothing is made or changed, and writing is refused.

        Raises:
            ConfigurationError: there is no log.
            LogUnreachable, NewerSchema, LogReadOnly: it cannot be read.
        """
        known = clock or SystemClock()
        return await cls._opened(partial(look_at_parts, address_of(url, schema), known, lock_timeout, lease))

    async def scan(self, after: Position, where: Where = ALL, limit: int = 500) -> Slice:
        """One look past `after`, without waiting."""
        edge = self.threads.edge
        return await self.threads.read(
            lambda connection: reading.scan(connection, edge, edge.order(connection, after), where, limit)
        )

    async def tip(self) -> Position:
        """The newest position that is committed; readers may have to wait for it."""
        return self.threads.epoch.position(await self.threads.read(self.threads.edge.tip))

    async def position_at(self, moment: float) -> Position:
        """The last position recorded before `moment` (seconds since 1970 UTC, log time)."""
        edge = self.threads.edge
        order = await self.threads.read(
            lambda connection: reading.order_at(connection, edge.look(connection), int(moment * 1e6))
        )
        return self.threads.epoch.position(order)

    async def related(self, ids: Sequence[str], after: Position, limit: int = 500) -> Slice:
        """One look past `after` for records whose envelope speaks of one of these ids."""
        edge = self.threads.edge
        return await self.threads.read(
            lambda connection: reading.related(connection, edge, edge.order(connection, after), mentions(ids), limit)
        )

    async def trim(
        self, cuts: Mapping[str, Cut], after: Position = START, *, limit: int = 1000, dry_run: bool = False
    ) -> Trimmed:
        """Remove events of these names past `after`; see `Log.trim`."""
        edge, now = self.threads.edge, self._clock.now()
        if dry_run:
            return await self.threads.read(
                lambda connection: retention.plan(
                    connection,
                    edge.life.epoch,
                    cuts,
                    edge.order(connection, after),
                    limit,
                    now,
                    edge.look(connection),
                )[1]
            )
        order, head = await self.threads.read(lambda connection: (edge.order(connection, after), edge.look(connection)))

        def run(session: Session, careful: bool) -> Trimmed:
            session.begin(frozen=True)  # what a group passes and sets aside in one moment is seen in one
            return retention.trim(session, edge.life.epoch, cuts, order, limit, now, head)

        trimmed: Trimmed = await self.threads.write(run, weight=limit, exclusive=True)
        return trimmed

    async def disk(self) -> Disk:
        """What its tables and indexes take on the server."""
        schema = self.threads.schema
        size = await self.threads.read(lambda connection: connection.execute(_SIZE, (schema,)).fetchone()[0])
        return Disk(size)

    async def shrink(self) -> None:
        """Refused: it is the server that frees room, and its tools that give it back.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            f"a log in Postgres is shrunk by its own tools: run VACUUM FULL {self.threads.schema}.events in psql, while"
            " nobody writes; trimmed room is used again anyway"
        )

    async def verify(self, backup: Path | None = None) -> AsyncIterator[Examined]:
        """Read everything, in steps, and say what is wrong; see `Log.verify`."""
        if backup is not None:
            raise ConfigurationError(
                "a dump is verified by restoring it: open what pg_restore has made, and verify that"
            )
        thread = DedicatedThread("tidings-verify")
        connection = await thread.call(self.threads.connect)
        try:
            steps = examine(connection, self.threads.edge)
            while (step := await thread.call(lambda: next(steps, None))) is not None:
                yield step
        finally:
            await thread.call(connection.close)
            thread.close(wait=False)

    async def backup(self, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Refused: Postgres has tools of its own for this.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            "a log in Postgres is backed up with the database it is part of: use"
            f" pg_dump --schema={self.threads.schema}, or a base backup; restored from either it begins a new epoch"
        )

    def existing(self, connection: object, *, may_open: bool = True) -> AbstractContextManager[Existing]:
        """Events in a transaction of a `psycopg` connection to this database, sync or async; see `Log.existing`."""
        clock = self._clock
        if isinstance(connection, psycopg.AsyncConnection):
            return gathering(connection, self.threads, lambda: moment_of(clock))
        return existing_transaction(connection, self.threads, lambda: moment_of(clock), may_open=may_open)

    async def ring(self) -> None:
        """Wake the readers of every process for what was committed on a connection outside tidings."""
        await self.threads.ask_watch(self.threads.watch.ring_now)

    async def close(self) -> None:
        """Finish what was asked for, and let go of the connections."""
        if not self.threads.refuse():
            return
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._close))  # begun, it is done

    def _end(self, connection: Connection) -> int:
        return self.threads.edge.look(connection)

    def _absorb(self, session: Session, drafts: Sequence[Draft], *, careful: bool) -> int:
        return session.absorb(drafts, careful=careful).count

    def _close(self) -> None:
        self.threads.refuse()
        self.threads.close(self._members.leave_all)

    async def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        return await self.threads.read(lambda connection: fetch_within(connection, sql, parameters, _LONGEST_FETCH))
