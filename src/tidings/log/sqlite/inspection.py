"""What a log's file and folder say when they are only looked at: nothing is opened as a log, and nothing is changed.

The file is read by SQLite alone and never opened beside it: closing it would drop the locks of an application that has
it open in the same process.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tidings.errors import LogDamaged, LogError
from tidings.log.balance import whole
from tidings.log.position import Epoch, Position
from tidings.log.record import Record, damaged, envelope_of
from tidings.log.relational.sighting import GroupSight, sights
from tidings.log.sqlite.failures import translated
from tidings.log.sqlite.schema import MIGRATIONS, epochs, tip_of
from tidings.log.sqlite.sidecar import Head, head_in

_SAMPLE = 200  # records looked at from each end
_TYPES = 20_000  # events from each end whose types are taken for all there are
_SCHEMA = "SELECT value FROM tidings_meta WHERE name = 'schema'"
_NEWEST = "SELECT recorded_at FROM tidings_events ORDER BY position DESC LIMIT 1"
_RECORDS = """
SELECT position, type, version, data, checksum, slot, recorded_at, stream, stream_version, envelope
FROM tidings_events ORDER BY position {order} LIMIT ?"""
_RECENT = "SELECT DISTINCT type FROM (SELECT type FROM tidings_events ORDER BY position {order} LIMIT ?)"


class Inspection(msgspec.Struct, frozen=True):
    """A log as found; with `trouble`, what stands after it could not be read."""

    path: Path
    has_folder: bool = False
    head: Head | None = None
    has_reserve: bool = False
    wal: int = 0  # bytes
    trouble: LogError | None = None
    schema: int = 0  # 0: no tables of a log
    known: int = 0  # the newest schema this tidings has
    tip: int = 0
    newest: float | None = None  # when the last event was recorded, seconds since 1970 UTC
    broken: tuple[Position, ...] = ()  # of the records sampled
    types: frozenset[str] = frozenset()  # of the newest and the oldest events
    groups: tuple[GroupSight, ...] = ()
    gone: tuple[str, ...] = ()  # members recorded, or with a file, whose process has died
    lost: int = 0  # events that were committed once and are not in the file


def path_of(url: str | None) -> Path | None:
    """The file that a URL names, if it is that of a SQLite log."""
    if url is None or not url.startswith("sqlite:"):
        return None
    return Path(url.partition("?")[0].removeprefix("sqlite:").removeprefix("///")).absolute()


def inspect(path: Path) -> Inspection:
    """Look at the log at `path`, whoever is using it; blocks."""
    was_in_use = is_in_use(path)
    seen = _inspect(path)
    # It was opened while nobody was expected, so what was seen may be half of a change: once more, now as a reader.
    return seen if was_in_use or not is_in_use(path) else _inspect(path)


@contextlib.contextmanager
def looking_into(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that can only read, and waits for nobody long."""
    with contextlib.closing(connect_to_look(path)) as connection:
        yield connection


def connect_to_look(path: Path) -> sqlite3.Connection:
    """A connection to the file at an absolute path that can only read; for any thread, and whoever closes it."""
    mode = "mode=ro" if is_in_use(path) else "immutable=1"  # or it would leave a -wal and a -shm behind
    uri = f"{path.as_uri()}?{mode}"
    return sqlite3.connect(uri, uri=True, timeout=0.5, isolation_level=None, check_same_thread=False)


def is_in_use(path: Path) -> bool:
    """Has anybody this database open, or died with it? In WAL mode that shows by the file beside it."""
    return os.path.exists(_wal(path))


def sign_of(path: Path) -> tuple[int, int, int] | None:
    """By what it shows that a file nobody has open has changed; None when it is read with the locks of its users."""
    if is_in_use(path):
        return None
    try:
        known = os.stat(path)
    except FileNotFoundError:
        return (0, 0, 0)
    return known.st_ino, known.st_size, known.st_mtime_ns


def _inspect(path: Path) -> Inspection:
    folder = path.with_name(path.name + "-tidings")
    seen = Inspection(
        path,
        has_folder=os.path.exists(folder),  # and not folder.exists(), which fails where this user may not look
        head=head_in(folder / "bell"),
        has_reserve=os.path.exists(folder / "reserve"),
        wal=os.path.getsize(_wal(path)) if is_in_use(path) else 0,
        known=len(MIGRATIONS),
    )
    try:
        with looking_into(path) as connection:
            return _read(connection, seen, folder / "members")
    except sqlite3.Error as error:
        return msgspec.structs.replace(seen, trouble=translated(error, str(path)))


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _read(connection: sqlite3.Connection, seen: Inspection, members: Path) -> Inspection:
    connection.execute("BEGIN")  # one view of it, whatever is written meanwhile
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'tidings_meta'").fetchone():
        return seen
    schema = int(connection.execute(_SCHEMA).fetchone()[0])
    if schema > seen.known:
        return msgspec.structs.replace(seen, schema=schema)
    tip = tip_of(connection)
    newest = connection.execute(_NEWEST).fetchone()
    alive, gone = _members(connection, members)
    life, head = epochs(connection)[-1], seen.head
    return msgspec.structs.replace(
        seen,
        schema=schema,
        tip=tip,
        newest=newest[0] / 1e6 if newest else None,
        broken=_broken(connection, life),
        types=frozenset(row[0] for order in ("ASC", "DESC") for row in _both_ends(connection, _RECENT, order, _TYPES)),
        groups=sights(connection, lambda order: tip - order, alive.__contains__),
        gone=gone,
        lost=max(head.tip - tip, 0) if head is not None and head.epoch >= life.counter else 0,
    )


def _both_ends(connection: sqlite3.Connection, statement: str, order: str, limit: int) -> sqlite3.Cursor:
    return connection.execute(statement.format(order=order), (limit,))


def _broken(connection: sqlite3.Connection, epoch: Epoch) -> tuple[Position, ...]:
    """The positions of those sampled whose data or envelope is not what was written."""
    rows = {row[0]: row for order in ("ASC", "DESC") for row in _both_ends(connection, _RECORDS, order, _SAMPLE)}
    records = [Record(*row) for _, row in sorted(rows.items())]
    orders = {record.order for record in damaged(records)}
    orders |= {record.order for record in records if not _is_sound(record)}
    return tuple(epoch.position(order) for order in sorted(orders))


def _is_sound(record: Record) -> bool:
    try:
        envelope_of(record, "")
    except (LogDamaged, msgspec.DecodeError):
        return False
    return True


def _members(connection: sqlite3.Connection, folder: Path) -> tuple[set[str], tuple[str, ...]]:
    """Those alive, and those gone."""
    rows = connection.execute("SELECT DISTINCT member FROM tidings_members").fetchall()
    names = {whole(name) for (name,) in rows} | set(_names_in(folder))
    alive = {name for name in names if _is_alive(folder / name)}
    return alive, tuple(sorted(names - alive))


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _is_alive(path: Path) -> bool:
    """Does a process hold the lock of this member's file?"""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
