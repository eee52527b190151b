"""Later: when a delayed event is due, and the form in which a handler returns one."""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import msgspec

from tidings.errors import InvalidEvent
from tidings.events import Event
from tidings.log.record import from_microseconds, to_microseconds

Value = TypeVar("Value")
Delay = float | timedelta


@dataclass(frozen=True)
class Later(Generic[Value]):
    """An event that a handler returns to be published later: after `delay` (seconds or timedelta), or `at` a moment.

    It is scheduled in the settlement that commits the handler's work, and once, however often the handler runs.

        return Later(PaymentReminded(order.order_id), delay=timedelta(days=7))
    """

    event: Value
    delay: Delay | None = field(default=None, kw_only=True)
    at: datetime | None = field(default=None, kw_only=True)


def due_at(now: float, *, delay: Delay | None, at: datetime | None) -> int:
    """The moment that is meant, in microseconds since 1970 UTC; `now` is in seconds.

    Raises:
        InvalidEvent: none is meant, or both, or it is no moment.
    """
    if (delay is None) == (at is None):
        raise InvalidEvent("delay", "a later event takes either delay= or at=")
    if at is not None:
        if not isinstance(at, datetime) or at.utcoffset() is None:
            raise InvalidEvent("at", "expected a datetime with a timezone, such as datetime.now(UTC)")
        return to_microseconds(at)
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        raise InvalidEvent("delay", f"expected seconds or a timedelta, got {delay!r:.80}")
    return int((now + seconds) * 1e6)


def timed(event: Event, value: Any, due: int) -> Event:
    """The event made of `value`, taking place when it is due; unless its maker gave it a time of its own.

    Raises:
        InvalidEvent: it is due after the year 9999.
    """
    if isinstance(value, Event) and value.time is not None:
        return event
    try:
        return msgspec.structs.replace(event, time=from_microseconds(due))
    except (OverflowError, ValueError) as error:
        raise InvalidEvent("delay", "it is due after the year 9999", event_id=event.id) from error
