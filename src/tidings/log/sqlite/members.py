"""Who is alive: a file a process, locked by the kernel while it lives and touched while it works."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from tidings.clock import wall_nanoseconds
from tidings.log.balance import whole
from tidings.log.sqlite.forking import stays_with_parent


class Members:
    """The member files of one log."""

    def __init__(self, folder: Path, lease: float) -> None:
        self._folder = folder
        self.lease = lease
        self._held: dict[str, int] = {}
        stays_with_parent(self)

    def let_go(self) -> None:
        """In a fork: the members are the parent's."""
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()

    def enter(self) -> str:
        """A new name, `<pid>-<random>`, and its locked file."""
        while True:
            member = f"{os.getpid()}-{secrets.token_hex(4)}"
            path = self._folder / member
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if path.exists():
                self._held[member] = descriptor
                with contextlib.suppress(OSError):  # the disk is full: then it does not say
                    os.pwrite(descriptor, f"{self.lease:g}".encode(), 0)
                return member
            os.close(descriptor)  # somebody took it for a dead member's before it was locked

    def leave(self, member: str) -> None:
        """Unlock and remove the file."""
        descriptor = self._held.pop(member, None)
        if descriptor is not None:
            (self._folder / member).unlink(missing_ok=True)
            os.close(descriptor)

    @property
    def is_empty(self) -> bool:
        """Is there no member of this log's in this process?"""
        return not self._held

    def show(self, member: str) -> None:
        """Touch a member's own file: it works."""
        if member in self._held:
            with contextlib.suppress(OSError):
                os.utime(self._held[member])

    def lost(self, known: Iterable[str]) -> list[str]:
        """Those whose process died or has not touched its file for a lease, its own or this log's, whichever is longer.

        Those `known` to the ledger without a file are lost too: their log was closed, or the folder is a new one.
        """
        names = {name for name in (*known, *os.listdir(self._folder)) if whole(name) not in self._held}
        return [name for name in sorted(names) if self._is_lost(whole(name))]

    def is_alive(self, member: str) -> bool:
        """Does its process run, and get on with its work?"""
        return member in self._held or not self._is_lost(member)

    def last_sign(self, member: str) -> float | None:
        """When a member last touched its file, in seconds since 1970 UTC; None when there is no file any more."""
        try:
            return (self._folder / whole(member)).stat().st_mtime
        except (FileNotFoundError, PermissionError):
            return None

    def forget(self, members: list[str]) -> None:
        """Remove the files of the dead; those of the stalled stay, as they may come back."""
        for name in {whole(member) for member in members}:
            self._is_dead(name, remove=True)

    def close(self) -> None:
        """Leave as whoever is still entered."""
        for member in list(self._held):
            self.leave(member)

    def _is_lost(self, name: str) -> bool:
        return self._is_dead(name) or self._is_stalled(name)

    def _is_stalled(self, name: str) -> bool:
        path = self._folder / name
        try:
            # Against the machine's clock, which stamps files: a manual clock moves none.
            silence = (wall_nanoseconds() - path.stat().st_mtime_ns) / 1e9
            return silence > self.lease and silence > _lease_in(path)  # how often it shows itself goes by its own
        except (FileNotFoundError, PermissionError):
            return False

    def _is_dead(self, name: str, *, remove: bool = False) -> bool:
        path = self._folder / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        except PermissionError:
            return False  # another user's, to whom we only listen: what it touched will tell
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            if remove:  # while it is locked: who is just entering under this name then sees that it is gone
                path.unlink(missing_ok=True)
            return True
        finally:
            os.close(descriptor)


def _lease_in(path: Path) -> float:
    """What a member goes by, in seconds; 0 when it does not say, as earlier versions do not, or not to this user."""
    try:
        return float(path.read_text())
    except (ValueError, PermissionError):
        return 0.0
