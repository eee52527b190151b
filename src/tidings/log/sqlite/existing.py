"""Events in a transaction on a connection of the user's own, beside what they write themselves.

The append is the writer's, run on another connection: orders are given out under SQLite's write lock, which it takes
before it looks at the end of the log. A block that opens the transaction stands in the writers' queue until it has
committed. One that joins must not: who has SQLite's lock and waits for the queue, while a writer has the queue and
waits for the lock, waits in vain.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence

from tidings.concurrency import WRITERS, here
from tidings.errors import CommitUnknown, ConfigurationError, DiskFull, LogError, LogLocked
from tidings.log.position import START
from tidings.log.record import Draft
from tidings.log.slices import Appended
from tidings.log.sqlite.failures import translated
from tidings.log.sqlite.patience import lock_within
from tidings.log.sqlite.sidecar import Sidecar
from tidings.log.sqlite.threads import Threads
from tidings.log.sqlite.transaction import OpenTransaction

_TAKE_LOCK = "DELETE FROM tidings_events WHERE 0"  # touches nothing; SQLite waits for the lock as BEGIN IMMEDIATE does
_FULL = 2  # PRAGMA synchronous
_STALE = "it read before another connection wrote: roll back and run it again, and begin it with BEGIN IMMEDIATE"
_BEGIN_FIRST = (
    "existing= joins a transaction, and the connection is in none: begin one (BEGIN IMMEDIATE), or use app.sync, whose"
    " block may open it, as no event loop waits meanwhile"
)
_ENDED = "the transaction has ended that the event was to be part of: publish before it is committed or rolled back"


class JoinedTransaction(OpenTransaction):
    """`tx` on a connection of the user's own: statements and events run at once, and it reads its own writes."""

    __slots__ = ("_is_over", "_threads", "ids")

    def __init__(self, connection: sqlite3.Connection, threads: Threads) -> None:
        super().__init__(connection)
        self._threads = threads
        self._is_over = False
        self.ids: list[str] = []

    def append(self, drafts: Sequence[Draft]) -> Appended:
        """Record events, all or none of them, in the transaction as it stands; see `Log.append`.

        Raises:
            IdReused, PartialDuplicate: nothing was written, and the transaction goes on.
            LogLocked, DiskFull: nothing was written; roll back, and run the transaction again.
            LogError: the transaction has ended.
        """
        self._threads.check_open()
        if self._is_over or not self.is_open:
            raise LogError(_ENDED)
        if not drafts:
            return Appended(START, START)
        connection = self._connection
        with _plain(connection, self._threads.path), self.attempt():
            connection.execute(_TAKE_LOCK)
            session = self._threads.writer.session(connection)  # each time: a savepoint may have undone the last append
            appended = session.append(drafts, careful=True)
            session.flush()
        self.ids += [draft.id for draft in drafts]
        return appended

    async def finish(self) -> None:
        """All is written already."""

    def end(self) -> None:
        """Take no more events."""
        self._is_over = True


@contextlib.contextmanager
def existing_transaction(
    connection: object, threads: Threads, sidecar: Sidecar, *, may_open: bool
) -> Iterator[JoinedTransaction]:
    """A block that joins the transaction of `connection`, or opens one and commits it; see `Log.existing`."""
    checked = _checked(connection, threads)
    tx = JoinedTransaction(checked, threads)
    try:
        if tx.is_open:
            yield tx
        elif not may_open:
            raise ConfigurationError(_BEGIN_FIRST)
        else:
            with _in_line(sidecar, threads.writer.lock_timeout) as turn:
                with _opened(tx, checked, threads.path):
                    yield tx
                with contextlib.suppress(Exception):  # committed it is: the slow look finds what no bell has told
                    _announce(checked, threads, turn)
    finally:
        tx.end()


def _announce(connection: sqlite3.Connection, threads: Threads, turn: Sidecar) -> None:
    with _plain(connection, threads.path):
        end = threads.writer.session(connection)
        threads.writer.announce(end.tip, end.recorded_at, turn)


@contextlib.contextmanager
def _opened(tx: JoinedTransaction, connection: sqlite3.Connection, path: str) -> Iterator[None]:
    with _plain(connection, path):
        connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        _roll_back(connection)
        raise
    if tx.is_open:  # else the user has ended it already
        _commit(tx, connection, path)


def _commit(tx: JoinedTransaction, connection: sqlite3.Connection, path: str) -> None:
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        known = translated(error, path)
        is_certain = tx.is_open or isinstance(known, DiskFull)
        _roll_back(connection)
        raise known if is_certain else CommitUnknown(str(error), tx.ids) from error


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


@contextlib.contextmanager
def _in_line(sidecar: Sidecar, seconds: float) -> Iterator[Sidecar]:
    """A turn of one's own among the writers of all processes.

    Raises:
        LogLocked: it did not come within `seconds`.
    """
    turn = sidecar.again()
    lock_within(turn, seconds)
    before, here.is_awaited_by = here.is_awaited_by, WRITERS
    try:
        yield turn
    finally:
        here.is_awaited_by = before
        turn.unlock()
        turn.close()


@contextlib.contextmanager
def _plain(connection: sqlite3.Connection, path: str) -> Iterator[None]:
    """The connection gives plain rows, whatever it is set to, and reports as the log does."""
    rows, text = connection.row_factory, connection.text_factory
    connection.row_factory, connection.text_factory = None, str
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # it is used by a wrong thread, or closed: not the log's affair
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY_SNAPSHOT:
            raise LogLocked(None, path, advice=_STALE) from error
        raise translated(error, path) from error
    finally:
        connection.row_factory, connection.text_factory = rows, text


def _checked(connection: object, threads: Threads) -> sqlite3.Connection:
    """The connection, if a commit on it keeps what the log promises.

    Raises:
        ConfigurationError: it is no connection to this log's file, or its commits are not fsynced.
        LogClosed, UsedAfterFork, LogDamaged: the log is of no use.
    """
    threads.check_open()
    threads.check_file()
    path = threads.path
    if not isinstance(connection, sqlite3.Connection):
        kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
        raise ConfigurationError(
            f"existing={kind} is no connection of the log {path}: give a sqlite3.Connection, in Django"
            " connection.connection"
        )
    with _plain(connection, path):
        file = next((row[2] for row in connection.execute("PRAGMA database_list") if row[1] == "main"), "")
        (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    if not file or not os.path.samefile(file, path):
        raise ConfigurationError(
            f"the connection is one to {file or 'a database in memory'}, and the log is {path}: both have to be one"
            " file, as they commit together"
        )
    if synchronous < _FULL:
        raise ConfigurationError(
            f"the connection to {path} does not fsync its commits, and the log promises that events are: run PRAGMA"
            " synchronous = FULL on it before the transaction"
        )
    return connection
