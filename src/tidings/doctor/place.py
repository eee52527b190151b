"""Checks of where the files lie: folders, rights, disks."""

import stat
from collections.abc import Iterable
from pathlib import Path

from tidings.doctor.facts import Facts
from tidings.doctor.finding import Finding, error, warning
from tidings.log.sqlite.sidecar import NETWORK

_NO_ROOM = 64 << 20  # bytes; below it the next checkpoint may not fit
_LITTLE_ROOM = 1 << 30
_LITTLE_SHARE = 0.05


def folder_is_missing(facts: Facts) -> Iterable[Finding]:
    """SQLite makes files and no folders."""
    for file in facts.files:
        if file.folder_mode is None:
            folder = file.path.parent
            yield error(file.path, f"its folder {folder} does not exist", f"mkdir -p {folder}")


def file_is_a_link(facts: Facts) -> Iterable[Finding]:
    """The files beside the database would be looked for in two places."""
    for file in facts.files:
        if file.is_link:
            cure = f"name the file itself, {Path(file.path).resolve()}"
            yield error(file.path, "it is a symbolic link, which is refused: its companions lie beside the file", cure)


def folder_is_open_to_all(facts: Facts) -> Iterable[Finding]:
    """Anybody could put another file in its place."""
    for file in facts.files:
        mode = file.folder_mode or 0
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            folder = file.path.parent
            yield error(
                file.path, f"its folder {folder} is writable by everybody, which is refused", f"chmod o-w {folder}"
            )


def log_is_not_writable(facts: Facts) -> Iterable[Finding]:
    """Even a reader of a log takes part in its queue and shows that it lives."""
    for file in facts.files:
        if file.folder_mode is not None and not file.is_writable:
            what = "this user may not write to it, or not to its folder"
            yield error(file.path, what, f"chown the file and {file.path.parent} to the user that runs the application")


def network_file_system(facts: Facts) -> Iterable[Finding]:
    """Its locks hold on one machine at best."""
    for file in facts.files:
        if file.filesystem in NETWORK:
            what = f"it lies on a network file system ({file.filesystem}), whose locks cannot be trusted: it is refused"
            yield error(file.path, what, "move it to a local disk, and put a broker between the machines")


def disk_is_nearly_full(facts: Facts) -> Iterable[Finding]:
    """A full disk stops publishing."""
    for file in facts.files:
        if file.folder_mode is None:
            continue
        what = f"{file.free / (1 << 20):,.0f} MiB are left on its disk"
        if file.free < _NO_ROOM:
            yield error(file.path, what, "make room at once: publishing fails when the disk is full")
        elif file.free < _LITTLE_ROOM and file.free < file.total * _LITTLE_SHARE:
            yield warning(file.path, what, "make room, or move the log to a larger disk")


def others_may_read(facts: Facts) -> Iterable[Finding]:
    """Events are often about people."""
    for file in facts.files:
        if file.mode is not None and file.mode & (stat.S_IRWXG | stat.S_IRWXO):
            shown = f"{stat.S_IMODE(file.mode):o}"
            yield warning(file.path, f"its rights are {shown}: others may read what is in it", f"chmod 600 {file.path}")
