"""Schedules are read from what people write, and go on without drifting."""

from datetime import UTC, datetime, timedelta

import pytest

from tidings.errors import ConfigurationError
from tidings.handling.timing.schedule import Spoken, schedule
from tidings.log.record import to_microseconds

NOW = to_microseconds(datetime(2024, 5, 17, 12, 34, 56, 789_000, tzinfo=UTC))
SECOND = 1_000_000


@pytest.mark.parametrize(
    ("spoken", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1d", 86_400),
        ("2w", 1_209_600),
        ("0.5s", 0.5),
        (2.5, 2.5),
        (10, 10),
        (timedelta(minutes=5), 300),
    ],
)
def test_an_interval_begins_now_and_keeps_its_step(spoken: Spoken, seconds: float) -> None:
    step = int(seconds * SECOND)
    found = schedule(spoken)

    assert found.first(NOW) == NOW + step
    assert found.following(NOW, NOW + 1) == NOW + step
    assert found.following(NOW, NOW + step - 1) == NOW + step


def test_of_intervals_missed_none_is_made_up_for_and_the_step_is_kept() -> None:
    found = schedule("5m")

    assert found.following(NOW, NOW + 1000 * SECOND) == NOW + 1200 * SECOND
    assert found.following(NOW, NOW + 900 * SECOND) == NOW + 1200 * SECOND


def test_cron_is_in_its_zone_and_utc_without_one() -> None:
    berlin, plain = schedule("0 3 * * *", "Europe/Berlin"), schedule("0 3 * * *")

    assert berlin.first(NOW) == to_microseconds(datetime(2024, 5, 18, 1, tzinfo=UTC))
    assert plain.first(NOW) == to_microseconds(datetime(2024, 5, 18, 3, tzinfo=UTC))
    assert plain.following(NOW - 10**12, NOW) == plain.first(NOW)


@pytest.mark.parametrize(
    ("spoken", "other", "are_same"),
    [("60m", 3600, True), ("@daily", "@daily", True), ("1h", "2h", False), ("@daily", "@weekly", False)],
)
def test_a_schedule_is_known_again_by_its_spec(spoken: Spoken, other: Spoken, are_same: bool) -> None:
    assert (schedule(spoken).spec == schedule(other).spec) is are_same


@pytest.mark.parametrize(
    ("spoken", "zone", "reason"),
    [
        ("", None, "no schedule"),
        ("often", None, "no schedule"),
        ("5", None, "no schedule"),
        ("5m1h", None, "no schedule"),
        (None, None, "no schedule"),
        (True, None, "no schedule"),
        (0, None, "0.1 s to ten years"),
        (timedelta(0), None, "0.1 s to ten years"),
        (float("nan"), None, "0.1 s to ten years"),
        ("99999w", None, "0.1 s to ten years"),
        ("5m", "Europe/Berlin", "leave zone='Europe/Berlin' out"),
        ("0 3 * *", None, "4 fields"),
        ("0 3 * * *", "Mars/Olympus", "'Mars/Olympus' is unknown"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_reason(spoken: Spoken, zone: str | None, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        schedule(spoken, zone)
