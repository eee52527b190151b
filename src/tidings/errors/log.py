"""Errors of a log and its ledger. After most of them nothing was written; where that is unknown, the error says so."""

from collections.abc import Sequence

from tidings.errors.root import TidingsError, listed, short


class LogError(TidingsError):
    """The log refused or failed."""


class VersionConflict(LogError):
    """The stream is not at the expected version: `stream`, `expected`, `actual`. Nothing was appended."""

    def __init__(self, stream: str, expected: object, actual: int) -> None:
        self.stream = stream
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"stream {stream!r} is at version {actual}, expected was {expected}: read it again, then decide again"
        )


class PartialDuplicate(LogError):
    """Some ids of the batch are recorded and some are not: `present`, `missing`. Nothing was appended."""

    def __init__(self, present: Sequence[str], missing: Sequence[str]) -> None:
        self.present = tuple(present)
        self.missing = tuple(missing)
        super().__init__(
            f"{len(self.present)} of {len(self.present) + len(self.missing)} events are recorded already"
            f" ({listed(self.present)}): append a batch whole or not at all; append the missing ones"
            f" ({listed(self.missing)}) on their own"
        )


class IdReused(LogError):
    """An event with this id and source is recorded with other content: `id`, `source`. Nothing was appended."""

    def __init__(self, id: str, source: str) -> None:
        self.id = id
        self.source = source
        super().__init__(f"event {id!r} of {source!r} is recorded with other content: give the new event its own id")


class UnknownEvent(LogError):
    """No event is recorded under `asked`, an id, its beginning or a position; or several are: `candidates`."""

    def __init__(self, asked: str, candidates: Sequence[str] = ()) -> None:
        self.asked = asked
        self.candidates = tuple(candidates)
        found = (
            f"is the beginning of several ids ({listed(self.candidates)}): give more of it"
            if candidates
            else "is no event of this log, or was trimmed from it: 'tidings tail' shows ids and positions"
        )
        super().__init__(f"{short(asked)} {found}")


class LogTruncated(LogError):
    """A cursor stands past the end of the log, or in an epoch the log does not know: `position`, `tip`."""

    def __init__(self, position: str, tip: str | None = None) -> None:
        self.position = position
        self.tip = tip
        end = "" if tip is None else f", which ends at {tip}"
        super().__init__(
            f"position {position} is not in this log{end}: it was replaced or restored from a backup;"
            " open the right file, or reset the group to a position the log has"
        )


class LogLocked(LogError):
    """Another process, or another connection, holds the log: `pid` when it is known, `path`."""

    def __init__(self, pid: int | None = None, path: str | None = None, *, advice: str | None = None) -> None:
        self.pid = pid
        self.path = path
        holder = "another process" if pid is None else f"process {pid}"
        advice = advice or "wait for it, or stop it, then try again"
        super().__init__(f"{_log(path)} is locked by {holder}: {advice}")


class LogUnreachable(LogError):
    """The log's server cannot be reached: `url` (without its password), `reason`. Nothing was appended."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        advice = "try again when its server is back, or correct the URL"
        super().__init__(f"the log {url} cannot be reached: {reason}; {advice}")


class DiskFull(LogError):
    """No room was left on the disk: `path`. Nothing was appended."""

    def __init__(self, path: str | None = None) -> None:
        self.path = path
        super().__init__(f"{_log(path)} has no room left on its disk and nothing was written: make room, then retry")


class LogDamaged(LogError):
    """What is stored is not what was written: `detail`, `positions` of the records concerned, `path`."""

    def __init__(self, detail: str, positions: Sequence[str] = (), *, path: str | None = None) -> None:
        self.detail = detail
        self.positions = tuple(positions)
        self.path = path
        where = f" at {listed(self.positions)}" if self.positions else ""
        past = "; 'tidings dead add GROUP POSITION' has a group pass over a record" if self.positions else ""
        super().__init__(f"{_log(path)} is damaged{where}: {detail}; stop writing, and restore it from a backup{past}")


class NewerSchema(LogError):
    """The log's tables are of a newer version than this tidings knows: `found`, `known`, `path`."""

    def __init__(self, found: int, known: int, path: str | None = None) -> None:
        self.found = found
        self.known = known
        self.path = path
        super().__init__(
            f"{_log(path)} has schema version {found}, this tidings knows {known}: upgrade tidings in this process"
        )


class LogReadOnly(LogError):
    """The log is open for reading only: `path`; `reason` is what the server said, where it is one that refuses."""

    def __init__(self, path: str | None = None, reason: str | None = None) -> None:
        self.path = path
        advice = "grant write access to the file and its folder, or only read"
        if reason is not None:
            advice = f"the server says {reason!r}; grant the role its schema and tables, or name a server that writes"
        super().__init__(f"{_log(path)} is read-only: {advice}")


class LogClosed(LogError):
    """The log was closed before this call: `path`."""

    def __init__(self, path: str | None = None) -> None:
        self.path = path
        super().__init__(f"{_log(path)} is closed: use it inside its 'async with', or open it again")


class UsedAfterFork(LogError):
    """The log was opened in the parent process and used in a child: `opened_by`, `used_by` (process ids), `path`."""

    def __init__(self, opened_by: int, used_by: int, path: str | None = None, *, advice: str | None = None) -> None:
        self.opened_by = opened_by
        self.used_by = used_by
        self.path = path
        advice = advice or "open it after the fork"
        super().__init__(f"{_log(path)} was opened by process {opened_by} and used by its fork {used_by}: {advice}")


class CommitUnknown(LogError):
    """The commit failed after it had been asked for: the events, `ids`, may or may not be there; `detail`."""

    def __init__(self, detail: str, ids: Sequence[str] = ()) -> None:
        self.detail = detail
        self.ids = tuple(ids)
        which = f" of {listed(self.ids)}" if self.ids else ""
        super().__init__(f"it is unknown whether the commit{which} took place ({detail}): retry with the same ids")


class StreamClosed(LogError):
    """The stream takes no further events: `stream`."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        super().__init__(f"stream {stream!r} is closed: append to another stream")


class Fenced(LogError):
    """Another member owns the lanes now and nothing was settled: `group`, `member`."""

    def __init__(self, group: str, member: str) -> None:
        self.group = group
        self.member = member
        super().__init__(
            f"member {member!r} no longer owns its lanes of group {group!r} and settled nothing: claim lanes anew"
        )


def _log(path: str | None) -> str:
    return "the log" if path is None else f"the log {path}"
