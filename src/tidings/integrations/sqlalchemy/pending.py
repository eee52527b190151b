"""What one session has published and not yet committed, through its savepoints and the hooks of its commit."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tidings.errors import IdReused
from tidings.log.record import Draft

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, SessionTransaction


@dataclass(slots=True, eq=False)
class Entry:
    """One event of a session's: where it was published, and where it was written, if it was."""

    draft: Draft
    finish: Callable[[], Awaitable[Draft]] | None = None  # adds its cause, where that has to be read first
    published_in: "SessionTransaction | None" = None
    written_in: "SessionTransaction | None" = None
    content: tuple[str, bytes, str | None] = field(init=False)  # as it was given: a key may be inherited from its cause

    def __post_init__(self) -> None:
        self.content = self.draft.type, self.draft.data, self.draft.key


class Pending:
    """Listens to one session: writes its events before each commit, and forgets those that are rolled back.

    The release of a savepoint is a commit too: when that of the whole is under way with savepoints still open, a hook
    cannot tell one from the other. What was written in a savepoint that is undone later, and published outside of it,
    is written again.
    """

    def __init__(self, write: Callable[["Session", list[Entry]], None], ring: Callable[[], None]) -> None:
        self._write = write
        self._ring = ring
        self._entries: dict[tuple[str, str], Entry] = {}  # by id and source, in the order of publishing
        self._released: SessionTransaction | None = None  # the savepoint that was committed just now

    def add(self, session: "Session", entry: Entry) -> None:
        """Take an event; one that a hook of the flush or commit publishes is written at once: later may be too late.

        Raises:
            IdReused: the session has another event of this id.
        """
        name = entry.draft.id, entry.draft.source
        known = self._entries.get(name)
        if known is not None:
            if known.content != entry.content:
                raise IdReused(*name)
            return
        entry.published_in = _innermost(session)
        self._entries[name] = entry
        if session._flushing or _is_ending(session):
            try:
                self._write_new(session)
            except BaseException:
                self._entries.pop(name, None)
                raise

    def before_commit(self, session: "Session") -> None:
        """Write what is not written: behind the state that it tells of."""
        if self._entries:
            session.flush()
            self._write_new(session)

    def after_commit(self, session: "Session") -> None:
        """Ring, unless it was a savepoint's."""
        self._released = session.get_nested_transaction()
        if self._released is None and self._entries:
            self._ring()

    def after_transaction_end(self, session: "Session", transaction: "SessionTransaction") -> None:
        """Forget all at the end of the whole; at that of a savepoint which is not kept, what belongs to it."""
        if transaction.parent is None:
            self._entries.clear()
        elif transaction.nested and transaction is not self._released:
            self._undo(transaction)

    def _undo(self, savepoint: "SessionTransaction") -> None:
        kept = {name: each for name, each in self._entries.items() if not _is_within(each.published_in, savepoint)}
        self._entries = kept
        for each in kept.values():
            if _is_within(each.written_in, savepoint):
                each.written_in = None

    def _write_new(self, session: "Session") -> None:
        new = [each for each in self._entries.values() if each.written_in is None]
        if new:
            self._write(session, new)
        for each in new:
            each.written_in = _innermost(session)


def _innermost(session: "Session") -> "SessionTransaction | None":
    """The savepoint the session is in, or its whole transaction."""
    return session.get_nested_transaction() or session.get_transaction()


def _is_ending(session: "Session") -> bool:
    """Is a commit under way, whose hooks have the word now? SQLAlchemy itself tells it by this attribute alone."""
    transaction = _innermost(session)
    while transaction is not None and transaction._current_fn is None:
        transaction = transaction.parent
    return transaction is not None


def _is_within(transaction: "SessionTransaction | None", savepoint: "SessionTransaction") -> bool:
    while transaction is not None and transaction is not savepoint:
        transaction = transaction.parent
    return transaction is savepoint
