"""What becomes of listeners' exceptions: each is emitted as `error`, and what nobody takes there is raised together."""

from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, NoReturn

from tidings.emitter.names import ERROR
from tidings.errors import EmitterError, UnhandledError


def report(event: str, failures: list[Exception], emit: Callable[[str, Exception], object]) -> None:
    """Hand each failure of an emission to the `error` listeners; raise those that stay with the caller."""
    untaken = []
    for failure in failures:
        traceback = failure.__traceback__
        try:
            if _is_for_the_caller(event, failure):
                raise failure
            emit(ERROR, failure)
        except Exception as error:
            untaken.append(_explained(error, failure, traceback))
    failures.clear()  # their tracebacks hold the caller's frame, which holds this list
    if untaken:
        raise_together(event, untaken)


async def report_async(
    event: str, failures: list[Exception], emit: Callable[[str, Exception], Awaitable[object]]
) -> None:
    """As `report`, awaiting the `error` listeners."""
    untaken = []
    for failure in failures:
        traceback = failure.__traceback__
        try:
            if _is_for_the_caller(event, failure):
                raise failure
            await emit(ERROR, failure)
        except Exception as error:
            untaken.append(_explained(error, failure, traceback))
    failures.clear()  # their tracebacks hold the caller's frame, which holds this list
    if untaken:
        raise_together(event, untaken)


def with_failure(failure: Exception, failures: list[Exception] | None) -> list[Exception]:
    """One failure more; None stands for none yet, so that an emission without any makes no list."""
    return [failure] if failures is None else [*failures, failure]


def raise_together(event: str, failures: Sequence[Exception]) -> NoReturn:
    """Raise one failure as it is, several as a group."""
    if len(failures) == 1:
        raise failures[0]
    raise ExceptionGroup(f"{len(failures)} listeners of {event!r} failed", failures)


def raise_unhandled(*args: Any) -> NoReturn:
    """The listener to `error` where there is no other: raise what was emitted."""
    raise as_exception(args)


def as_exception(args: tuple[Any, ...]) -> BaseException:
    """What was emitted as `error`, as something that can be raised."""
    return args[0] if args and isinstance(args[0], BaseException) else UnhandledError(*args[:1])


def _is_for_the_caller(event: str, failure: Exception) -> bool:
    # A failing `error` listener is not asked about its own failure; a refusal is not a failure of the listener at all.
    return event == ERROR or isinstance(failure, EmitterError)


def _explained(error: Exception, failure: Exception, traceback: TracebackType | None) -> Exception:
    if error is failure:
        return failure.with_traceback(traceback)  # from the listener, without its detour through `error`
    error.__context__ = error.__context__ or failure
    return error
