"""`Cron`: five fields, and the moments they mean, found by search.

The rules are those of vixie's cron and its descendants (Debian's, cronie). Where the day of the month and the day of
the week are both given, either will do; where one of them begins with `*`, both must fit. When clocks change, a job at
a set time runs once: right after the jump when its time is skipped, the first time when it comes twice. A job whose
minute or hour begins with `*` runs by the clock on the wall: not in an hour that is skipped, and twice in one that
comes twice.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from tidings.errors import ConfigurationError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo  # otherwise imported on use: most applications need no time zone

_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_DAYS = "SUN MON TUE WED THU FRI SAT".split()
_NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_PART = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?", re.ASCII)
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_FARTHEST = 366 * 41  # days: a 29 February that is a Sunday can be 40 years away
_LONGEST_JUMP = timedelta(hours=3)  # of daylight saving; a longer one is a correction of the calendar


class Field(NamedTuple):
    """One of the five: what it is called, the numbers it may have, and their names."""

    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()


_FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of the month", 1, 31),
    Field("month", 1, 12, ("", *_MONTHS)),
    Field("day of the week", 0, 7, (*_DAYS, "SUN")),
)


class Cron:
    """When a cron expression means, in a time zone.

    Raises:
        ConfigurationError: the expression cannot be read, never comes true, or the zone is unknown.
    """

    def __init__(self, text: str, zone: str = "UTC") -> None:
        self.text = " ".join(text.split())
        self._zone = _zone(zone)
        self.spec = f"cron {self.text} {zone}"
        fields = _NICKNAMES.get(self.text.lower(), self.text).split()
        if len(fields) != len(_FIELDS):
            raise _unreadable(
                self.text, f"it has {len(fields)} fields, and five are needed: minute hour day month weekday"
            )
        numbers = [_numbers(part, field, self.text) for part, field in zip(fields, _FIELDS, strict=True)]
        self._minutes, self._hours = sorted(numbers[0]), sorted(numbers[1])
        self._days, self._months, self._weekdays = numbers[2], numbers[3], {number % 7 for number in numbers[4]}
        self._either_day = not (fields[2].startswith("*") or fields[4].startswith("*"))
        self._by_the_wall = fields[0].startswith("*") or fields[1].startswith("*")
        if next(self._dates(date(2000, 1, 1)), None) is None:
            raise _unreadable(self.text, "there is no such day")

    def after(self, moment: datetime) -> datetime:
        """The first moment it means that is later than `moment`."""
        found = self._running_after(moment) if self._by_the_wall else self._set_after(moment)
        if found is None:
            raise _unreadable(self.text, f"it means no moment after {moment}")
        return found

    def _set_after(self, moment: datetime) -> datetime | None:
        """A job at set times: each time on the wall means one moment."""
        for day in self._dates(moment.astimezone(self._zone).date()):
            for hour in self._hours:
                for minute in self._minutes:
                    found = self._moment(datetime(day.year, day.month, day.day, hour, minute))  # noqa: DTZ001
                    if found is not None and found > moment:
                        return found
        return None

    def _running_after(self, moment: datetime) -> datetime | None:
        """A job by the wall: go from moment to moment, in leaps over what cannot be one."""
        at = moment.replace(second=0, microsecond=0) + _MINUTE
        end = moment + timedelta(days=_FARTHEST)
        while at < end:
            wall = at.astimezone(self._zone)
            if not self._is_day(wall.date()):
                at = self._next_day(at, wall)
            elif wall.hour not in self._hours:
                at = self._leap(at, 60 - wall.minute, 0)
            elif wall.minute not in self._minutes:
                later = next((minute for minute in self._minutes if minute > wall.minute), 60)
                at = self._leap(at, later - wall.minute, later % 60)
            else:
                return at
        return None

    def _next_day(self, at: datetime, wall: datetime) -> datetime:
        day = next(self._dates(wall.date() + _DAY), None)
        if day is None:
            return at + timedelta(days=_FARTHEST)
        midnight = self._moment(datetime(day.year, day.month, day.day))  # noqa: DTZ001
        return max(midnight or at, at + _MINUTE)

    def _leap(self, at: datetime, minutes: int, expected: int) -> datetime:
        """So many minutes on, unless the clock on the wall is changed meanwhile: then one, to miss nothing."""
        leapt = at + minutes * _MINUTE
        return leapt if leapt.astimezone(self._zone).minute == expected else at + _MINUTE

    def _dates(self, start: date) -> Iterator[date]:
        """The days it means, from `start` on."""
        for number in range(start.toordinal(), min(start.toordinal() + _FARTHEST, date.max.toordinal())):
            day = date.fromordinal(number)
            if self._is_day(day):
                yield day

    def _is_day(self, day: date) -> bool:
        if day.month not in self._months:
            return False
        by_month, by_week = day.day in self._days, day.isoweekday() % 7 in self._weekdays
        return by_month or by_week if self._either_day else by_month and by_week

    def _moment(self, wall: datetime) -> datetime | None:
        """When the clock on the wall first shows this; right after the jump when it never does."""
        first = wall.replace(tzinfo=self._zone).astimezone(UTC)
        if first.astimezone(self._zone).replace(tzinfo=None) == wall:
            return first
        second = wall.replace(tzinfo=self._zone, fold=1).astimezone(UTC)
        return None if first - second > _LONGEST_JUMP else self._jump(second, first)

    def _jump(self, before: datetime, after: datetime) -> datetime:
        """The minute between these at which the clock on the wall was changed."""
        old = before.astimezone(self._zone).utcoffset()
        while after - before > _MINUTE:
            middle = before + ((after - before) // _MINUTE // 2) * _MINUTE
            if middle.astimezone(self._zone).utcoffset() == old:
                before = middle
            else:
                after = middle
        return after


def _numbers(text: str, field: Field, expression: str) -> set[int]:
    return {number for part in text.split(",") for number in _range(part, field, expression)}


def _range(part: str, field: Field, expression: str) -> range:
    found = _PART.fullmatch(part)
    if found is None:
        raise _unreadable(
            expression, f"{part!r} is no {field.name}: use numbers, names, a-b, *, and /n after those two"
        )
    star, first, last, step = found.groups()
    if star:
        low, high = field.least, field.most - (field.most == 7)
    else:
        low = _number(first, field, expression)
        high = low if last is None else _number(last, field, expression)
        if high == 0 < low and field.most == 7:
            high = 7  # to Sunday
        if step is not None and last is None:
            raise _unreadable(
                expression, f"{part!r} is a step from one {field.name}: say how far, as in {first}-{field.most}/{step}"
            )
    if high < low or step == "0" or (step is not None and int(step) == 0):
        raise _unreadable(expression, f"{part!r} means no {field.name}: write the lower one first, and steps from 1")
    return range(low, high + 1, int(step or 1))


def _number(text: str, field: Field, expression: str) -> int:
    if text.upper() in field.names:
        return field.names.index(text.upper())
    if text.isdigit() and field.least <= int(text) <= field.most:
        return int(text)
    raise _unreadable(expression, f"{text!r} is no {field.name}: those go from {field.least} to {field.most}")


def _zone(name: str) -> "ZoneInfo":
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"the time zone {name!r} is unknown: use a name such as Europe/Berlin; where the system has no time zones,"
            " pip install tzdata"
        ) from error


def _unreadable(text: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"the cron expression {text!r} cannot be kept: {reason}")
