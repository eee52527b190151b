"""SQLite's errors, translated once."""

import sqlite3

from tidings.errors import DiskFull, LogDamaged, LogError, LogLocked, LogReadOnly

_PRIMARY = 0xFF  # the lower byte of an extended result code


def translated(error: sqlite3.Error, path: str, holder: int | None = None) -> LogError:
    """The tidings error for what SQLite reported about the file at `path`; `holder` is who has the writer's lock."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & _PRIMARY if code is not None else None
    if primary == sqlite3.SQLITE_FULL:
        return DiskFull(path)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return LogDamaged(str(error), path=path)
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LogLocked(holder, path)
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return LogReadOnly(path)
    if code == sqlite3.SQLITE_IOERR_WRITE:  # what a file size limit looks like
        return DiskFull(path)
    return LogError(f"the log {path} failed: {error}")
