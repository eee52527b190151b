"""What all errors have in common: their facts survive pickling, and names in a message stay short."""

from collections.abc import Sequence
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


def short(text: str, limit: int = 80) -> str:
    """What may be of any length, as a message quotes it."""
    return repr(text) if len(text) <= limit else f"{text[:limit]!r}..."


def listed(items: Sequence[str], limit: int = 5) -> str:
    """The first of what may be many, as a message lists them."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more
