"""The user's own SQL, recorded until a transaction of the log's runs it; and the statements that none may contain.

A handler must not end the transaction it was given, nor stretch it over other databases; statements that would are
refused before they run.
"""

import logging
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from tidings.errors import Conflict, TransactionMisuse
from tidings.events import Event
from tidings.log.record import Draft, draft
from tidings.log.timers import Timer

logger = logging.getLogger("tidings")
_ENDING = {"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE"}
_FORBIDDEN = _ENDING | {"PRAGMA", "ATTACH", "DETACH", "VACUUM"}
_COMMENTS = re.compile(r"(?:[\s;]+|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]*")
Fetch = Callable[[str, Sequence[Any]], Any]


@lru_cache(maxsize=1024)
def check_statement(sql: str) -> None:
    """Refuse what would end or bend the transaction.

    Raises:
        TransactionMisuse: the statement is one of transaction control, PRAGMA, ATTACH or VACUUM.
    """
    start = _COMMENTS.match(sql)
    word = _WORD.match(sql, start.end() if start else 0)
    if word is not None and word.group().upper() in _FORBIDDEN:
        raise TransactionMisuse(sql)


class RecordedTransaction:
    """`tx` of an `async def` handler: it never holds the lock, so it reads a committed snapshot and records writes."""

    __slots__ = ("_fetch", "drafts", "timers", "writes")

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self.writes: list[tuple[str, Sequence[Any], int | None]] = []
        self.drafts: list[Draft] = []
        self.timers: list[Timer] = []

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, as last committed; what this transaction records is not among them."""
        check_statement(sql)
        rows: list[tuple[Any, ...]] = await self._fetch(sql, parameters)
        return rows

    def execute(self, sql: str, parameters: Sequence[Any] = (), *, rows: int | None = None) -> None:
        """Record one statement. At the commit it must touch `rows` rows, if given, or all is undone.

        Raises:
            TransactionMisuse: it would end the transaction.
        """
        check_statement(sql)
        self.writes.append((sql, tuple(parameters), rows))

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Record one statement with many sets of parameters."""
        for each in parameters:
            self.execute(sql, each)

    def append(self, events: Sequence[Event], *, public: bool = True) -> None:
        """Record events, appended by the same commit."""
        self.drafts += [draft(event, public=public) for event in events]

    def executescript(self, script: str) -> None:
        """Refused: a script commits what came before it."""
        raise TransactionMisuse(script)

    def commit(self) -> None:
        """Refused: it commits by itself at the end."""
        raise TransactionMisuse("commit()")

    def rollback(self) -> None:
        """Refused: raise instead."""
        raise TransactionMisuse("rollback()")


def run_writes(
    execute: Callable[[str, Sequence[Any]], Any], writes: Sequence[tuple[str, Sequence[Any], int | None]]
) -> None:
    """Run recorded statements.

    Raises:
        Conflict: one touched another number of rows than it should.
    """
    for sql, parameters, rows in writes:
        cursor = execute(sql, parameters)
        if rows is not None and cursor.rowcount != rows:
            raise Conflict(sql, rows, cursor.rowcount)


def say_passed_over(tx: RecordedTransaction) -> None:
    """Right where a block is repeated, and not where an id was given twice by mistake: so it is said."""
    if tx.writes or tx.timers:
        logger.warning(
            "transaction passed over events=%s statements=%d timers=%d: its events are recorded, so all of it was"
            " committed before; give other work ids of its own",
            ",".join(draft.id for draft in tx.drafts),
            len(tx.writes),
            len(tx.timers),
        )
