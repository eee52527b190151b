"""`tx` of a plain `def` handler: its own SQL, on the connection that then settles its events.

The transaction opens at the first statement, and not when the handler is called: one that writes keeps all readers of
the database server from what comes after it. Whoever holds one open for a second is named.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from math import inf
from typing import Any

from tidings.errors import Conflict, HandlerTimeout, TransactionMisuse
from tidings.log.postgres.connection import Connection
from tidings.log.postgres.driver import psycopg
from tidings.log.postgres.language import portable
from tidings.log.postgres.session import Session
from tidings.log.recorded import check_statement

logger = logging.getLogger("tidings")
_LOOK = 0.05  # seconds between looks at a transaction that runs a handler
_READING = "SELECT set_config('transaction_read_only', 'on', true), set_config('statement_timeout', ?, true)"
_LONG = 1.0  # seconds that one may be open before it is told


class OpenTransaction:
    """Statements run at once, in the transaction, and see what it has written."""

    def __init__(self, session: Session, guard: "Guard | None" = None) -> None:
        self.deadline = inf  # of the monotonic clock: statements that run past it are interrupted
        self.began: float | None = None
        self.is_running = False
        self._session = session
        self._name = "a handler" if guard is None else guard.name
        self._last: Connection | None = None

    @property
    def is_open(self) -> bool:
        """Can it still be committed?"""
        return self._last is None or self._last.is_open

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """A savepoint: what was written inside is undone when the block raises."""
        connection = self._begun()
        connection.execute("SAVEPOINT attempt")
        try:
            yield
        except BaseException:
            if connection.is_open:
                connection.execute("ROLLBACK TO attempt")
                connection.execute("RELEASE attempt")
            raise
        connection.execute("RELEASE attempt")

    def execute(self, sql: str, parameters: Sequence[Any] = (), *, rows: int | None = None) -> Any:
        """Run one statement, its parameters marked `?` or `%s`, and give its cursor.

        Raises:
            TransactionMisuse: it would end the transaction.
            Conflict: it touched another number of rows than `rows`.
        """
        check_statement(sql)
        # In binary it goes by the protocol that takes one statement only: none can hide a COMMIT behind it.
        said = portable(sql, len(parameters))
        cursor = self._run(lambda raw: raw.execute(said, parameters or None, binary=True))
        if rows is not None and cursor.rowcount != rows:
            raise Conflict(sql, rows, cursor.rowcount)
        return cursor

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> Any:
        """Run one statement with many sets of parameters."""
        check_statement(sql)

        def run(raw: "psycopg.Connection[Any]") -> Any:
            cursor = raw.cursor(binary=True)
            cursor.executemany(portable(sql, len(parameters[0]) if parameters else 0), parameters)
            return cursor

        return self._run(run)

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, the handler's own writes included."""
        rows: list[tuple[Any, ...]] = self.execute(sql, parameters).fetchall()
        return rows

    def executescript(self, script: str) -> None:
        """Refused: one statement at a time."""
        raise TransactionMisuse(script)

    def commit(self) -> None:
        """Refused: it commits by itself when the handler returns."""
        raise TransactionMisuse("commit()")

    def rollback(self) -> None:
        """Refused: raise instead."""
        raise TransactionMisuse("rollback()")

    def interrupt(self) -> None:
        """End the statement that is running; from any thread but its own, and blocks a moment."""
        if self.is_running and self._last is not None:
            with contextlib.suppress(psycopg.Error):
                self._last.raw.cancel()

    def _begun(self) -> Connection:
        connection = self._last = self._session.connection
        if self.began is None:
            self.began = time.monotonic()
        return connection

    def _run(self, statement: Any) -> Any:
        connection = self._begun()
        patience, connection.raw.answer_within = getattr(connection.raw, "answer_within", inf), inf
        self.is_running = True  # as long as it takes: it is the handler's time that is limited
        try:
            return statement(connection.raw)
        except psycopg.errors.QueryCanceled as error:
            raise HandlerTimeout(self._name, time.monotonic() - (self.began or 0.0)) from error
        finally:
            self.is_running = False
            connection.raw.answer_within = patience


class Guard:
    """Looks after a transaction that runs a handler's code: from the event loop, as its thread is busy."""

    def __init__(self, name: str) -> None:
        self.name = name  # the group's, which is its handler's
        self.tx: OpenTransaction | None = None
        self._is_told = False

    @contextlib.contextmanager
    def on_duty(self) -> Iterator[None]:
        """Look, as long as the block lasts; on the running event loop."""
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(_LOOK, lambda: look())]

        def look() -> None:
            self._look(loop)
            timers[0] = loop.call_later(_LOOK, look)

        try:
            yield
        finally:
            timers[0].cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        tx = self.tx
        if tx is None or tx.began is None:
            return
        now = time.monotonic()
        if tx.is_running and now > tx.deadline:
            _ = loop.run_in_executor(None, tx.interrupt)
        if now - tx.began > _LONG and not self._is_told:
            self._is_told = True
            logger.warning(
                "slow group=%s: its transaction is open for more than %g s, and keeps every reader of the server from"
                " what was recorded since; do slow work before the first statement",
                self.name,
                _LONG,
            )


def fetch_within(connection: Connection, sql: str, parameters: Sequence[Any], seconds: float) -> list[Any]:
    """All rows of a query on a reader's thread, which others wait for too.

    Raises:
        HandlerTimeout: it took too long, and was interrupted.
    """
    with connection.transaction():
        connection.execute(_READING, (str(int(seconds * 1000)),))
        try:
            said = portable(sql, len(parameters))
            rows: list[Any] = connection.raw.execute(said, parameters or None, binary=True).fetchall()
        except psycopg.errors.QueryCanceled as error:
            raise HandlerTimeout(f"the query {sql[:80]!r}", seconds) from error
    return rows
