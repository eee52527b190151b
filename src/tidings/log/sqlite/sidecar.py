"""The folder beside the database: what processes tell each other outside SQLite.

`lock`     the writers' lock: an flock wakes who waits, SQLite alone would poll. Its content: who had it last, how much
           was written since the last checkpoint, and who waits for it.
`turn`     an flock that one has while it waits for that lock. Without it who has just let go would take the lock again
           before who waits has woken, for seconds on end.
`bell`     the head record: epoch, tip, log time, the counters of changes. Written after each commit, never synced.
           Its change wakes readers; a database that ends before it has lost events.
`reserve`  a megabyte given back to a full disk, so that answers and dead letters can still be recorded.
`members/` a file a process, locked while it lives: the kernel tells at once when it dies.
"""

import contextlib
import copy
import errno
import fcntl
import os
import secrets
import stat
import struct
from pathlib import Path
from typing import Self
from zlib import crc32

import msgspec

from tidings.errors import ConfigurationError, LogReadOnly
from tidings.log.bell import Counters
from tidings.log.sqlite.forking import stays_with_parent

_HEAD = struct.Struct("<I8sQQQ")  # epoch, mark, tip, recorded_at, control; then a checksum: all an older tidings knows
_MORE = struct.Struct("<Q")  # timers; then a checksum of both parts, the first one's checksum left out
_BEHIND_HEAD = struct.Struct("<I8sI")  # the first checksum, the second part, its checksum
_WAITS_AT = 16  # where in `lock` it is said who waits
_NOBODY = bytes(8)
_HEAD_SIZE, _WHOLE_SIZE = _HEAD.size + 4, _HEAD.size + _BEHIND_HEAD.size
_CLOSED = -1
RESERVE = 1 << 20
NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs", "afs"}


class Head(msgspec.Struct, frozen=True):
    """The head record: what the last commit left behind."""

    epoch: int
    mark: str
    tip: int
    recorded_at: int
    counters: Counters  # of changes beside events


class Sidecar:
    """The files beside one database, opened by one process."""

    _turn: int
    _lock: int
    _bell: int
    _signature: bytes

    def __init__(self, database: Path) -> None:
        self.database = database
        self.folder = database.with_name(database.name + "-tidings")
        self.members = self.folder / "members"
        try:
            _check_place(database)
            _create(database)
            for folder in (self.folder, self.members):
                folder.mkdir(mode=0o700, exist_ok=True)
            self._open()
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise LogReadOnly(str(database)) from error
            raise
        self.counters = Counters()
        self._weight = 0  # what was written since the last checkpoint, by all processes, when the lock was taken
        self._had_it_last = False  # nobody else has had the lock since this one had
        stays_with_parent(self)

    def again(self) -> Self:
        """The same files opened once more: a place of its own in the writers' queue."""
        other = copy.copy(self)
        other._open()
        stays_with_parent(other)
        return other

    def let_go(self) -> None:
        """In a fork: the lock is the parent's."""
        self.close()

    @property
    def bell_path(self) -> Path:
        """The file whose change is the ring."""
        return self.folder / "bell"

    def try_lock(self) -> bool:
        """Take the writers' lock if it is free and nobody waits for it."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if self._sign() == _NOBODY or not self._is_waited_for():
            return True
        self.unlock()
        return False

    def lock(self) -> None:
        """Take the writers' lock; blocks. Who has let go of it comes behind who waits."""
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX)
            self._say_who_waits(self._signature)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._say_who_waits(_NOBODY)
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)
        self._sign()

    def unlock(self) -> None:
        """Let the next writer in."""
        fcntl.flock(self._lock, fcntl.LOCK_UN)

    def holder(self) -> int | None:
        """The process that all wait for: it has the lock, or stands still before it; None where that cannot be told."""
        try:
            taken = next((name for name in ("lock", "turn") if self._is_taken(name)), None)
            raw = b"" if taken is None else os.pread(self._lock, 8, 0 if taken == "lock" else _WAITS_AT)
        except OSError:  # there are no more descriptors, or all is closed by now
            return None
        pid = int.from_bytes(raw[:4], "little")
        return None if not pid or (taken == "turn" and pid == os.getpid()) else pid

    def add_weight(self, weight: int, limit: int) -> bool:
        """Count what was written since the last checkpoint, by all processes; True, and from zero again, at `limit`.

        Call it once, under the writers' lock.
        """
        total = self._weight + weight
        due = total >= limit
        os.pwrite(self._lock, self._signature + (0 if due else total).to_bytes(8, "little"), 0)
        return due

    def read_head(self) -> Head | None:
        """The head record, or None when there is none, or one being written."""
        return _head(os.pread(self._bell, _WHOLE_SIZE, 0))

    def heard(self) -> Counters:
        """The counters of changes, with what others have raised them to; call it under the writers' lock."""
        if not self._had_it_last and (head := self.read_head()) is not None:
            self.counters = self.counters.latest(head.counters)
            self._had_it_last = True
        return self.counters

    def write_head(self, head: Head) -> None:
        """Ring the bell with what was committed. A full disk keeps it silent; the readers' slow look finds the news."""
        try:
            os.pwrite(self._bell, _packed(head), 0)
        except OSError:
            return

    def fill_reserve(self) -> None:
        """Lay the reserve aside, unless it is there or the disk has no room for it."""
        path = self.folder / "reserve"
        if path.exists():
            return
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, b"\0" * RESERVE)
            finally:
                os.close(descriptor)
        except OSError:
            path.unlink(missing_ok=True)

    def has_room(self, size: int) -> bool:
        """Is the reserve laid aside, and so many bytes free beside it?"""
        room = os.statvfs(self.folder)
        return room.f_bavail * room.f_frsize >= size and (self.folder / "reserve").exists()

    def free_reserve(self) -> bool:
        """Give the reserve to a full disk; False when it was given before."""
        try:
            (self.folder / "reserve").unlink()
        except FileNotFoundError:
            return False
        return True

    def close(self) -> None:
        """Let go of the files; once."""
        files = self._turn, self._lock, self._bell
        self._turn = self._lock = self._bell = _CLOSED
        for each in files:
            if each != _CLOSED:
                os.close(each)

    def _open(self) -> None:
        self._turn, self._lock, self._bell = (_open(self.folder / name) for name in ("turn", "lock", "bell"))
        self._signature = os.getpid().to_bytes(4, "little") + secrets.token_bytes(4)  # one process may open it twice

    def _is_taken(self, name: str) -> bool:
        file = _open(self.folder / name)  # anew: an flock belongs to what was opened, and this one may wait for it
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            fcntl.flock(file, fcntl.LOCK_UN)  # a fork of this moment has the descriptor, too
        finally:
            os.close(file)
        return False

    def _sign(self) -> bytes:
        """Say who has the lock; the answer is who waits for it."""
        raw = os.pread(self._lock, _WAITS_AT + 8, 0)
        self._weight = int.from_bytes(raw[8:_WAITS_AT], "little")
        if raw[:8] != self._signature:
            self._had_it_last = False
            # On a full disk that copies what it writes, nobody is then told who holds the lock; who had it before
            # thinks that it still had, and may put back counters in the head record. Those in the database stay.
            with contextlib.suppress(OSError):
                os.pwrite(self._lock, self._signature, 0)
        return raw[_WAITS_AT:] or _NOBODY

    def _say_who_waits(self, who: bytes) -> None:
        with contextlib.suppress(OSError):  # a full disk: it comes behind whoever writes on end
            os.pwrite(self._lock, who, _WAITS_AT)

    def _is_waited_for(self) -> bool:
        """Does who said so still wait, or has it died? Call it under the writers' lock."""
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        self._say_who_waits(_NOBODY)
        fcntl.flock(self._turn, fcntl.LOCK_UN)
        return False


def head_in(bell: Path) -> Head | None:
    """The head record in this file, for who only looks."""
    try:
        return _head(bell.read_bytes())
    except OSError:
        return None


def _packed(head: Head) -> bytes:
    counters = head.counters
    first = _HEAD.pack(head.epoch, head.mark.encode(), head.tip, head.recorded_at, counters.control)
    more, checksum = _MORE.pack(counters.timers), crc32(first)
    return first + _BEHIND_HEAD.pack(checksum, more, crc32(more, checksum))


def _head(raw: bytes) -> Head | None:
    first, checksum = raw[: _HEAD.size], crc32(raw[: _HEAD.size])
    if len(raw) < _HEAD_SIZE or int.from_bytes(raw[_HEAD.size : _HEAD_SIZE], "little") != checksum:
        return None
    epoch, mark, tip, recorded_at, control = _HEAD.unpack(first)
    timers = 0
    if len(raw) >= _WHOLE_SIZE:
        _, more, of_both = _BEHIND_HEAD.unpack(raw[_HEAD.size : _WHOLE_SIZE])
        timers = _MORE.unpack(more)[0] if of_both == crc32(more, checksum) else 0
    return Head(epoch, mark.decode(), tip, recorded_at, Counters(control, timers))


def _open(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)


def _create(database: Path) -> None:
    """Make the file, readable by its owner only, unless it is there.

    One that is there is not even opened: closing any descriptor of a file drops the locks that SQLite has on it in this
    process, and the next process to close the log would take the `-wal` away from under us.
    """
    try:
        os.close(os.open(database, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if not os.access(database, os.R_OK | os.W_OK):
            raise LogReadOnly(str(database)) from None


def _check_place(database: Path) -> None:
    parent = database.parent
    if not parent.is_dir():
        raise ConfigurationError(f"the folder {parent} of the log {database} does not exist: create it first")
    if database.is_symlink():
        raise ConfigurationError(f"the log {database} is a symbolic link: name the file it points to")
    mode = parent.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise ConfigurationError(f"the folder {parent} of the log is writable by everybody: chmod o-w {parent}")
    kind = filesystem(parent)
    if kind in NETWORK:
        raise ConfigurationError(
            f"the log {database} lies on a network file system ({kind}), whose locks SQLite cannot trust:"
            " use a local disk"
        )


def filesystem(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """The type of file system `folder` is mounted from, where the system tells (Linux)."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    device = os.stat(folder).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:
        fields = line.split()
        if fields[2] == number:
            return fields[fields.index("-") + 1]
    return None
