"""Cron expressions mean the moments that cron means, clock changes included."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim  # Debian's cron in Python, written apart from this one

from tidings.errors import ConfigurationError
from tidings.handling.timing.cron import Cron

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kathmandu"]
CHANGES = [
    ("Europe/Berlin", datetime(2024, 3, 31, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2024, 10, 27, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2024, 3, 10, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2024, 11, 3, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2024, 4, 6, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2024, 10, 5, 15, 30, tzinfo=UTC)),
]
YEARS = 15 * 365 * 86_400


def moments(text: str, zone: str, start: datetime, count: int) -> list[datetime]:
    cron, found = Cron(text, zone), [start]
    for _ in range(count):
        found.append(cron.after(found[-1]))
    return found[1:]


def on_the_wall(text: str, zone: str, start: str, count: int) -> list[str]:
    """The moments after a local time, as the clock on the wall shows them, with their distance from UTC."""
    begin = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return [moment.astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z") for moment in moments(text, zone, begin, count)]


class Debian(CronSim):
    """The library, which goes to a day or month by its midnight, also where the clocks skip that."""

    def advance_month(self) -> None:
        super().advance_month()
        self._onto_the_wall()

    def advance_day(self) -> bool:
        moved: bool = super().advance_day()
        self._onto_the_wall()
        return moved

    def _onto_the_wall(self) -> None:
        """A job by the wall goes on at what it shows: no job runs at a time that never is."""
        if self.dt.tzinfo is not None:
            self.dt = self.dt.astimezone(UTC).astimezone(self.dt.tzinfo)


def oracle(text: str, zone: str, start: datetime, count: int) -> list[datetime]:
    """The same from the library, which names a moment twice when two skipped times end in it."""
    found: list[datetime] = []
    for each in Debian(text, start.astimezone(ZoneInfo(zone))):
        moment = each.astimezone(UTC)
        if moment > max([start, *found]):
            found.append(moment)
        if len(found) == count:
            return found
    raise AssertionError(f"{text} has ended")


def field(chance: random.Random, least: int, most: int) -> str:
    def single() -> str:
        low, high = sorted(chance.sample(range(least, most + 1), 2))  # the library reads 2-2/3 as 2/3
        kind = chance.randrange(4)
        if kind == 0:
            return f"{low}-{high}"
        return f"{low}-{high}/{chance.randint(1, 5)}" if kind == 1 else str(low)

    kind = chance.randrange(5)
    if kind < 2:
        return "*"
    if kind == 2:
        return f"*/{chance.randint(1, (most - least) // 2)}"
    return ",".join(single() for _ in range(chance.randint(1, 3)))


def expression(chance: random.Random) -> str:
    limits = [(0, 59), (0, 23), (1, 28), (1, 12), (0, 6)]
    return " ".join(field(chance, least, most) for least, most in limits)


def test_random_expressions_mean_what_another_cron_takes_them_for(seed: int, trials: Callable[[int], int]) -> None:
    chance = random.Random(seed)
    for _ in range(trials(300)):
        text, zone = expression(chance), chance.choice(ZONES)
        start = datetime.fromtimestamp(1_400_000_000 + chance.randrange(YEARS), UTC)

        assert moments(text, zone, start, 8) == oracle(text, zone, start, 8), (text, zone, start)


def test_random_expressions_mean_each_time_the_wall_shows_while_clocks_change(
    seed: int, trials: Callable[[int], int]
) -> None:
    chance = random.Random(seed)
    for _ in range(trials(200)):
        zone, change = chance.choice(CHANGES)
        minute = chance.choice(["*", f"*/{chance.randint(1, 30)}"])
        hour = chance.choice(["*", "*/2", "1", "2", "1,2", "0-3", "2-3"])
        start = change - timedelta(minutes=chance.randrange(300), seconds=chance.randrange(60))

        found = moments(f"{minute} {hour} * * *", zone, start, 20)

        assert found == minute_by_minute(minute, hour, zone, start, found[-1]), (minute, hour, zone, start)


def minute_by_minute(minute: str, hour: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """Each minute at whose beginning the wall shows such a time."""
    minutes, hours = numbers(minute, 60), numbers(hour, 24)
    at, found = start.replace(second=0), []
    while at <= end:
        wall = at.astimezone(ZoneInfo(zone))
        if at > start and wall.minute in minutes and wall.hour in hours:
            found.append(at)
        at += timedelta(minutes=1)
    return found


def numbers(text: str, count: int) -> set[int]:
    if text.startswith("*"):
        return set(range(0, count, int(text.partition("/")[2] or 1)))
    first, _, last = text.partition("-")
    return set(range(int(first), int(last) + 1)) if last else {int(each) for each in text.split(",")}


def test_random_times_of_the_day_agree_while_clocks_change(seed: int, trials: Callable[[int], int]) -> None:
    chance = random.Random(seed)
    for _ in range(trials(200)):
        zone, change = chance.choice([one for one in CHANGES if one[0] != "Australia/Lord_Howe"])
        text = f"{chance.randrange(60)},{chance.randrange(60)} {chance.choice(['1', '2', '1,2', '0-3'])} * * *"
        start = change - timedelta(minutes=chance.randrange(300))

        assert moments(text, zone, start, 12) == oracle(text, zone, start, 12), (text, zone, start)


@pytest.mark.parametrize(
    ("text", "zone", "start", "expected"),
    [
        # at two the clocks show three: a job in the hour between runs once, right then
        ("30 2 * * *", "Europe/Berlin", "2024-03-30T12:00", ["31 03:00 +0200", "01 02:30 +0200"]),
        ("0,30 2 * * *", "Europe/Berlin", "2024-03-30T12:00", ["31 03:00 +0200", "01 02:00 +0200"]),
        ("30 2 * * *", "America/New_York", "2024-03-09T12:00", ["10 03:00 -0400", "11 02:30 -0400"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2024-10-05T12:00", ["06 02:30 +1100", "07 02:15 +1100"]),
        ("30 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00", ["04 01:00 -0200", "05 00:30 -0200"]),  # at midnight
        ("19,0 */3 * */3 0,2", "America/Sao_Paulo", "2016-10-12T08:37", ["16 03:00 -0200", "16 03:19 -0200"]),
        # the hour from two to three comes twice: a job runs the first time
        ("30 2 * * *", "Europe/Berlin", "2024-10-26T12:00", ["27 02:30 +0200", "28 02:30 +0100"]),
        ("30 1 * * *", "America/New_York", "2024-11-02T12:00", ["03 01:30 -0400", "04 01:30 -0500"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2024-04-06T12:00", ["07 01:45 +1100", "08 01:45 +1030"]),
        # by the wall: every half hour of it, as often as it comes
        ("*/30 * * * *", "Europe/Berlin", "2024-03-31T01:15", ["31 01:30 +0100", "31 03:00 +0200", "31 03:30 +0200"]),
        ("*/30 2 * * *", "Europe/Berlin", "2024-10-27T02:10", ["27 02:30 +0200", "27 02:00 +0100", "27 02:30 +0100"]),
        ("0 * * * *", "Australia/Lord_Howe", "2024-04-07T00:30", ["07 01:00 +1100", "07 02:00 +1030"]),
        # a whole day left out of the calendar is not made up for
        ("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00", ["29 12:00 -1000", "31 12:00 +1400"]),
    ],
)  # fmt: skip
def test_when_clocks_change(text: str, zone: str, start: str, expected: list[str]) -> None:
    assert on_the_wall(text, zone, start, len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@daily", ["02 00:00 +0000", "03 00:00 +0000"]),
        ("@hourly", ["01 01:00 +0000", "01 02:00 +0000"]),
        ("@weekly", ["07 00:00 +0000", "14 00:00 +0000"]),
        ("0 9-17/4 * * MON-FRI", ["01 09:00 +0000", "01 13:00 +0000", "01 17:00 +0000", "02 09:00 +0000"]),
        ("0 0 * JAN sat-sun", ["06 00:00 +0000", "07 00:00 +0000"]),
        ("0 0 13 * 5", ["05 00:00 +0000", "12 00:00 +0000", "13 00:00 +0000"]),  # either
        ("0 0 */2 * 5", ["05 00:00 +0000", "19 00:00 +0000"]),  # both
        ("0 0 29 2 *", ["29 00:00 +0000"]),
        ("0 0 * * 7", ["07 00:00 +0000"]),
    ],
)
def test_names_ranges_steps_lists_and_nicknames(text: str, expected: list[str]) -> None:
    assert on_the_wall(text, "UTC", "2024-01-01T00:00", len(expected)) == expected


def test_the_farthest_day_is_found() -> None:
    leap_sunday = Cron("0 0 29 2 */7")

    assert leap_sunday.after(datetime(2088, 3, 1, tzinfo=UTC)) == datetime(2128, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "zone", "reason"),
    [
        ("* * * *", "UTC", "it has 4 fields"),
        ("60 * * * *", "UTC", "'60' is no minute"),
        ("* 24 * * *", "UTC", "'24' is no hour"),
        ("* * 0 * *", "UTC", "'0' is no day of the month"),
        ("* * * FOO *", "UTC", "'FOO' is no month"),
        ("* * * * 8", "UTC", "'8' is no day of the week"),
        ("5-1 * * * *", "UTC", "means no minute"),
        ("*/0 * * * *", "UTC", "means no minute"),
        ("5/15 * * * *", "UTC", "5-59/15"),
        ("1,,2 * * * *", "UTC", "is no minute"),
        ("0 0 L * *", "UTC", "'L' is no day"),
        ("0 0 30 2 *", "UTC", "no such day"),
        ("@reboot", "UTC", "1 fields"),
        ("* * * * *", "Europe/Nowhere", "time zone 'Europe/Nowhere' is unknown"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_reason(text: str, zone: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        Cron(text, zone)
