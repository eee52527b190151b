"""A copy of the file as it is at one moment, made while others go on writing; and writing the file anew, smaller.

The copy is made by SQLite's own backup, inside one read transaction: a snapshot, which no commit disturbs. Until it is
done the `-wal` cannot be begun anew, and grows with what is written meanwhile. Opened as a log the copy begins a new
life, as its folder is missing, and refuses positions from after the moment.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from tidings.errors import ConfigurationError
from tidings.log.retention import Disk
from tidings.log.sqlite.failures import translated
from tidings.log.sqlite.patience import lock_within
from tidings.log.sqlite.sidecar import Sidecar

Progress = Callable[[int, int], None]  # pages copied, pages in all; called on the copying thread
_STEP = 256  # pages: a megabyte
_PAGES = ("page_count", "freelist_count", "page_size")


def back_up(source: Path, target: Path, progress: Progress) -> None:
    """Copy the log at `source` to a new file; it is whole and on the disk when this returns.

    Raises:
        ConfigurationError: the file is there already, or its folder is not.
        DiskFull, LogDamaged: it could not be written or read; no file is left behind.
    """
    partial = target.with_name(target.name + ".partial")
    _create(target, partial)
    try:
        _copy(source, partial, progress)
        _flush(partial)
        _publish(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    _flush(target.parent)


def shrink(database: Path, lock_timeout: float) -> None:
    """Write the file anew without its free pages; everybody who wants to write waits for it.

    Raises:
        LogLocked: another writer did not let go in time.
        DiskFull: there is no room for a second copy beside the first; nothing has changed.
    """
    sidecar = Sidecar(database)  # a lock of its own: this process's writer waits like any other
    lock_within(sidecar, lock_timeout)
    try:
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        raise translated(error, str(database)) from error
    finally:
        sidecar.unlock()
        sidecar.close()


def disk(connection: sqlite3.Connection, path: Path) -> Disk:
    """What the file takes, the free pages in it, and the `-wal` beside it."""
    pages, free, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _PAGES)
    wal = path.with_name(path.name + "-wal")
    return Disk(pages * size, free * size, wal.stat().st_size if wal.exists() else 0)


def _create(target: Path, partial: Path) -> None:
    if target.exists():
        raise ConfigurationError(f"{target} exists, and a backup overwrites nothing: name another file")
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except FileNotFoundError:
        raise ConfigurationError(f"the folder {target.parent} does not exist: create it first") from None
    except FileExistsError:
        raise ConfigurationError(
            f"{partial} exists: another backup is being written there, or one was cut short; then remove it"
        ) from None


def _copy(source: Path, partial: Path, progress: Progress) -> None:
    try:
        with (
            contextlib.closing(sqlite3.connect(source, isolation_level=None)) as reading,
            contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as writing,
        ):
            reading.execute("PRAGMA query_only = 1")
            reading.execute("BEGIN")
            reading.execute("SELECT 1 FROM sqlite_master").fetchone()  # the snapshot is taken at the first read
            writing.execute("PRAGMA synchronous = OFF")  # flushed once, at the end
            reading.backup(writing, pages=_STEP, progress=lambda _, left, of: progress(of - left, of))
    except sqlite3.Error as error:
        raise translated(error, str(partial)) from error


def _publish(partial: Path, target: Path) -> None:
    """Give the file its name, unless somebody else has taken that meanwhile."""
    try:
        os.link(partial, target)
    except FileExistsError:
        raise ConfigurationError(f"{target} was made meanwhile, and a backup overwrites nothing") from None
    except OSError:  # a file system without links
        partial.rename(target)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
