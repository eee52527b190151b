"""Errors of an emitter, in one process."""

from tidings.errors.root import TidingsError, short


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
            f"{listener} could not hear {short(event)}: it is a coroutine and there is no event loop to run it; emit"
            " where one runs, or await emit_async() there first: that binds the emitter to it for emits from any thread"
        )


class TooManyPending(EmitterError):
    """A coroutine listener was not run because `limit` others still are: `event`, `listener`."""

    def __init__(self, limit: int, event: str, listener: str) -> None:
        self.limit = limit
        self.event = event
        self.listener = listener
        super().__init__(
            f"{listener} could not hear {short(event)}: {limit} coroutine listeners are running already;"
            " await emit_async() or idle() to let them finish, or give the emitter a larger max_pending"
        )


class FellBehind(EmitterError):
    """`iterate` was ended because `limit` events were waiting to be read: `event`."""

    def __init__(self, event: str, limit: int) -> None:
        self.event = event
        self.limit = limit
        super().__init__(
            f"iterating {short(event)} was ended because {limit} events were waiting unread: read faster, or give the"
            " emitter a larger max_pending"
        )
