"""What handling tells the outside: one structured log line for what is not routine, one `Metrics` a batch for the rest.

Nothing is said per event on the path where nothing fails.
"""

import logging
from collections.abc import Callable

import msgspec

logger = logging.getLogger("tidings")


class Metrics(msgspec.Struct, frozen=True):
    """What one group did with one batch."""

    group: str
    handled: int
    parked: int  # set aside to be tried again, or to wait behind another
    dead: int
    published: int  # events its handlers returned
    seconds: float  # from the first handler's call to the settlement
    passed_over: int = 0  # events that flow control has left out


MetricsHook = Callable[[Metrics], None]


def say(level: int, what: str, **facts: object) -> None:
    """One line: `what`, then `name=value` pairs; the facts are on the record too, under `tidings`."""
    if logger.isEnabledFor(level):
        line = " ".join(f"{name}={_shown(value)}" for name, value in facts.items())
        logger.log(level, "%s %s", what, line, extra={"tidings": {"what": what, **facts}})


def _shown(value: object) -> str:
    text = str(value)
    return repr(text) if not text or any(space in text for space in " \n\t=") else text
