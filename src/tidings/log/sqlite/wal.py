"""The `-wal` of a log as its writers keep it: counted, emptied before it is long, and laid out before it is filled.

Its length is counted by all processes together, in *weights*, which are about pages of it: to ask the file would not
do, as one that was emptied keeps its size. Each process counts ahead, in steps, so that most commits count nothing.

A commit that makes a file longer flushes the file system's journal, too, which takes half as long again. So writers
that go on writing lay the file out with zeros beforehand, as Postgres does with its own (`wal_init_zero`); SQLite ends
its reading at the first frame whose checksum does not fit (https://sqlite.org/fileformat2.html#walformat).
"""

import contextlib
import os
import sqlite3
from typing import Literal

from tidings.log.sqlite.sidecar import Sidecar

LIMIT = 1000  # about so many pages, of 4 KiB; what is longer makes each flush dearer
_STEP = 16  # four commits of one event each
_STEADY = 4  # steps after which a process is taken to go on
_PAGE = 4096
_LENGTH = LIMIT * (_PAGE + 24)  # bytes: so many pages, each with its frame's header
_ROOM = 16 * _LENGTH  # bytes: where fewer are free, they are left to events
_PIECE = b"\0" * (_LENGTH // 8)


def weight_of(events: int, size: int) -> int:
    """About so many pages do events come to that have so many bytes: with their columns, and their ids in an index."""
    return events // 8 + size // _PAGE


class Wal:
    """One writer's part in keeping the `-wal` short, under the writers' lock."""

    def __init__(self, connection: sqlite3.Connection, sidecar: Sidecar) -> None:
        self._connection = connection
        self._sidecar = sidecar
        self._path = f"{sidecar.database}-wal"
        self._ahead = 0  # the weight that is counted and not yet written; below zero, the other way round
        self._steps = 0
        self._is_laid_out = False  # or need not be, before the next checkpoint

    def add(self, weight: int) -> None:
        """So much was committed under this lock."""
        self._ahead -= weight

    def tend(self) -> None:
        """Count what was committed, and empty the file when it is long; once a lock."""
        if self._ahead >= 0:
            return
        weight = max(_STEP, -self._ahead)
        self._ahead += weight
        with contextlib.suppress(OSError):  # what is committed is no less so
            if self._sidecar.add_weight(weight, LIMIT):
                self.checkpoint("PASSIVE")
                self._sidecar.fill_reserve()
            elif weight == _STEP and not self._is_laid_out:  # in large commits, the journal's part is small
                self._steps += 1
                if self._steps > _STEADY:
                    self._lay_out()

    def checkpoint(self, mode: Literal["PASSIVE", "TRUNCATE"]) -> None:
        """Copy what is in it to the database, as far as no reader is in the way."""
        with contextlib.suppress(sqlite3.Error):  # a reader in the way: the next one gets further
            self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        self._is_laid_out = False  # it may have been truncated, by another process since the last checkpoint as well

    def _lay_out(self) -> None:
        """Make it a piece longer, unless it is long enough, or the disk is nearly full.

        Only ever at its end, wherever that is by then: a connection of the user's own may be writing to it right now.
        """
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            is_long = os.fstat(descriptor).st_size >= _LENGTH
            self._is_laid_out = is_long or not self._sidecar.has_room(_ROOM)
            if not self._is_laid_out:
                os.write(descriptor, _PIECE)
        finally:
            os.close(descriptor)
