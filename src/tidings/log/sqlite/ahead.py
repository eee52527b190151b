"""The next lean page, read while handlers are busy with this one.

The reader's thread begins it by itself: asked for it, it could not even start before a busy event loop had nothing else
to do, as both want the interpreter's lock.
"""

import contextlib
import sqlite3
from collections.abc import Callable

from tidings.log.position import Epoch
from tidings.log.record import Record
from tidings.log.slices import Where
from tidings.log.sqlite.packing import Packed, packed
from tidings.log.sqlite.reading import SPAN, matching, row_by_row

Question = Callable[[sqlite3.Connection], None]


class ReadAhead:
    """Fetches the records of scans on the reader's thread; after a full lean page, the one behind it too."""

    def __init__(self, follow: Callable[[Question], None] | None) -> None:
        self._follow = follow  # asks something behind all that is asked already; None: nothing is read ahead
        self._known: tuple[int, Where, int, Packed] | None = None  # after, where, limit

    def fetch(
        self, connection: sqlite3.Connection, epoch: Epoch, after: int, end: int, where: Where, limit: int
    ) -> list[Record]:
        """The first records past `after`, up to `end`; see `scan`."""
        if not where.lean:
            return row_by_row(connection, epoch, after, end, where, limit)
        page = self._taken(after, where, limit) or _page(connection, after, end, where, limit)
        records = page.records(_only_type(where), epoch)
        if records is None:
            return row_by_row(connection, epoch, after, end, where, limit)
        if self._follow is not None and page.size == limit:
            self._begin(self._follow, records[-1].order, where, limit)
        return records

    def _taken(self, after: int, where: Where, limit: int) -> Packed | None:
        known, self._known = self._known, None
        return known[3] if known is not None and known[:3] == (after, where, limit) else None

    def _begin(self, follow: Callable[[Question], None], after: int, where: Where, limit: int) -> None:
        def ask(connection: sqlite3.Connection) -> None:
            with contextlib.suppress(sqlite3.Error):  # whoever wants the page asks again, and meets it
                page = _page(connection, after, after + SPAN, where, limit)
                if page.size == limit:  # a full one stays as it is, whatever is appended
                    self._known = after, where, limit, page

        follow(ask)


def _page(connection: sqlite3.Connection, after: int, end: int, where: Where, limit: int) -> Packed:
    return packed(connection, matching(where), (after, end, *(where.types or ()), limit), _only_type(where))


def _only_type(where: Where) -> str | None:
    return next(iter(where.types)) if where.types is not None and len(where.types) == 1 else None
