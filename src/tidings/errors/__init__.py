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

from tidings.errors.application import (
    AnswerFailed,
    AskingError,
    ConfigurationError,
    DuplicateGroup,
    MissingExtra,
    NoAnswer,
    NotOneHandler,
    SyncError,
    Unanswered,
    WouldBlock,
)
from tidings.errors.brokers import BrokerError, BrokerUnreachable, EventRefused, NotSupported
from tidings.errors.emitter import EmitterError, FellBehind, NoEventLoop, TooManyPending, UnhandledError
from tidings.errors.events import BrokenContracts, ContractError, InvalidEvent, InvalidName, NewerVersion
from tidings.errors.handling import (
    CircuitOpen,
    Conflict,
    HandlerTimeout,
    HandlingError,
    Reject,
    TransactionMisuse,
    unusual,
)
from tidings.errors.log import (
    CommitUnknown,
    DiskFull,
    Fenced,
    IdReused,
    LogClosed,
    LogDamaged,
    LogError,
    LogLocked,
    LogReadOnly,
    LogTruncated,
    LogUnreachable,
    NewerSchema,
    PartialDuplicate,
    StreamClosed,
    UnknownEvent,
    UsedAfterFork,
    VersionConflict,
)
from tidings.errors.reading import InvalidLine, StreamOverflow, UnreadableEvent
from tidings.errors.root import TidingsError

__all__ = [
    "AnswerFailed",
    "AskingError",
    "BrokenContracts",
    "BrokerError",
    "BrokerUnreachable",
    "CircuitOpen",
    "CommitUnknown",
    "ConfigurationError",
    "Conflict",
    "ContractError",
    "DiskFull",
    "DuplicateGroup",
    "EmitterError",
    "EventRefused",
    "FellBehind",
    "Fenced",
    "HandlerTimeout",
    "HandlingError",
    "IdReused",
    "InvalidEvent",
    "InvalidLine",
    "InvalidName",
    "LogClosed",
    "LogDamaged",
    "LogError",
    "LogLocked",
    "LogReadOnly",
    "LogTruncated",
    "LogUnreachable",
    "MissingExtra",
    "NewerSchema",
    "NewerVersion",
    "NoAnswer",
    "NoEventLoop",
    "NotOneHandler",
    "NotSupported",
    "PartialDuplicate",
    "Reject",
    "StreamClosed",
    "StreamOverflow",
    "SyncError",
    "TidingsError",
    "TooManyPending",
    "TransactionMisuse",
    "Unanswered",
    "UnhandledError",
    "UnknownEvent",
    "UnreadableEvent",
    "UsedAfterFork",
    "VersionConflict",
    "WouldBlock",
    "unusual",
]

for _name in __all__:
    globals()[_name].__module__ = __name__  # where to import it from, for tracebacks, pickles and pages
