"""Checks of what is in the files: schema, damage, companions, size, time."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from tidings.doctor.facts import Facts, File
from tidings.doctor.finding import Finding, error, note, warning
from tidings.log.sqlite.inspection import Inspection

_LARGE = 10 << 30  # bytes
_LARGE_WAL = 64 << 20  # bytes; a checkpoint is due every few
_SKEW = 60.0  # seconds


def cannot_be_read(facts: Facts) -> Iterable[Finding]:
    """It is no database, or SQLite finds it damaged."""
    for file, inside in _opened(facts):
        if inside.trouble is not None:
            yield error(file.path, str(inside.trouble), "stop the application and restore the file from a backup")


def no_log_inside(facts: Facts) -> Iterable[Finding]:
    """A database of something else, which a start would make into a log."""
    for file, inside in _opened(facts):
        if not inside.schema and inside.trouble is None and file.size:
            what = "it is a SQLite database and has no log in it: the application's start will put one there"
            yield note(file.path, what, "check the path, if a log was expected")


def schema_is_newer(facts: Facts) -> Iterable[Finding]:
    """Written by a newer tidings."""
    for file, inside in _opened(facts):
        if inside.schema > inside.known:
            what = f"it has schema {inside.schema}, and this tidings knows {inside.known}"
            yield error(file.path, what, "pip install --upgrade tidings, for every process that uses the log")


def schema_is_older(facts: Facts) -> Iterable[Finding]:
    """It is brought up to date when it is opened; an older tidings is then refused."""
    for file, inside in _opened(facts):
        if 0 < inside.schema < inside.known:
            what = f"it has schema {inside.schema}; the next start brings it to {inside.known}"
            yield note(file.path, what, "back it up before, and upgrade all processes that use it together")


def events_are_lost(facts: Facts) -> Iterable[Finding]:
    """It ends before what was once committed, as after its -wal was removed."""
    for file, inside in _opened(facts):
        if inside.lost:
            what = f"it ends {inside.lost:,} events before what was committed: a part of it was cut off or replaced"
            cure = f"restore it from a backup; if this is one, remove {_folder(file)} and start again"
            yield error(file.path, what, cure)


def records_are_damaged(facts: Facts) -> Iterable[Finding]:
    """A checksum does not fit, among the newest and the oldest."""
    for file, inside in _opened(facts):
        if inside.broken:
            shown = ", ".join(inside.broken[:3]) + (" ..." if len(inside.broken) > 3 else "")
            what = f"{len(inside.broken)} of the records sampled are not what was written, at {shown}"
            yield error(file.path, what, "stop writing, check the disk, and restore the file from a backup")


def sidecar_is_missing(facts: Facts) -> Iterable[Finding]:
    """A log with events came without its folder, as a backup does: a new epoch will begin."""
    for file, inside in _opened(facts):
        if inside.tip and not inside.has_folder:
            what = f"{_folder(file)} is not there: the next start takes the file for a restored backup"
            yield warning(file.path, what, f"if it is none, stop everybody and put {_folder(file).name} back beside it")


def reserve_is_missing(facts: Facts) -> Iterable[Finding]:
    """It was given to a full disk, and a full disk found no other."""
    for file, inside in _opened(facts):
        if inside.head is not None and not inside.has_reserve:
            what = "its reserve was used up on a full disk: at the next one not even dead letters can be recorded"
            yield warning(file.path, what, "make room, then start the application again: it lays a new reserve aside")


def wal_has_grown(facts: Facts) -> Iterable[Finding]:
    """Checkpoints do not get through: some reader holds an old view of the file."""
    for file, inside in _opened(facts):
        if inside.wal > _LARGE_WAL:
            what = (
                f"its -wal has grown to {inside.wal / (1 << 20):,.0f} MiB, so some reader keeps an old view of it open"
            )
            yield warning(file.path, what, f"end the long transaction, or the program that has it: {_who(file)}")


def clock_is_behind(facts: Facts) -> Iterable[Finding]:
    """The log's time never falls, so events are recorded in the future until the clock has caught up."""
    for file, inside in _opened(facts):
        ahead = (inside.newest or 0.0) - facts.now
        if ahead > _SKEW:
            when = datetime.fromtimestamp(inside.newest or 0.0, UTC).isoformat(timespec="seconds")
            what = f"its last event was recorded at {when}, {ahead:,.0f} s after what this machine's clock says"
            yield warning(file.path, what, "set the clock by NTP, as in 'timedatectl set-ntp true'")


def file_is_large(facts: Facts) -> Iterable[Finding]:
    """A log keeps every event until somebody trims it, and then what a group has yet to hear."""
    for file, inside in _opened(facts):
        if file.size > _LARGE:
            what = f"it has {file.size / (1 << 30):,.1f} GiB, and grows with every event{_held(inside)}"
            cure = "give the application retain=; 'tidings trim --dry-run' says by rule who holds the disk"
            yield note(file.path, what, cure)


def _held(inside: Inspection) -> str:
    """Who keeps the most from being trimmed."""
    slowest = max(inside.groups, key=lambda group: group.lag, default=None)
    if slowest is None or not slowest.lag:
        return ""
    return f"; {slowest.name} holds the most of it, with {slowest.lag:,} events to come"


def _opened(facts: Facts) -> Iterator[tuple[File, Inspection]]:
    for file in facts.files:
        if file.inside is not None:
            yield file, file.inside


def _folder(file: File) -> Path:
    return file.path.with_name(file.path.name + "-tidings")


def _who(file: File) -> str:
    return f"process {', '.join(map(str, file.users))}" if file.users else "see 'lsof' on the file"
