"""`Schedule`: when something recurs. Every so often (`"5m"`), or at times of the day as cron says them."""

import re
from datetime import timedelta
from typing import Protocol

from tidings.errors import ConfigurationError
from tidings.handling.timing.cron import Cron
from tidings.log.record import from_microseconds, to_microseconds

Spoken = str | int | float | timedelta
_LEAST = 0.1  # seconds: each occurrence is an event, written to the disk
_SPAN = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
_SECONDS = (604_800, 86_400, 3600, 60, 1)


class Schedule(Protocol):
    """When something recurs; moments are microseconds since 1970 UTC."""

    @property
    def spec(self) -> str:
        """The same text for the same schedule."""

    def first(self, now: int) -> int:
        """The first occurrence after `now`, when it begins now."""

    def following(self, due: int, now: int) -> int:
        """The one that follows an occurrence that was `due`, after `now`: those missed between are left out."""


class Interval:
    """Every so many seconds, counted from when it was first scheduled; time zones and clock changes do not matter."""

    def __init__(self, seconds: float) -> None:
        if not _LEAST <= seconds <= 10 * 365 * 86_400:
            raise ConfigurationError(f"every {seconds:g} s cannot be kept: use {_LEAST} s to ten years")
        self._step = round(seconds * 1e6)
        self.spec = f"every {timedelta(microseconds=self._step)}"

    def first(self, now: int) -> int:
        """One interval from now."""
        return now + self._step

    def following(self, due: int, now: int) -> int:
        """A whole number of intervals after `due`."""
        return due + (max(now - due, 0) // self._step + 1) * self._step


class Calendar:
    """At the times of a cron expression."""

    def __init__(self, cron: Cron) -> None:
        self._cron = cron
        self.spec = cron.spec

    def first(self, now: int) -> int:
        """The first time it means."""
        return to_microseconds(self._cron.after(from_microseconds(now)))

    def following(self, due: int, now: int) -> int:
        """The first time it means after both."""
        return self.first(max(due, now))


def schedule(spoken: Spoken, zone: str | None = None) -> Schedule:
    """The schedule of a text (`"90s"`, `"1h30m"`, `"0 3 * * *"`, `"@daily"`), a timedelta or a number of seconds.

    `zone` is the time zone of a cron expression, UTC when not given.

    Raises:
        ConfigurationError: it cannot be read, or never comes true.
    """
    seconds = _seconds(spoken)
    if seconds is None:
        return Calendar(Cron(str(spoken), zone or "UTC"))
    if zone is not None:
        raise ConfigurationError(f"every {spoken!r} is the same in each time zone: leave zone={zone!r} out")
    return Interval(seconds)


def span(text: str) -> float | None:
    """The seconds of `"90s"`, `"5m"`, `"1h30m"`; None when it is no span of time."""
    found = _SPAN.fullmatch("".join(text.split()))
    if found is None or not text.strip():
        return None
    return sum(float(number or 0) * seconds for number, seconds in zip(found.groups(), _SECONDS, strict=True))


def _seconds(spoken: Spoken) -> float | None:
    """The seconds of an interval; None for a cron expression."""
    if isinstance(spoken, timedelta):
        return spoken.total_seconds()
    if isinstance(spoken, int | float) and not isinstance(spoken, bool):
        return spoken
    text = spoken.strip() if isinstance(spoken, str) else ""
    if (seconds := span(text)) is not None:
        return seconds
    if " " in text or text.startswith("@"):
        return None
    raise ConfigurationError(
        f"every {spoken!r} is no schedule: use '90s', '5m', '1h30m', '1d', seconds, a timedelta, or cron as in"
        " '0 3 * * *'"
    )
