"""The log on one machine: a SQLite file, shared by any number of processes, without a server."""

from tidings.log.sqlite.log import SqliteLog

__all__ = ["SqliteLog"]
