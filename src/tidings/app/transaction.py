"""`app.transaction()`: the user's own writes and events, committed together.

Either tidings commits, and what is written is recorded until then; or the user does, on a connection of their own.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from tidings.handling.outgoing import Outgoing
from tidings.handling.timing.later import Delay
from tidings.log import Log
from tidings.log.interface import Existing
from tidings.log.record import draft

Ready = Callable[[], Awaitable[tuple[Log, Outgoing]]]


class AppTransaction:
    """Statements and events that are recorded now and committed together when the block ends."""

    def __init__(self, recorded: Any, outgoing: Outgoing) -> None:
        self._recorded = recorded
        self._outgoing = outgoing

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, as last committed."""
        rows: list[tuple[Any, ...]] = await self._recorded.fetch(sql, parameters)
        return rows

    def execute(self, sql: str, parameters: Sequence[Any] = (), *, rows: int | None = None) -> None:
        """Record a statement; with `rows`, one that must touch so many rows or nothing is committed.

        Raises:
            TransactionMisuse: it would end the transaction.
        """
        self._recorded.execute(sql, parameters, rows=rows)

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Record one statement with many sets of parameters.

        Raises:
            TransactionMisuse: it would end the transaction.
        """
        self._recorded.executemany(sql, parameters)

    def publish(
        self, value: Any, data: Any = None, *, delay: Delay | None = None, at: datetime | None = None, **attributes: Any
    ) -> str:
        """Record an event, or schedule it, as `app.publish` does, and give its id.

        Raises:
            ContractError, InvalidEvent: it cannot be recorded.
        """
        event = self._outgoing.event(value, **({"data": data} if isinstance(value, str) else {}), **attributes)
        if delay is not None or at is not None:
            later = self._outgoing.later(event, value, delay=delay, at=at)
            if later is not None:
                self._recorded.timers.append(later[1])
                return event.id
        self._recorded.drafts.append(draft(event, public=self._outgoing.is_public(event.type)))
        return event.id


class ExistingTransaction:
    """Statements and events on a connection of the user's own: each runs at once, and the user's commit keeps it."""

    def __init__(self, existing: Existing, outgoing: Outgoing) -> None:
        self._existing = existing
        self._outgoing = outgoing

    def execute(self, sql: str, parameters: Sequence[Any] = (), *, rows: int | None = None) -> Any:
        """Run a statement and give its cursor.

        Raises:
            TransactionMisuse: it would end the transaction; the connection itself can do that.
            Conflict: it touched another number of rows than `rows`.
        """
        return self._existing.execute(sql, parameters, rows=rows)

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> Any:
        """Run one statement with many sets of parameters."""
        return self._existing.executemany(sql, parameters)

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query, what was written here included."""
        rows: list[Any] = self._existing.fetch(sql, parameters)
        return rows

    def publish(self, value: Any, data: Any = None, **attributes: Any) -> str:
        """Write an event, as `app.publish` does, into the transaction, and give its id; again, it is written once.

        Raises:
            ContractError, InvalidEvent, IdReused: it cannot be recorded; the transaction goes on.
            LogLocked, DiskFull: nothing was written; roll back, and run the transaction again.
        """
        event = self._outgoing.event(value, **({"data": data} if isinstance(value, str) else {}), **attributes)
        self._existing.append([draft(event, public=self._outgoing.is_public(event.type))])
        return event.id

    async def finish(self) -> None:
        """Write what had to wait for the end of the block; the block does this by itself."""
        await self._existing.finish()


@contextlib.asynccontextmanager
async def recorded(ready: Ready) -> AsyncIterator[AppTransaction]:
    """A transaction of the log's."""
    log, outgoing = await ready()
    async with log.transaction() as tx:
        yield AppTransaction(tx, outgoing)


@contextlib.asynccontextmanager
async def existing(ready: Ready, connection: object) -> AsyncIterator[ExistingTransaction]:
    """A transaction that the user has begun, on the event loop's own thread.

    It does not open one: who has the writers' lock and awaits would stop whoever waits for it on the same loop.
    """
    with joined(*await ready(), connection, may_open=False) as tx:
        yield tx
        await tx.finish()


@contextlib.contextmanager
def joined(log: Log, outgoing: Outgoing, connection: object, *, may_open: bool = True) -> Iterator[ExistingTransaction]:
    """A transaction of the user's; see `Log.existing`."""
    with log.existing(connection, may_open=may_open) as tx:
        yield ExistingTransaction(tx, outgoing)
