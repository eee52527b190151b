"""Errors of an application: how it is put together, and what it was asked."""

from collections.abc import Sequence

from tidings.errors.root import TidingsError, listed


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
            found = f"is heard by {len(self.groups)} groups ({listed(self.groups)})"
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
