"""`app.transaction()`: the user's own writes and events, committed together."""

from collections.abc import Sequence
from typing import Any

from tidings.handling.outgoing import Outgoing
from tidings.log.record import draft


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

    def publish(self, value: Any, data: Any = None, **attributes: Any) -> str:
        """Record an event, as `app.publish` does, and give its id.

        Raises:
            ContractError, InvalidEvent: it cannot be recorded.
        """
        event = self._outgoing.event(value, **({"data": data} if isinstance(value, str) else {}), **attributes)
        self._recorded.drafts.append(draft(event, public=self._outgoing.is_public(event.type)))
        return event.id
