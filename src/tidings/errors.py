"""Every error tidings raises.

TidingsError
├── InvalidName                a name or pattern outside the grammar (also a ValueError)
├── InvalidEvent               an envelope that is not a sound event (also a ValueError)
├── ContractError              data that does not fit its contract: `type`, `version`, `path`, `expected`
│   └── NewerVersion           written by a newer program than this one: park it, upgrade, retry
├── BrokenContracts            contracts that cannot work together: two of one version, a hole, a ring; raised at start
├── EmitterError               what `emit` itself refuses; no `error` listener gets it in place of the caller
│   ├── UnhandledError         `error` was emitted, with no exception, and nobody listens to it
│   ├── NoEventLoop            a coroutine listener, and no event loop to run it (also a RuntimeError)
│   ├── TooManyPending         as many coroutine listeners are running as may: wait for them, then emit on
│   └── FellBehind             a reader of `iterate` left too many events unread, and was ended
├── LogError                   the log refused or failed
│   ├── VersionConflict        someone else appended first: read again, then decide again
│   ├── PartialDuplicate       some events of the batch are recorded, some are not: nothing was written
│   ├── IdReused               the id is recorded with other content
│   ├── UnknownEvent           no event of this id or position is there, or several begin so
│   ├── LogTruncated           the position lies past the end: the file was replaced or restored
│   ├── LogLocked              another process holds the log
│   ├── LogUnreachable         the log's server does not answer: nothing was written, try again
│   ├── DiskFull               nothing was written: make room, then retry
│   ├── LogDamaged             a record's bytes are not what was written
│   ├── NewerSchema            the log was written by a newer tidings
│   ├── LogReadOnly            the log is open for reading only
│   ├── LogClosed              the log was closed before this call
│   ├── UsedAfterFork          the log was opened before a fork: open it again in the child
│   ├── CommitUnknown          failed after COMMIT: retry with the same ids, which is safe
│   ├── StreamClosed           the stream takes no further events
│   └── Fenced                 another member owns the lanes now
├── BrokerError                the carrier between services failed: worth another try
│   ├── BrokerUnreachable      nobody answers at its address, or the answer did not come in time: `url`, `reason`
│   ├── EventRefused           the carrier takes no such event, as it is too large: `event_id`, `reason`
│   └── NotSupported           this carrier cannot do that, and never will: `url`, `what`
├── AskingError                a question of `app.ask` has no answer
│   ├── Unanswered             none came in time (also a TimeoutError): `question`, `limit`
│   └── AnswerFailed           the handler that was asked failed: `question`, `error`, `reason`
├── HandlingError              a handler's work could not be settled
│   ├── Reject                 raised by handlers: never to be retried, a dead letter at once
│   ├── Conflict               a recorded statement touched another number of rows than it said
│   ├── CircuitOpen            a circuit breaker refused the call: wait until its next trial
│   ├── TransactionMisuse      a statement that ends or bends the transaction tidings owns
│   └── HandlerTimeout         the handler took longer than its policy allows
├── UnreadableEvent            a listener met an event it cannot decode: `position`, `type`; reading on passes it over
├── InvalidLine                a line of input that is no event (also a ValueError): `number`, `reason`, `text`
├── StreamOverflow             what is pushed into an iterator came faster than it was read: `limit`
├── SyncError                  `app.sync` could not wait for an answer
│   ├── WouldBlock             called where waiting would stop everything else (also a RuntimeError)
│   └── NoAnswer               nothing came back in time: it may have taken place (also a TimeoutError)
├── ConfigurationError         the application is put together wrongly; raised at start
│   ├── DuplicateGroup         two subscriptions ask for one group name
│   └── NotOneHandler          a command that no group would handle, or several
└── MissingExtra               an optional library is not installed (also an ImportError)

Each carries its facts as attributes, survives pickling with them, and says what to do next.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Self


class TidingsError(Exception):
    """Whatever tidings raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args, self.__dict__)

    @classmethod
    def _from_parts(cls, arguments: tuple[Any, ...], facts: dict[str, Any]) -> Self:
        error = cls.__new__(cls, *arguments)
        error.args = arguments
        error.__dict__.update(facts)
        return error


def _rebuilt(kind: type[TidingsError], arguments: tuple[Any, ...], facts: dict[str, Any]) -> TidingsError:
    # Not kind(*arguments): a constructor takes facts, while `args` holds the finished message.
    return kind._from_parts(arguments, facts)


class InvalidName(TidingsError, ValueError):
    """A name or pattern outside the grammar: `name`, `reason`."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(
            f"{_short(name)} is not a valid name: {reason}; use segments of A-Z a-z 0-9 _ - joined by ':', '.' or '/'"
        )


class InvalidEvent(TidingsError, ValueError):
    """An envelope that is not a sound event: `attribute` (empty when it is the whole), `reason`, `event_id`."""

    def __init__(self, attribute: str, reason: str, *, event_id: str | None = None) -> None:
        self.attribute = attribute
        self.reason = reason
        self.event_id = event_id
        which = "the event" if event_id is None else f"event {_short(event_id)}"
        where = f" at {attribute!r}" if attribute else ""
        super().__init__(f"{which} is invalid{where}: {reason}; correct it where it is made, then publish it again")


class ContractError(TidingsError):
    """Data that does not fit its contract.

    `type` and `version` are the event's, `path` is where the data departs ("$.total"), `expected` what belongs there.
    """

    def __init__(self, type: str, version: int, path: str, expected: str, *, advice: str | None = None) -> None:
        self.type = type
        self.version = version
        self.path = path
        self.expected = expected
        advice = advice or "correct the producer, or give the change a new version with an @upcast"
        super().__init__(f"{type} version {version} does not fit its contract at {path}: {expected}; {advice}")


class NewerVersion(ContractError):
    """Data of a version newer than this process knows, which the newest known contract could not read either."""

    def __init__(self, type: str, version: int, path: str, expected: str, *, known: int | None = None) -> None:
        self.known = known
        newest = "" if known is None else f" (newest known here: {known})"
        advice = f"the event is newer than this process{newest}: deploy the new contract, then retry it"
        super().__init__(type, version, path, expected, advice=advice)


class BrokenContracts(TidingsError):
    """Contracts or upcasters that cannot work together: `type`, `reason`. Raised at start."""

    def __init__(self, type: str, reason: str) -> None:
        self.type = type
        self.reason = reason
        super().__init__(f"the contracts of {type!r} do not fit together: {reason}")


class EmitterError(TidingsError):
    """What an emitter refuses. It is raised to the caller even where `error` listeners take the failures of others."""


class UnhandledError(EmitterError):
    """`error` was emitted with something else than an exception, `value`, and nobody listens to it."""

    def __init__(self, value: object = None) -> None:
        self.value = value
        super().__init__(f"'error' was emitted with {value!r:.200} and nobody listens to it: listen to 'error'")


class NoEventLoop(EmitterError, RuntimeError):
    """A coroutine listener was not run because the emitter knows no event loop: `event`, `listener`."""

    def __init__(self, event: str, listener: str) -> None:
        self.event = event
        self.listener = listener
        super().__init__(
            f"{listener} could not hear {_short(event)}: it is a coroutine and there is no event loop to run it; emit"
            " where one runs, or await emit_async() there first: that binds the emitter to it for emits from any thread"
        )


class TooManyPending(EmitterError):
    """A coroutine listener was not run because `limit` others still are: `event`, `listener`."""

    def __init__(self, limit: int, event: str, listener: str) -> None:
        self.limit = limit
        self.event = event
        self.listener = listener
        super().__init__(
            f"{listener} could not hear {_short(event)}: {limit} coroutine listeners are running already;"
            " await emit_async() or idle() to let them finish, or give the emitter a larger max_pending"
        )


class FellBehind(EmitterError):
    """`iterate` was ended because `limit` events were waiting to be read: `event`."""

    def __init__(self, event: str, limit: int) -> None:
        self.event = event
        self.limit = limit
        super().__init__(
            f"iterating {_short(event)} was ended because {limit} events were waiting unread: read faster, or give the"
            " emitter a larger max_pending"
        )


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
            f" ({_listed(self.present)}): append a batch whole or not at all; append the missing ones"
            f" ({_listed(self.missing)}) on their own"
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
            f"is the beginning of several ids ({_listed(self.candidates)}): give more of it"
            if candidates
            else "is no event of this log, or was trimmed from it: 'tidings tail' shows ids and positions"
        )
        super().__init__(f"{_short(asked)} {found}")


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
        where = f" at {_listed(self.positions)}" if self.positions else ""
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
    """The log is open for reading only: `path`."""

    def __init__(self, path: str | None = None) -> None:
        self.path = path
        super().__init__(f"{_log(path)} is read-only: grant write access to the file and its folder, or only read")


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
        which = f" of {_listed(self.ids)}" if self.ids else ""
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


class BrokerError(TidingsError):
    """The carrier between services failed; worth another try."""


class BrokerUnreachable(BrokerError):
    """Nobody answers at a carrier's address, or not in time: `url` (without its password), `reason`."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        advice = "see that its server runs, and check address, user and password"
        super().__init__(f"{url} cannot be reached: {reason}; {advice}")


class EventRefused(BrokerError):
    """The carrier takes no such event, however often it is offered: `event_id`, `reason`."""

    def __init__(self, event_id: str, reason: str) -> None:
        self.event_id = event_id
        self.reason = reason
        super().__init__(f"event {_short(event_id)} is refused by the carrier: {reason}")


class NotSupported(BrokerError):
    """A carrier cannot do what it was asked for: `url`, `what`."""

    def __init__(self, url: str, what: str) -> None:
        self.url = url
        self.what = what
        super().__init__(f"{url} cannot {what}: see the table of carriers for one that can")


class AskingError(TidingsError):
    """A question of `app.ask` has no answer."""


class Unanswered(AskingError, TimeoutError):
    """No answer came in time: `question` (its name), `limit` in seconds."""

    def __init__(self, question: str, limit: float) -> None:
        self.question = question
        self.limit = limit
        super().__init__(
            f"{question} was not answered within {limit:g} s: see that a service runs whose handler of it returns"
            " something, or give it a longer timeout"
        )


class AnswerFailed(AskingError):
    """The handler that was asked failed: `question` (its name), `error` (the exception's type), `reason`."""

    def __init__(self, question: str, error: str, reason: str) -> None:
        self.question = question
        self.error = error
        self.reason = reason
        super().__init__(f"{question} could not be answered: {error}: {reason}")


class HandlingError(TidingsError):
    """A handler's work could not be settled."""


def unusual(error: BaseException, handler: str) -> HandlingError:
    """The failure of a handler that raised what is no `Exception`, as one."""
    said = HandlingError(f"{handler} raised {type(error).__name__}: {error}")
    said.__cause__ = error
    return said


class Reject(HandlingError):
    """Raised by a handler: this event is never to be retried. It becomes a dead letter at once and blocks nothing."""

    def __init__(self, reason: str = "rejected by its handler") -> None:
        self.reason = reason
        super().__init__(reason)


class Conflict(HandlingError):
    """A recorded statement touched another number of rows than it said: `statement`, `expected`, `actual`."""

    def __init__(self, statement: str, expected: int, actual: int) -> None:
        self.statement = statement
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"{_short(statement)} touched {actual} rows, expected were {expected}: what the handler read has changed"
            " meanwhile, it is run again"
        )


class TransactionMisuse(HandlingError):
    """A handler's statement would end or bend the transaction tidings owns: `statement`."""

    def __init__(self, statement: str) -> None:
        self.statement = statement
        super().__init__(
            f"{_short(statement)} is not allowed on tx: it commits by itself when the handler returns,"
            " and rolls back when the handler raises"
        )


class HandlerTimeout(HandlingError):
    """The handler took longer than its policy allows: `handler`, `limit` in seconds."""

    def __init__(self, handler: str, limit: float) -> None:
        self.handler = handler
        self.limit = limit
        super().__init__(f"{handler} took longer than {limit:g} s: make it faster, or raise its timeout")


class CircuitOpen(HandlingError):
    """A circuit breaker refused a call: `name`, and `until`, the time of its next trial in seconds since 1970 UTC.

    A handler that fails with it burns no attempt: its event is set aside until then.
    """

    def __init__(self, name: str, until: float) -> None:
        self.name = name
        self.until = until
        moment = datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")
        super().__init__(f"the circuit {name!r} is open, as calls kept failing: try again after {moment}")


class UnreadableEvent(TidingsError):
    """A listener met an event it cannot decode: `position`, `type`, `reason`. Reading on goes on behind it."""

    def __init__(self, position: str, type: str, reason: str) -> None:
        self.position = position
        self.type = type
        self.reason = reason
        super().__init__(
            f"{type} at {position} cannot be read: {reason}; read on to pass it over, or listen with undecodable='skip'"
        )


class InvalidLine(TidingsError, ValueError):
    """A line of input that is no event: `number`, from 1, `reason`, and the `text` as it came."""

    def __init__(self, number: int, reason: str, text: str = "") -> None:
        self.number = number
        self.reason = reason
        self.text = text
        super().__init__(f"line {number} was not published: {reason}")


class StreamOverflow(TidingsError):
    """What is pushed into an iterator came faster than it was read, and it was ended: `limit`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"{limit} items were waiting unread when another came: read faster, raise limit=, or choose what to drop"
            " with overflow="
        )


class SyncError(TidingsError):
    """`app.sync` could not wait for an answer."""


class WouldBlock(SyncError, RuntimeError):
    """`app.sync` was called where waiting would stop everything else: `call`."""

    def __init__(self, call: str, where: str, advice: str) -> None:
        self.call = call
        self.where = where
        self.advice = advice
        super().__init__(f"app.sync.{call} would stop {where}: {advice}")


class NoAnswer(SyncError, TimeoutError):
    """`app.sync` had no answer in time: `call`, `limit` in seconds."""

    def __init__(self, call: str, limit: float) -> None:
        self.call = call
        self.limit = limit
        super().__init__(
            f"app.sync.{call} had no answer within {limit:g} s, and may have taken place: publish events with ids of"
            " their own, and repeat it with the same ones; app.sync.timeout says how long to wait"
        )


class ConfigurationError(TidingsError):
    """The application is put together wrongly; the message says which part and what to change. Raised at start."""


class DuplicateGroup(ConfigurationError):
    """Two subscriptions ask for one group name: `group`."""

    def __init__(self, group: str) -> None:
        self.group = group
        super().__init__(f"two subscriptions are named {group!r}: give one of them its own name with group=")


class NotOneHandler(ConfigurationError):
    """A command has exactly one handler, and this `type` has none, or several: `groups`. Nothing was recorded."""

    def __init__(self, type: str, groups: Sequence[str]) -> None:
        self.type = type
        self.groups = tuple(groups)
        if self.groups:
            found = f"is heard by {len(self.groups)} groups ({_listed(self.groups)})"
            advice = "let one of them alone hear it, or publish it as an event"
        else:
            found = "is heard by no group of this application"
            advice = f"add a handler with @app.on({type!r}), or publish it as an event"
        super().__init__(f"the command {type!r} {found}, and one must handle it: {advice}")


class MissingExtra(TidingsError, ImportError):
    """An optional library is not installed: `extra`, `needed_by`."""

    def __init__(self, extra: str, needed_by: str) -> None:
        self.extra = extra
        self.needed_by = needed_by
        super().__init__(f"{needed_by} needs the '{extra}' extra: pip install 'tidings[{extra}]'")


def _short(text: str, limit: int = 80) -> str:
    return repr(text) if len(text) <= limit else f"{text[:limit]!r}..."


def _listed(items: Sequence[str], limit: int = 5) -> str:
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


def _log(path: str | None) -> str:
    return "the log" if path is None else f"the log {path}"
