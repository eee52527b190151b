"""Errors of a handler: what it raised, did or could not finish."""

from datetime import UTC, datetime

from tidings.errors.root import TidingsError, short


class HandlingError(TidingsError):
    """A handler's work could not be settled."""


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
            f"{short(statement)} touched {actual} rows, expected were {expected}: what the handler read has changed"
            " meanwhile, it is run again"
        )


class CircuitOpen(HandlingError):
    """A circuit breaker refused a call: `name`, and `until`, the time of its next trial in seconds since 1970 UTC.

    A handler that fails with it burns no attempt: its event is set aside until then.
    """

    def __init__(self, name: str, until: float) -> None:
        self.name = name
        self.until = until
        moment = datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")
        super().__init__(f"the circuit {name!r} is open, as calls kept failing: try again after {moment}")


class TransactionMisuse(HandlingError):
    """A handler's statement would end or bend the transaction tidings owns: `statement`."""

    def __init__(self, statement: str) -> None:
        self.statement = statement
        super().__init__(
            f"{short(statement)} is not allowed on tx: it commits by itself when the handler returns,"
            " and rolls back when the handler raises"
        )


class HandlerTimeout(HandlingError):
    """The handler took longer than its policy allows: `handler`, `limit` in seconds."""

    def __init__(self, handler: str, limit: float) -> None:
        self.handler = handler
        self.limit = limit
        super().__init__(f"{handler} took longer than {limit:g} s: make it faster, or raise its timeout")


def unusual(error: BaseException, handler: str) -> HandlingError:
    """The failure of a handler that raised what is no `Exception`, as one."""
    said = HandlingError(f"{handler} raised {type(error).__name__}: {error}")
    said.__cause__ = error
    return said
