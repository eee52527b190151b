"""The connections of SQLAlchemy's drivers: a transaction that has really begun, and events written in it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from tidings.errors import ConfigurationError, PartialDuplicate
from tidings.log import Log
from tidings.log.interface import Existing
from tidings.log.record import Draft

if TYPE_CHECKING:
    from sqlalchemy import Connection

Result = TypeVar("Result")
_IDLE = 0  # psycopg's TransactionStatus: the connection is in no transaction


def begin_before_savepoint(connection: "Connection", name: str | None) -> None:
    """Begin a transaction before a savepoint of SQLite, whose release would be the commit of all that is in it.

    Python's driver begins one before INSERT, UPDATE and DELETE alone. At once for writing: a savepoint is made to
    write, and a transaction that has read before may not when another connection has written since.
    """
    raw: Any = connection.connection.driver_connection
    if not raw.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def begin(connection: "Connection") -> None:
    """Begin the transaction that the session is in, if its driver has waited for a statement to do so.

    Raises:
        ConfigurationError: each statement is committed by itself.
    """
    raw: Any = connection.connection.driver_connection
    info = getattr(raw, "info", None)
    if connection.dialect.name == "sqlite":
        if not raw.in_transaction:
            _check_commits(connection, by_itself=raw.isolation_level is None or getattr(raw, "autocommit", 0) is True)
            connection.exec_driver_sql("BEGIN IMMEDIATE")
    elif info is not None and info.transaction_status == _IDLE:
        _check_commits(connection, by_itself=raw.autocommit)
        connection.exec_driver_sql("SELECT 1")


def append(log: Log, connection: "Connection", drafts: Sequence[Draft]) -> None:
    """Write events on the connection, in its transaction: all of them or none. Those that are recorded are passed over.

    Raises:
        ConfigurationError, IdReused, LogLocked, DiskFull: as `Log.existing` and its `append` say.
    """
    raw: Any = connection.connection.driver_connection  # of any driver; the log knows its own
    if not connection.dialect.is_async:
        _append(log, raw, drafts)
    elif connection.dialect.driver == "aiosqlite":
        in_greenlet(lambda: raw._execute(_append, log, raw._conn, drafts))  # on the thread that its statements run on
    else:
        in_greenlet(lambda: _append_awaited(log, raw, drafts))


def in_greenlet(work: Callable[[], Awaitable[Result]]) -> Result:
    """Wait for `work` inside a call of an AsyncSession."""
    from sqlalchemy.util import await_only

    return await_only(work())


def _append(log: Log, raw: object, drafts: Sequence[Draft]) -> None:
    with log.existing(raw, may_open=False) as tx:
        _record(tx, drafts)


async def _append_awaited(log: Log, raw: object, drafts: Sequence[Draft]) -> None:
    with log.existing(raw, may_open=False) as tx:
        _record(tx, drafts)
        await tx.finish()


def _record(tx: Existing, drafts: Sequence[Draft]) -> None:
    try:
        tx.append(drafts)
    except PartialDuplicate:
        for draft in drafts:
            tx.append([draft])


def _check_commits(connection: "Connection", *, by_itself: bool) -> None:
    if by_itself:
        raise ConfigurationError(
            f"connections of {connection.engine!r} commit each statement by itself, so that state and event would be"
            " two commits: leave out isolation_level='AUTOCOMMIT'"
        )
