"""The user's own SQL inside a transaction of the log's, on the writer's thread; and their queries beside it."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from math import inf
from typing import Any, Self

from tidings.errors import Conflict, HandlerTimeout, TransactionMisuse
from tidings.log.recorded import check_statement

LONGEST_FETCH = 2.0  # seconds of one `await tx.fetch()`; a read model is read by a connection of one's own
_INSTRUCTIONS = 20_000  # of SQLite's virtual machine between two looks at the clock: well under a millisecond


class OpenTransaction:
    """`tx` of a plain `def` handler: it runs inside the transaction, and reads its own writes."""

    __slots__ = ("_connection", "deadline")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.deadline = inf  # of the monotonic clock: statements that run past it are interrupted

    def __enter__(self) -> Self:
        self._connection.set_progress_handler(self._is_late, _INSTRUCTIONS)
        return self

    def __exit__(self, *raised: object) -> None:
        self._connection.set_progress_handler(None, 0)

    @property
    def is_open(self) -> bool:
        """Is the transaction still there? SQLite itself ends it when the disk is full."""
        return self._connection.in_transaction

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """A savepoint: what was written inside is undone when the block raises."""
        self._connection.execute("SAVEPOINT attempt")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO attempt")
                self._connection.execute("RELEASE attempt")
            raise
        self._connection.execute("RELEASE attempt")

    def _is_late(self) -> bool:
        return time.monotonic() > self.deadline

    def execute(self, sql: str, parameters: Sequence[Any] = (), *, rows: int | None = None) -> sqlite3.Cursor:
        """Run one statement and give its cursor.

        Raises:
            TransactionMisuse: it would end the transaction.
            Conflict: it touched another number of rows than `rows`.
        """
        check_statement(sql)
        cursor = self._connection.execute(sql, parameters)
        if rows is not None and cursor.rowcount != rows:
            raise Conflict(sql, rows, cursor.rowcount)
        return cursor

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> sqlite3.Cursor:
        """Run one statement with many sets of parameters."""
        check_statement(sql)
        return self._connection.executemany(sql, parameters)

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, the handler's own writes included."""
        return self.execute(sql, parameters).fetchall()

    def executescript(self, script: str) -> None:
        """Refused: a script commits what came before it."""
        raise TransactionMisuse(script)

    def commit(self) -> None:
        """Refused: it commits by itself when the handler returns."""
        raise TransactionMisuse("commit()")

    def rollback(self) -> None:
        """Refused: raise instead."""
        raise TransactionMisuse("rollback()")


def fetch_within(
    connection: sqlite3.Connection, sql: str, parameters: Sequence[Any], seconds: float = LONGEST_FETCH
) -> list[Any]:
    """All rows of a query on the reader's thread, which others wait for too.

    Raises:
        HandlerTimeout: it took too long, and was interrupted.
    """
    until = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > until, _INSTRUCTIONS)
    try:
        return connection.execute(sql, parameters).fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise HandlerTimeout(f"the query {sql[:80]!r}", seconds) from error
        raise
    finally:
        connection.set_progress_handler(None, 0)
