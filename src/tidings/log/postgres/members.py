"""Who is alive: a row a process, stamped by the server's clock, and a lock that the server drops with its session.

The lock tells within a second or two that a process was killed; the stamp, after a lease, that one stands still, or is
cut off from the server.
"""

import os
import secrets
import socket
from collections.abc import Iterable
from zlib import crc32

from tidings.log.balance import whole
from tidings.log.postgres.connection import Connection

_GRACE = 1.0  # seconds without the lock: a session that was cut comes back within it
_ENTER = "INSERT INTO tidings_alive VALUES (?, ?, clock_timestamp())"
_SIGN = """
INSERT INTO tidings_alive AS a VALUES (?, ?, clock_timestamp())
ON CONFLICT (member) DO UPDATE SET seen_at = excluded.seen_at, lock = excluded.lock"""
_STAND = """
SELECT a.member, extract(epoch FROM a.seen_at)::float8,
  extract(epoch FROM clock_timestamp() - a.seen_at) < ? AND (
    extract(epoch FROM clock_timestamp() - a.seen_at) < ? OR a.lock IN (
      SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid = ?::oid AND objsubid = 2 AND granted))
FROM tidings_alive a"""
_LEAVE = "DELETE FROM tidings_alive WHERE member = ?"


class Signs:
    """Who was alive at one look."""

    def __init__(self, rows: Iterable[tuple[str, float, bool]]) -> None:
        self._signs = {member: (sign, is_alive) for member, sign, is_alive in rows}

    def is_alive(self, member: str) -> bool:
        """Does its process run, and get on with its work?"""
        return self._signs.get(whole(member), (0.0, False))[1]

    def last_sign(self, member: str) -> float | None:
        """When it last gave a sign, in seconds since 1970 UTC; None when it is not known any more."""
        known = self._signs.get(whole(member))
        return None if known is None else known[0]

    @property
    def dead(self) -> list[str]:
        """Those that are not alive."""
        return sorted(member for member, (_, is_alive) in self._signs.items() if not is_alive)


class Members:
    """The members of one log that this process is, and what is known of the others."""

    def __init__(self, schema: str, lease: float) -> None:
        self._class = crc32(schema.encode()) & 0x7FFFFFFF  # of the advisory locks
        self._lease = lease
        self._held: dict[str, int] = {}

    def welcome_watch(self, connection: Connection) -> None:
        """A new session of the watch: it holds the locks from now on. Whose they were may not have ended yet."""
        connection.execute("SET synchronous_commit = off")  # signs of life and rings need not wait for the disk
        for lock in self._held.values():
            connection.execute("SELECT pg_try_advisory_lock_shared(?, ?)", (self._class, lock))

    def enter(self, connection: Connection) -> str:
        """A new name, its row, and its lock."""
        host = socket.gethostname().partition(".")[0]
        member, lock = f"{host}-{os.getpid()}-{secrets.token_hex(4)}", secrets.randbelow(2**31)
        connection.execute("SELECT pg_advisory_lock_shared(?, ?)", (self._class, lock))
        connection.execute(_ENTER, (member, lock))
        self._held[member] = lock
        return member

    def sign(self, connection: Connection, member: str) -> None:
        """Show that a member of this process is at work."""
        if member in self._held:
            connection.execute(_SIGN, (member, self._held[member]))

    def leave(self, connection: Connection, member: str) -> None:
        """Be a member no more."""
        lock = self._held.pop(member, None)
        if lock is not None:
            connection.execute("SELECT pg_advisory_unlock_shared(?, ?)", (self._class, lock))
        connection.execute(_LEAVE, (member,))

    def leave_all(self, connection: Connection) -> None:
        """Leave as whoever is still entered."""
        for member in list(self._held):
            self.leave(connection, member)

    def signs(self, connection: Connection) -> Signs:
        """Who is alive now."""
        return Signs(connection.execute(_STAND, (self._lease, _GRACE, self._class)).fetchall())

    def is_own(self, member: str) -> bool:
        """Is it one of this process?"""
        return whole(member) in self._held

    def forget(self, connection: Connection, members: Iterable[str]) -> None:
        """Remove what is known of the dead. One that comes back gives its sign again."""
        for member in {whole(one) for one in members}:
            connection.execute(_LEAVE, (member,))
