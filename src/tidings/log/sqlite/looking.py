"""A log that is only looked at: read-only, on what is there, and leaving nothing behind.

Nothing is made, locked or brought up to date, so that a read-only file, a copy on a stick and somebody else's log can
be read. While nobody has the file open it is read as an immutable one; a file that is changed all the same is read
again, as its other readers do.
"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

from tidings.clock import Clock
from tidings.errors import ConfigurationError, LogDamaged, LogError, LogReadOnly, NewerSchema
from tidings.log.bell import Bell
from tidings.log.jobs import Job
from tidings.log.position import Epoch
from tidings.log.record import Draft
from tidings.log.sqlite.failures import translated
from tidings.log.sqlite.inspection import connect_to_look, is_in_use, sign_of
from tidings.log.sqlite.ledger import SqliteLedger
from tidings.log.sqlite.members import Members
from tidings.log.sqlite.opening import Parts
from tidings.log.sqlite.schema import MIGRATIONS, epochs, schema_of, tip_of
from tidings.log.sqlite.sidecar import Head, Sidecar, head_in
from tidings.log.sqlite.threads import Threads
from tidings.log.sqlite.writer import Writer

_TRIES = 5  # looks at a file that is opened, changed and closed under our eyes
Result = TypeVar("Result")


def look_at_parts(path: Path, clock: Clock, lease: float) -> Parts | None:
    """The log at `path`, for reading; None when its tables are older, and have to be brought up to date first. Blocks.

    Raises:
        ConfigurationError: there is no log.
        LogError, LogDamaged, NewerSchema: it cannot be read.
    """
    path = path.absolute()
    sidecar = Seen(path)
    reader = _connection(path)
    try:
        schema = schema_of(reader)
        if not schema:
            raise no_log(path, "the file has no tables of a log")
        if schema > len(MIGRATIONS):
            raise NewerSchema(schema, len(MIGRATIONS), str(path))
        if schema < len(MIGRATIONS):
            reader.close()
            return None
        lives = epochs(reader)
        _check_end(sidecar, tip_of(reader), lives[-1].counter)
    except BaseException as error:
        reader.close()
        if isinstance(error, sqlite3.Error):
            raise translated(error, str(path)) from error
        raise
    threads, bell = LookingThreads(reader, NoWriter(path, clock), sidecar, lives), Bell()
    ledger = SqliteLedger(threads, Members(sidecar.members, lease), sidecar, bell, clock)
    return Parts(path, sidecar, threads, bell, ledger, lock_timeout=0.0)


def no_log(path: Path, why: str) -> ConfigurationError:
    """What is said where there is no log."""
    return ConfigurationError(f"no such log: {path} ({why}); 'tidings run' and 'tidings publish' make one")


class Seen(Sidecar):
    """The folder beside the file, as far as it is there and may be read."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.folder = database.with_name(database.name + "-tidings")
        self.members = self.folder / "members"

    def again(self) -> NoReturn:
        """There is no queue to stand in."""
        raise LogReadOnly(str(self.database))

    def read_head(self) -> Head | None:
        """The head record, or None when it cannot be had."""
        return head_in(self.bell_path)

    def holder(self) -> int | None:
        """Nobody is waited for."""
        return None

    def close(self) -> None:
        """Nothing is held."""


class NoWriter(Writer):
    """Refuses whatever would be written."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = str(path)
        self.clock = clock
        self.lock_timeout = 0.0

    def submit(self, job: Job) -> NoReturn:
        """Refuse it."""
        raise LogReadOnly(self._path)

    def run(self, job: Job, timeout: float | None = None) -> NoReturn:
        """Refuse it."""
        raise LogReadOnly(self._path)

    def record(self, draft: Draft, timeout: float | None = None) -> NoReturn:
        """Refuse it."""
        raise LogReadOnly(self._path)

    def close(self) -> bool:
        """There is nothing to finish."""
        return True


class LookingThreads(Threads):
    """The reader's thread alone. Its connection is made anew when the file changes while it is taken for immutable."""

    is_for_reading = True

    def __init__(self, reader: sqlite3.Connection, writer: Writer, sidecar: Sidecar, lives: list[Epoch]) -> None:
        super().__init__(reader, writer, sidecar, lives)
        self._sign = sign_of(Path(self.path))

    def _ask(self, question: Callable[[sqlite3.Connection], Result]) -> Result:
        for _ in range(_TRIES):
            if self._has_changed():
                self._look_again()
            try:
                answer = super()._ask(question)
            except LogError:
                if self._has_changed():
                    continue  # half of a change was seen
                raise
            if not self._has_changed():
                return answer
        raise LogError(f"the log {self.path} is opened and closed all the time while it is looked at: try it again")

    def _has_changed(self) -> bool:
        return self._sign is not None and sign_of(Path(self.path)) != self._sign

    def _look_again(self) -> None:
        path = Path(self.path)
        self._reader.close()
        self._sign = sign_of(path)
        self._reader = _connection(path)


def _connection(path: Path) -> sqlite3.Connection:
    try:
        known = os.stat(path)
    except FileNotFoundError:
        raise no_log(path, "there is no such file") from None
    if not known.st_size and not is_in_use(path):
        raise no_log(path, "the file is empty")
    if not os.access(path, os.R_OK):
        raise LogError(f"the log {path} may not be read by this user: have its owner grant it, or become its owner")
    try:
        return connect_to_look(path)
    except sqlite3.Error as error:
        raise translated(error, str(path)) from error


def _check_end(sidecar: Sidecar, tip: int, life: int) -> None:
    head = sidecar.read_head()
    if head is not None and head.epoch >= life and tip < head.tip:
        raise LogDamaged(
            f"it ends at {tip}, but {head.tip} was committed: its last events are lost", path=str(sidecar.database)
        )
