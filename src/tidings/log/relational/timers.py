"""What is to be recorded later, in the log's own database."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tidings.clock import Clock
from tidings.errors import IdReused
from tidings.log.record import Draft, size_of
from tidings.log.recurring import missing, unwanted
from tidings.log.relational.marks import marks
from tidings.log.relational.session import Connection, Session, Threads
from tidings.log.timers import LOOK_AHEAD, Fired, Following, Timer

_COLUMNS = "due, id, source, type, version, slot, key, public, envelope, data, checksum, series, spec"
_ADD = f"INSERT INTO tidings_timers({_COLUMNS}) VALUES ({','.join('?' * 13)})"
_OURS = "(series IS NULL OR series IN ({marks}))"
_DUE = f"SELECT number, {_COLUMNS} FROM tidings_timers WHERE due <= ? AND {_OURS} ORDER BY due, number LIMIT ?"
_COUNT = f"SELECT count(*) FROM (SELECT 1 FROM tidings_timers WHERE due <= ? AND {_OURS} LIMIT ?) AS due"
_NEXT = f"SELECT due FROM tidings_timers WHERE {_OURS} ORDER BY due LIMIT 1"
_WAITING = f"SELECT number, {_COLUMNS} FROM tidings_timers ORDER BY due, number LIMIT ?"
_SERIES = f"SELECT number, {_COLUMNS} FROM tidings_timers WHERE series IS NOT NULL AND source = ?"
_KNOWN = """
SELECT type, data, key FROM tidings_timers WHERE id = ? AND source = ?
UNION ALL SELECT type, data, key FROM tidings_events WHERE id = ? AND source = ?"""
_RECORDED = "SELECT 1 FROM tidings_events WHERE id = ? AND source = ?"


class StoredTimers:
    """The timers of a log in a relational database.

    Where writers overlap, `take_turn` has a transaction wait, before its first write, until no other one fires: what
    is due first is recorded first then, too.
    """

    def __init__(self, threads: Threads, clock: Clock, take_turn: Callable[[Any], None] | None = None) -> None:
        self._threads = threads
        self._clock = clock
        self._take_turn = take_turn

    async def schedule(self, timers: Sequence[Timer]) -> int:
        """Keep `timers`; see `Timers.schedule`."""
        if not timers:
            return 0

        def run(session: Session, careful: bool) -> int:
            return self.add(session, timers, strict=True)

        new: int = await self._threads.write(run, weight=len(timers))
        return new

    def add(self, session: Session, timers: Sequence[Timer], *, strict: bool = False) -> int:
        """Keep those that neither wait nor are recorded, in an open transaction; see `add_new`."""
        return add_new(session, timers, self._clock.now(), strict=strict) if timers else 0

    async def cancel(self, event_id: str, source: str) -> bool:
        """Forget an event that is scheduled."""

        def run(session: Session, careful: bool) -> bool:
            sql = "DELETE FROM tidings_timers WHERE id = ? AND source = ? AND series IS NULL"
            was_waiting = session.execute(sql, (event_id, source)).rowcount > 0
            return was_waiting and not session.connection.execute(_RECORDED, (event_id, source)).fetchone()

        cancelled: bool = await self._threads.write(run, essential=True)
        return cancelled

    async def waiting(self, limit: int = 1000) -> list[Timer]:
        """What is scheduled, in the order in which it will fire."""
        rows = await self._threads.read(lambda connection: connection.execute(_WAITING, (limit,)).fetchall())
        return [_timer(row) for row in rows]

    async def fire(self, now: float, limit: int, following: Mapping[str, Following]) -> Fired:
        """Append what is due; nobody waits for the writers' lock to learn that nothing is.

        Not from the disk's reserve: what is not recorded now still waits, safe, and that room is for answers.
        """
        moment, ours = int(now * 1e6), sorted(following)
        count, next_due = await self._threads.read(lambda connection: _look(connection, moment, ours, limit))
        if not count:
            return Fired(0, next_due)

        def run(session: Session, careful: bool) -> Fired:
            if self._take_turn is not None:
                self._take_turn(session)
            rows = _taken(session, _of(_DUE, ours), (moment, *ours, limit))
            _append(session, rows, moment, following, careful=careful)
            return Fired(len(rows), _next_due(session.connection, ours))

        fired: Fired = await self._threads.write(run, exclusive=self._take_turn is not None, weight=count)
        return fired

    async def repeat(self, source: str, timers: Sequence[Timer]) -> None:
        """Have these recurring ones, and no others of `source`."""
        if not any(await self._threads.read(lambda connection: _differences(connection, source, timers))):
            return

        def run(session: Session, careful: bool) -> None:
            gone, new = _differences(session.connection, source, timers)
            for series in [*gone, *(timer.series for timer in new)]:
                session.execute("DELETE FROM tidings_timers WHERE series = ?", (series,))
            _insert(session, new, self._clock.now())

        await self._threads.write(run)


def add_new(session: Session, timers: Sequence[Timer], now: float, *, strict: bool) -> int:
    """Keep those that neither wait nor are recorded, and say how many; the others may differ unless `strict`.

    Raises:
        IdReused: one of them is known with other content; nothing was changed.
    """
    session.flush()
    first: dict[tuple[str, str], Timer] = {}
    for timer in timers:
        draft = timer.draft
        known = session.connection.execute(_KNOWN, (draft.id, draft.source) * 2).fetchone()
        other = first.get((draft.id, draft.source))
        if known is None and other is not None:
            known = _content(other.draft)
        if strict and known is not None and known != _content(draft):
            raise IdReused(draft.id, draft.source)
        if known is None:
            first[draft.id, draft.source] = timer
    _insert(session, list(first.values()), now)
    return len(first)


def _insert(session: Session, timers: Sequence[Timer], now: float) -> None:
    """Add timers, and wake whoever fires when the first of them is due before all others, and soon."""
    if not timers:
        return
    row = session.connection.execute("SELECT min(due) FROM tidings_timers").fetchone()
    first = min(timer.due for timer in timers)
    session.flush()
    session.connection.executemany(_ADD, [*map(_row, timers)])
    session.writes += len(timers)
    session.size += size_of([timer.draft for timer in timers])
    if first < (now + LOOK_AHEAD) * 1e6 and (row[0] is None or first < row[0]):
        session.timers = True


def _taken(session: Session, due: str, parameters: Sequence[Any]) -> list[Any]:
    """What is due, taken away from who would cancel it; where writers overlap, some may be theirs already."""
    rows = session.connection.execute(due, parameters).fetchall()
    if not rows:
        return []
    numbers = [row[0] for row in rows]
    sql = f"DELETE FROM tidings_timers WHERE number IN ({marks(len(numbers))}) RETURNING number"
    ours = {number for (number,) in session.execute(sql, numbers).fetchall()}
    return [row for row in rows if row[0] in ours]


def _append(
    session: Session, rows: Sequence[Any], moment: int, following: Mapping[str, Following], *, careful: bool
) -> None:
    timers = [_timer(row) for row in rows]
    session.absorb([timer.draft for timer in timers], careful=careful)
    next_ones = [following[timer.series](timer, moment) for timer in timers if timer.series is not None]
    session.connection.executemany(_ADD, [*map(_row, next_ones)])


def _look(connection: Connection, moment: int, ours: Sequence[str], limit: int) -> tuple[int, int | None]:
    """How many are due now, and when the next one is."""
    next_due = _next_due(connection, ours)
    if next_due is None or next_due > moment:
        return 0, next_due
    count: int = connection.execute(_of(_COUNT, ours), (moment, *ours, limit)).fetchone()[0]
    return count, next_due


def _next_due(connection: Connection, ours: Sequence[str]) -> int | None:
    row = connection.execute(_of(_NEXT, ours), ours).fetchone()
    return None if row is None else int(row[0])


def _differences(connection: Connection, source: str, timers: Sequence[Timer]) -> tuple[list[str], list[Timer]]:
    """The series of a source that nobody wants any more, and those that are missing or not as they should be."""
    known = {timer.series or "": timer for timer in map(_timer, connection.execute(_SERIES, (source,)))}
    return unwanted(known, timers), missing(known, timers)


def _of(sql: str, series: Sequence[str]) -> str:
    """A statement about timers without a series, and those of these."""
    return sql.format(marks=marks(len(series)))


def _content(draft: Draft) -> tuple[str, bytes, str | None]:
    return draft.type, draft.data, draft.key


def _row(timer: Timer) -> tuple[Any, ...]:
    it = timer.draft
    described = (it.id, it.source, it.type, it.version, it.slot, it.key, it.public, it.envelope, it.data, it.checksum)
    return (timer.due, *described, timer.series, timer.spec)


def _timer(row: Sequence[Any]) -> Timer:
    _, due, id, source, type, version, slot, key, public, envelope, data, checksum, series, spec = row
    draft = Draft(id, source, type, version, slot, key, bool(public), envelope, data, checksum)
    return Timer(due, draft, series, spec)
