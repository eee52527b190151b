"""Events in a transaction on an async connection of the user's own: gathered, and written when their block ends.

Nothing can be written on such a connection without `await`, and publishing has none. So the events wait for the end of
the block, which comes before the user's commit; what cannot be recorded is refused there.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tidings.errors import ConfigurationError, IdReused, LogError
from tidings.log.expectation import recorded_before
from tidings.log.position import START
from tidings.log.postgres.appending import Row, Statement, found, inserting, looking
from tidings.log.postgres.columns import register
from tidings.log.postgres.driver import psycopg
from tidings.log.postgres.existing import SERVER, check_place
from tidings.log.postgres.failures import translated
from tidings.log.postgres.language import spoken
from tidings.log.postgres.threads import Threads
from tidings.log.record import Draft
from tidings.log.slices import Appended

_ENDED = "the transaction has ended that the event was to be part of: publish before it is committed or rolled back"
_OWN = "on an async connection run statements of your own with it: await connection.execute(...)"
_BEGIN_FIRST = "existing= joins a transaction, and the connection is in none: run its first statement before the block"
_IDLE = psycopg.pq.TransactionStatus.IDLE


class GatheringTransaction:
    """`tx` on an async connection: takes events, and writes them when it is finished."""

    def __init__(
        self, connection: "psycopg.AsyncConnection[Any]", threads: Threads, moment: Callable[[], int | None]
    ) -> None:
        self._connection = connection
        self._threads = threads
        self._moment = moment
        self._gathered: dict[tuple[str, str], Draft] = {}
        self._is_over = False

    def append(self, drafts: Sequence[Draft]) -> Appended:
        """Take events, to be written at the end of the block; where they lie nobody can say yet.

        Raises:
            IdReused: the block has another event of this id.
            LogError: the transaction has ended.
        """
        self._threads.check_open()
        if self._is_over or self._connection.info.transaction_status == _IDLE:
            raise LogError(_ENDED)
        for draft in drafts:
            known = self._gathered.setdefault((draft.id, draft.source), draft)
            if (known.type, known.data, known.key) != (draft.type, draft.data, draft.key):
                raise IdReused(draft.id, draft.source)
        return Appended(START, START)

    async def finish(self) -> None:
        """Write them, all or none; those that are recorded are passed over.

        Raises:
            IdReused: an id is recorded with other content; nothing was written, and the transaction goes on.
            ConfigurationError: it is no connection to the log's database, or its commits are not safe.
            LogError: it has ended, or what Postgres reported.
        """
        drafts, self._gathered = list(self._gathered.values()), {}
        if not drafts:
            return
        if self._connection.info.transaction_status == _IDLE:
            raise LogError(_ENDED)
        try:
            async with self._connection.transaction():  # a savepoint, as there is a transaction
                ((database, oid, system, synchronous),) = await self._rows((SERVER, ()))
                check_place(self._threads, database, oid, system, synchronous)
                rows = found(drafts, await self._rows(looking(drafts)))
                new = [
                    Row(draft)
                    for draft, row in zip(drafts, rows, strict=True)
                    if recorded_before([draft], [row]) is None
                ]
                if new:
                    await self._rows(inserting(new, self._threads.edge.life.shift, self._moment()))
        except psycopg.Error as error:
            raise translated(error, self._threads.place) from error

    def execute(self, sql: str, parameters: Sequence[Any] = (), *, rows: int | None = None) -> Any:
        """Refused: it would need `await`."""
        raise ConfigurationError(_OWN)

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> Any:
        """Refused: it would need `await`."""
        raise ConfigurationError(_OWN)

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Refused: it would need `await`."""
        raise ConfigurationError(_OWN)

    def end(self) -> None:
        """Take no more events."""
        self._is_over = True

    async def _rows(self, statement: Statement) -> list[Any]:
        sql, parameters = statement
        cursor = self._connection.cursor(binary=True, row_factory=psycopg.rows.tuple_row)
        await cursor.execute(spoken(sql, self._threads.schema).encode(), parameters)
        return await cursor.fetchall()


@contextlib.contextmanager
def gathering(
    connection: "psycopg.AsyncConnection[Any]", threads: Threads, moment: Callable[[], int | None]
) -> Iterator[GatheringTransaction]:
    """A block that joins the transaction of an async connection; see `Log.existing`.

    Raises:
        ConfigurationError: it is in none.
    """
    threads.check_open()
    if connection.info.transaction_status == _IDLE:
        raise ConfigurationError(_BEGIN_FIRST)
    register(connection)
    tx = GatheringTransaction(connection, threads, moment)
    try:
        yield tx
    finally:
        tx.end()
