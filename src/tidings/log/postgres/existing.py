"""Events in a transaction on a connection of the user's own, beside what they write themselves.

The append is the writer's, run on another connection: an order is made of the number of its transaction, so it needs no
lock, and nobody waits for the user's commit but readers, who see nothing of what came later until it has ended.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tidings.errors import CommitUnknown, ConfigurationError, LogError
from tidings.log.position import START
from tidings.log.postgres.columns import register
from tidings.log.postgres.connection import Connection
from tidings.log.postgres.driver import psycopg
from tidings.log.postgres.failures import is_lost, translated
from tidings.log.postgres.session import Session, place
from tidings.log.postgres.threads import Threads
from tidings.log.postgres.transaction import OpenTransaction
from tidings.log.record import Draft
from tidings.log.slices import Appended

_IDLE = psycopg.pq.TransactionStatus.IDLE
_OPEN = (psycopg.pq.TransactionStatus.INTRANS, psycopg.pq.TransactionStatus.INERROR)
SERVER = """
SELECT d.datname, d.oid, system_identifier, current_setting('synchronous_commit')
FROM pg_control_system(), pg_database d WHERE d.datname = current_database()"""
_TRANSACTION = "SELECT pg_current_xact_id()::text"
_BEGIN_FIRST = (
    "existing= joins a transaction, and the connection is in none: begin one, or use app.sync, whose block may open it,"
    " as no event loop waits meanwhile"
)
_ENDED = "the transaction has ended that the event was to be part of: publish before it is committed or rolled back"


class ExistingTransaction(OpenTransaction):
    """`tx` on a connection of the user's own: statements and events run at once, and it reads its own writes."""

    def __init__(self, connection: Connection, threads: Threads, moment: Callable[[], int | None]) -> None:
        super().__init__(Session(connection, threads.edge.life, None, is_begun=True))
        self._raw = connection.raw
        self._own = connection
        self._threads = threads
        self._moment = moment
        self._transaction: str | None = None  # the one that the first event became a part of
        self._is_over = False
        self.ids: list[str] = []

    @property
    def is_open(self) -> bool:
        """Is the connection in a transaction?"""
        return not self._raw.closed and self._raw.info.transaction_status in _OPEN

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
        life = self._threads.edge.life
        session = Session(self._own, life, self._moment(), is_begun=True)  # each time: a savepoint may undo the last
        with _plain(self._own), self.attempt():
            self._check_same()
            appended = session.append(drafts, careful=True)
            session.flush()
        self.ids += [draft.id for draft in drafts]
        given: Appended = place(appended, life)
        return given

    async def finish(self) -> None:
        """All is written already."""

    def end(self) -> None:
        """Take no more events."""
        self._is_over = True

    def _check_same(self) -> None:
        """Psycopg begins another transaction by itself after a commit: this block was not about that one."""
        number = self._own.execute(_TRANSACTION).fetchone()[0]
        if self._transaction not in (None, number):
            raise LogError(_ENDED)
        self._transaction = number


@contextlib.contextmanager
def existing_transaction(
    connection: object, threads: Threads, moment: Callable[[], int | None], *, may_open: bool
) -> Iterator[ExistingTransaction]:
    """A block that joins the transaction of `connection`, or opens one and commits it; see `Log.existing`."""
    raw = _checked(connection, threads)
    own = Connection(raw, threads.schema, threads.place)
    tx = ExistingTransaction(own, threads, moment)
    try:
        if raw.info.transaction_status != _IDLE:
            yield tx
        elif not may_open:
            raise ConfigurationError(_BEGIN_FIRST)
        else:
            with _opened(tx, raw, own):
                yield tx
            with contextlib.suppress(Exception):  # committed it is: the slow look finds what no bell has told
                threads.watch.ask(threads.watch.ring_now).result(2.0)
    finally:
        tx.end()


@contextlib.contextmanager
def _opened(tx: ExistingTransaction, raw: "psycopg.Connection[Any]", own: Connection) -> Iterator[None]:
    with _plain(own):
        raw.execute("BEGIN" if raw.autocommit else "SELECT 1")  # psycopg puts a BEGIN before it, when it is to commit
    try:
        yield
    except BaseException:
        with contextlib.suppress(psycopg.Error):
            raw.rollback()
        raise
    if tx.is_open:  # else the user has ended it already
        try:
            raw.commit()
        except psycopg.Error as error:
            known = translated(error, own.place)
            raise CommitUnknown(str(known), tx.ids) if is_lost(error) else known from error


@contextlib.contextmanager
def _plain(connection: Connection) -> Iterator[None]:
    """The connection gives plain rows, whatever it is set to, and reports as the log does."""
    raw = connection.raw
    rows, raw.row_factory = raw.row_factory, psycopg.rows.tuple_row
    try:
        yield
    except psycopg.Error as error:
        raise translated(error, connection.place) from error
    finally:
        raw.row_factory = rows


def check_place(threads: Threads, database: str, oid: int, system: int, synchronous: str) -> None:
    """Is a connection, of which `SERVER` said this, one to the log's database, whose commits are safe?

    Raises:
        ConfigurationError: it is not.
    """
    if not _is_of(threads.edge.life.server, system, oid):
        raise ConfigurationError(
            f"the connection is one to database {database}, and the log is {threads.place}: both have to be one"
            " database, as they commit together"
        )
    if synchronous == "off":
        raise ConfigurationError(
            f"commits of the connection to {threads.place} do not wait for the disk, and the log promises that events"
            " are on it: run SET synchronous_commit = on before the transaction"
        )


def _is_of(server: str, system: int, database: int) -> bool:
    """Is it a database of that cluster? Its timeline may be another one meanwhile."""
    known_system, _, known_database = server.split("/")
    return (known_system, known_database) == (str(system), str(database))


def _checked(connection: object, threads: Threads) -> "psycopg.Connection[Any]":
    """The connection, if a commit on it keeps what the log promises.

    Raises:
        ConfigurationError: it is no connection to this log's database, or its commits are not safe.
        LogClosed, UsedAfterFork: the log is of no use.
    """
    threads.check_open()
    place = threads.place
    if not isinstance(connection, psycopg.Connection):
        kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
        raise ConfigurationError(
            f"existing={kind} is no connection of the log {place}: give a psycopg.Connection, in Django"
            " connection.connection"
        )
    was_idle = connection.info.transaction_status == _IDLE
    own = Connection(connection, threads.schema, place)
    with _plain(own):
        found = own.execute(SERVER).fetchone()
        if was_idle and not connection.autocommit:
            connection.rollback()
    database, oid, system, synchronous = found
    check_place(threads, database, oid, system, synchronous)
    register(connection)
    return connection
