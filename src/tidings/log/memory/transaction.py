"""`tx` on a log in memory: it takes events, and refuses SQL in one sentence."""

from collections.abc import Sequence
from typing import Any

from tidings.errors import ConfigurationError, TransactionMisuse
from tidings.events import Event
from tidings.log.record import Draft, draft
from tidings.log.timers import Timer


class MemoryTransaction:
    """Events to append, and no SQL."""

    __slots__ = ("drafts", "timers", "writes")

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.timers: list[Timer] = []
        self.writes: list[Any] = []  # never any

    def append(self, events: Sequence[Event], *, public: bool = True) -> None:
        """Record events, appended by the same commit."""
        self.drafts += [draft(event, public=public) for event in events]

    def execute(self, sql: str, parameters: Sequence[Any] = (), *, rows: int | None = None) -> None:
        """Refused: memory has no SQL."""
        raise no_sql()

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Refused: memory has no SQL."""
        raise no_sql()

    def commit(self) -> None:
        """Refused: it commits by itself at the end."""
        raise TransactionMisuse("commit()")

    def rollback(self) -> None:
        """Refused: raise instead."""
        raise TransactionMisuse("rollback()")


def no_sql() -> ConfigurationError:
    """The error for a handler that wants to write where there is no database."""
    return ConfigurationError(
        "a log in memory has no SQL for tx, recorded writes or your own connection: use sqlite:///file.db"
    )


def no_file() -> ConfigurationError:
    """The error for who wants a copy of what lies in no file."""
    return ConfigurationError("a log in memory has no file to copy: export its events, or use sqlite:///file.db")
