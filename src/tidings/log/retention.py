"""What a log may forget: rules by pattern, and the words in which a log is asked to forget.

Without a rule every event is kept. Whatever a rule says, `Log.trim` keeps what somebody still needs; see there.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Literal, NamedTuple

import msgspec

from tidings.errors import ConfigurationError
from tidings.events import Pattern
from tidings.log.position import Position

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BYTES: Final = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_AMOUNT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*")
OVERHEAD: Final = 170  # bytes, about, that an event takes beside its data and envelope: columns and index entries


class Retain(msgspec.Struct, frozen=True, kw_only=True):
    """How long the events of a pattern are kept. What is past one of the limits is trimmed; without any, nothing is.

    `age` is "30d" (s, m, h, d, w) or a timedelta, of log time. `size` is "1 GB" or a number of bytes; the oldest events
    go first. With `consumed` an event goes once every group that hears it is past it, if there is such a group. Events
    of streams stay unless `streams` is set. `dead` drops dead letters so long after they were set aside.

    Raises:
        ConfigurationError: it is no age or size, or nothing would be kept.
    """

    age: timedelta | str | None = None
    size: int | str | None = None
    consumed: bool = False
    streams: bool = False
    dead: timedelta | str | None = None

    def __post_init__(self) -> None:
        limits = (self.seconds, self.bytes, self.dead_seconds)
        if any(limit is not None and limit <= 0 for limit in limits):
            raise ConfigurationError(f"{self} keeps nothing: give a limit above 0, or leave the rule out to keep all")

    @property
    def seconds(self) -> float | None:
        """The age in seconds."""
        return _seconds(self.age)

    @property
    def bytes(self) -> int | None:
        """The size in bytes."""
        if isinstance(self.size, str):
            return int(_amount(self.size, _BYTES, "a size", "1 GB"))
        return self.size

    @property
    def dead_seconds(self) -> float | None:
        """The age of dead letters in seconds."""
        return _seconds(self.dead)

    def __str__(self) -> str:
        given = {name: getattr(self, name) for name in ("age", "size", "consumed", "streams", "dead")}
        return f"Retain({', '.join(f'{name}={value!r}' for name, value in given.items() if value)})"


class Retention:
    """The rules of one application: the first pattern that fits a name decides, and a name without one is kept.

    Raises:
        ConfigurationError, InvalidName: a rule is no `Retain`, or its pattern is none.
    """

    def __init__(self, rules: Mapping[str, Retain]) -> None:
        for pattern, rule in rules.items():
            if not isinstance(rule, Retain):
                raise ConfigurationError(f"retain= of {pattern!r} is {rule!r}: write Retain(age='30d') or the like")
        self.rules = tuple(rules.items())
        self._patterns = [Pattern(pattern) for pattern in rules]
        self._known: dict[str, int | None] = {}

    @property
    def is_given(self) -> bool:
        """Has anybody given a rule?"""
        return any(OWN.get(pattern) != rule for pattern, rule in self.rules)

    @property
    def youngest(self) -> float | None:
        """The age in seconds that an event has to have before anything concerns it; None when others may go too."""
        ages = [rule.seconds for _, rule in self.rules]
        others = any(rule.bytes is not None or rule.consumed or rule.dead_seconds is not None for _, rule in self.rules)
        return None if others else min((age for age in ages if age is not None), default=None)

    def place(self, type: str) -> int | None:
        """Which rule, counted from 0, is this name's; None: it is kept."""
        if type not in self._known:
            fitting = (place for place, pattern in enumerate(self._patterns) if pattern.matches(type))
            self._known[type] = next(fitting, None)
        return self._known[type]

    def rule(self, type: str) -> Retain | None:
        """The rule of this name; None: it is kept."""
        place = self.place(type)
        return None if place is None else self.rules[place][1]


def with_own(rules: Mapping[str, Retain]) -> Retention:
    """These rules and, for what the toolkit itself records, one of its own, unless one of these fits first.

    Raises:
        ConfigurationError, InvalidName: see `Retention`.
    """
    return Retention({**rules, **{pattern: rule for pattern, rule in OWN.items() if pattern not in rules}})


class Tally(msgspec.Struct):
    """So many events, about so large; when the oldest was recorded (microseconds since 1970, 0: there is none)."""

    events: int = 0
    bytes: int = 0
    oldest: int = 0

    def add(self, other: "Tally") -> None:
        """Count these too."""
        self.events += other.events
        self.bytes += other.bytes
        if other.oldest and (not self.oldest or other.oldest < self.oldest):
            self.oldest = other.oldest


class Kind(NamedTuple):
    """Events of one name, in streams or not, as they are counted together."""

    type: str
    in_stream: bool


class Survey(msgspec.Struct):
    """What lies between two places: how much of each kind; and how many events were ever trimmed from this log."""

    after: Position
    upto: Position
    at_head: bool
    kinds: dict[Kind, Tally]
    trimmed: int


class Cut(msgspec.Struct, frozen=True):
    """For one name: remove what lies up to an order; of `streams` too."""

    upto: int
    streams: bool = False


class Holder(NamedTuple):
    """Who holds an event back: a group that has yet to hear it, or has it `parked`; or the event's own stream."""

    why: Literal["cursor", "parked", "stream"]
    group: str = ""

    def __str__(self) -> str:
        said = {"cursor": f"{self.group} has yet to hear them", "parked": f"{self.group} has set them aside"}
        return said.get(self.why, "their streams begin later")


class Trimmed(msgspec.Struct):
    """One step of trimming: how far it looked, what it removed by kind, and what was held back, by kind and by whom."""

    upto: Position
    removed: dict[Kind, Tally]
    held: dict[tuple[Kind, Holder], Tally]
    total: int  # events ever trimmed from this log, these included


class Disk(msgspec.Struct, frozen=True):
    """What a log takes on disk, in bytes: its file, the free room within it, and the `-wal` beside it."""

    file: int = 0
    free: int = 0
    wal: int = 0


def _seconds(given: timedelta | str | None) -> float | None:
    if isinstance(given, timedelta):
        return given.total_seconds()
    return None if given is None else _amount(given, _SECONDS, "an age", "30d")


def _amount(text: str, units: Mapping[str, int], what: str, example: str) -> float:
    found = _AMOUNT.fullmatch(text)
    unit = None if found is None else next((u for u in units if u.lower() == found[2].lower()), None)
    if found is None or unit is None:
        raise ConfigurationError(f"{text!r} is not {what}: write it as in {example!r}, in one of {', '.join(units)}")
    return float(found[1]) * units[unit]


OWN: Final = {"tidings:**": Retain(age="30d")}  # what the toolkit itself records: alerts, and what recurs
