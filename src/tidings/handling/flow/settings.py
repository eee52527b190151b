"""What users write to hold a group's events back: each checks its numbers, and says itself in a sentence."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tidings.errors import ConfigurationError

MOST_IN_BATCH = 10_000
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}

Priority = Callable[[Any], int] | Mapping[str, int]


class Rate(msgspec.Struct, frozen=True):
    """At most `calls` calls of the handler in any `per` seconds, counted by each process; what comes faster waits.

    Up to `burst` of them (a tenth of `calls` unless said) may come at once, the others evenly spread.

    Raises:
        ConfigurationError: the numbers allow nothing.
    """

    calls: int
    per: float = 1.0
    burst: int | None = None

    def __post_init__(self) -> None:
        if self.calls < 1 or not self.per > 0 or (self.burst is not None and not 1 <= self.burst <= self.calls):
            raise ConfigurationError(f"{self} cannot be kept: calls and burst start at 1, per is above 0 s")

    @property
    def at_once(self) -> int:
        """How many calls may come without a pause between them."""
        return self.burst or max(self.calls // 10, 1)

    def sentence(self) -> str:
        """As `tidings describe` prints it."""
        return f"At most {self.calls:,} calls in {_seconds(self.per)}, {self.at_once:,} at once, in each process."


class Throttle(msgspec.Struct, frozen=True):
    """The first `events` of a key in any `per` seconds are handled when they come; the others are passed over.

    The time is that of handling. An event without a key is never passed over, and one that failed is tried again as
    always.

    Raises:
        ConfigurationError: the numbers allow nothing.
    """

    events: int = 1
    per: float = 1.0

    def __post_init__(self) -> None:
        if self.events < 1 or not self.per > 0:
            raise ConfigurationError(f"{self} cannot be kept: events start at 1, per is above 0 s")

    def sentence(self) -> str:
        """As `tidings describe` prints it."""
        which = "The first event" if self.events == 1 else f"The first {self.events:,} events"
        return f"{which} of a key in {_seconds(self.per)} counts; the others are passed over."


class Debounce(msgspec.Struct, frozen=True):
    """Of each key only the last event is handled, `quiet` seconds after it if no other came, at latest after `longest`.

    The one that waits is parked in the log's database, so that it outlives its process.

    Raises:
        ConfigurationError: the times cannot be kept.
    """

    quiet: float
    longest: float | None = None

    def __post_init__(self) -> None:
        if not self.quiet > 0 or (self.longest is not None and self.longest < self.quiet):
            raise ConfigurationError(f"{self} cannot be kept: quiet is above 0 s, longest is no shorter than it")

    def sentence(self) -> str:
        """As `tidings describe` prints it."""
        limit = "" if self.longest is None else f", at latest after {_seconds(self.longest)}"
        return f"Only the last event of a key is handled, after {_seconds(self.quiet)} without another{limit}."


class Batch(msgspec.Struct, frozen=True):
    """A handler that takes a list gets up to `size` events at once, or fewer `wait` seconds after the first was read.

    Raises:
        ConfigurationError: the numbers cannot be kept.
    """

    size: int = 100
    wait: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MOST_IN_BATCH or self.wait < 0:
            raise ConfigurationError(f"{self} cannot be kept: size is 1 to {MOST_IN_BATCH:,}, wait is 0 s or more")

    def sentence(self) -> str:
        """As `tidings describe` prints it."""
        return (
            f"Up to {self.size:,} events a call, or fewer after {_seconds(self.wait)}; when a call fails for good, its"
            " events are tried one by one."
        )


class Breaker(msgspec.Struct, frozen=True):
    """After `failures` failed calls `within` seconds no call is made for `open_for` seconds, then one to see.

    Raises:
        ConfigurationError: the numbers cannot be kept.
    """

    failures: int = 5
    within: float = 60.0
    open_for: float = 30.0

    def __post_init__(self) -> None:
        if self.failures < 1 or not self.within > 0 or not self.open_for > 0:
            raise ConfigurationError(f"{self} cannot be kept: failures start at 1, within and open_for are above 0 s")

    def sentence(self) -> str:
        """As `tidings describe` prints it."""
        return (
            f"{self.failures:,} failed calls within {_seconds(self.within)} stop a process from calling for"
            f" {_seconds(self.open_for)}; then one event tells whether it goes on."
        )


class FlowControl(msgspec.Struct, frozen=True):
    """What one group has said of its flow; nothing, for most."""

    rate: Rate | None = None
    throttle: Throttle | None = None
    debounce: Debounce | None = None
    batch: Batch | None = None
    breaker: Breaker | None = None
    priority: Priority | None = None
    singleton: bool = False

    @property
    def is_free(self) -> bool:
        """Is nothing held back? (Of a singleton neither: it only has all the lanes.)"""
        return not (self.rate or self.throttle or self.debounce or self.breaker or self.has_priority)

    @property
    def has_priority(self) -> bool:
        """Do some keys come first?"""
        return self.priority is not None

    @property
    def asks_for_keys(self) -> bool:
        """Does each event's key have to be known? Then records are read whole."""
        return self.throttle is not None or self.debounce is not None or self.has_priority

    def sentences(self) -> list[str]:
        """As `tidings describe` prints it."""
        settings = (self.rate, self.throttle, self.debounce, self.batch, self.breaker)
        said = [each.sentence() for each in settings if each is not None]
        if self.has_priority:
            said.append(f"Of what has been read, keys with a higher priority ({self.priority_name}) come first.")
        if self.singleton:
            said.append("One event of the group at a time, over all processes.")
        return said

    @property
    def priority_name(self) -> str:
        """Where priorities come from."""
        if isinstance(self.priority, Mapping):
            return "given by key"
        return getattr(self.priority, "__qualname__", type(self.priority).__name__)


FREE = FlowControl()


def _seconds(seconds: float) -> str:
    for unit in ("h", "m"):
        if seconds >= UNITS[unit] and seconds % UNITS[unit] == 0:
            return f"{seconds / UNITS[unit]:g} {'min' if unit == 'm' else unit}"
    return f"{seconds:g} s"
