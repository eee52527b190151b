"""Opening the file: what can be found out about it before the first event, and the parts that work with it."""

import sqlite3
from pathlib import Path
from typing import NamedTuple

from tidings.clock import Clock
from tidings.errors import LogDamaged, LogError
from tidings.log.bell import Bell, Counters
from tidings.log.position import Epoch
from tidings.log.sqlite.failures import translated
from tidings.log.sqlite.ledger import SqliteLedger
from tidings.log.sqlite.members import Members
from tidings.log.sqlite.patience import lock_within
from tidings.log.sqlite.schema import add_epoch, epochs, migrate, tip_of
from tidings.log.sqlite.sidecar import Head, Sidecar
from tidings.log.sqlite.threads import Threads
from tidings.log.sqlite.writer import Writer

_LONGEST = 2_000_000.0  # seconds that SQLite can wait, as it counts milliseconds


class Parts(NamedTuple):
    """What an open log is made of."""

    path: Path
    sidecar: Sidecar
    threads: Threads
    bell: Bell
    ledger: SqliteLedger
    lock_timeout: float


def open_parts(path: Path, clock: Clock, synchronous: str, lock_timeout: float, lease: float) -> Parts:
    """Open, check and bring up to date the file at `path`; blocks.

    Raises:
        LogError, ConfigurationError: see `SqliteLog.open`.
    """
    path = path.absolute()
    sidecar = Sidecar(path)
    bell = Bell()
    lock_within(sidecar, lock_timeout)
    writing, reading, lives = _connections(path, sidecar, synchronous, lock_timeout)
    sidecar.fill_reserve()

    writer = Writer(writing, sidecar, lives[-1], clock, lock_timeout=lock_timeout, on_commit=bell.news)
    threads = Threads(reading, writer, sidecar, lives)
    ledger = SqliteLedger(threads, Members(sidecar.members, lease), sidecar, bell, clock)
    return Parts(path, sidecar, threads, bell, ledger, lock_timeout)


def _connections(
    path: Path, sidecar: Sidecar, synchronous: str, lock_timeout: float
) -> tuple[sqlite3.Connection, sqlite3.Connection, list[Epoch]]:
    """A connection to write with and one to read with, and the lives of the log. Gives the writers' lock back."""
    writing: sqlite3.Connection | None = None
    try:
        try:
            writing = _connect(path, synchronous, lock_timeout)
            migrate(writing, str(path))
            lives = _lives(sidecar, writing, str(path))
        finally:
            sidecar.unlock()
        reading = _connect(path, synchronous, lock_timeout)
        reading.execute("PRAGMA query_only = 1")
    except BaseException as error:
        if writing is not None:
            writing.close()
        holder = sidecar.holder()
        sidecar.close()
        if isinstance(error, sqlite3.Error):
            raise translated(error, str(path), holder) from error
        raise
    return writing, reading, lives


def _connect(path: Path, synchronous: str, patience: float) -> sqlite3.Connection:
    if synchronous.upper() not in ("FULL", "NORMAL", "EXTRA"):
        raise LogError(f"synchronous={synchronous!r} is not a way to keep events: use FULL, NORMAL or EXTRA")
    patience = min(patience, _LONGEST)  # with writers outside tidings: ours queue at the flock
    connection = sqlite3.connect(
        path, timeout=patience, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _lives(sidecar: Sidecar, connection: sqlite3.Connection, path: str) -> list[Epoch]:
    """The lives of the log; a new one begins when a file with events comes without its folder, as a backup does.

    Raises:
        LogDamaged: the file ends before what was once committed.
    """
    lives = epochs(connection)
    head = sidecar.read_head()
    tip = tip_of(connection)
    if head is None:
        if tip:
            lives.append(lives[-1].following(tip))
            add_epoch(connection, lives[-1])
        sidecar.write_head(Head(lives[-1].counter, lives[-1].mark, tip, 0, Counters()))
    elif head.epoch >= lives[-1].counter and tip < head.tip:
        raise LogDamaged(
            f"it ends at {tip}, but {head.tip} was committed: its last events are lost; if you removed it, or"
            f" restored it from a backup, remove {sidecar.folder} too and open it again",
            path=path,
        )
    else:
        sidecar.counters = head.counters
    return lives
