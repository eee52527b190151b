"""Why a group is behind: one sentence for each case, from facts alone."""

from typing import Any

import pytest

from tidings.handling.oversight.reason import Facts, rate, reason, span
from tidings.log import Parked
from tidings.log.backlog import Backlog
from tidings.log.group import GroupStatus, Report

NOW = 1_000_000.0
LETTER = Parked(7, 0, "ada", "id-7", "order:created", "dead", reason="ValueError: no")


def facts(
    *,
    state: str = "live",
    members: tuple[str, ...] = ("1-a",),
    blocked: int = 0,
    why: str = "",
    seen: float = NOW,
    backlog: Backlog = Backlog(),  # noqa: B008  # frozen
    obstacle: Parked | None = None,
    reports: tuple[Report, ...] = (),
) -> Facts:
    status = GroupStatus("shop.show", ("**",), state, "", backlog.events, 0, blocked, 0, members, seen, why)
    return Facts(status, backlog, NOW, obstacle, reports)


def at_work(handled: float, arriving: float, seconds: float, *, ago: float = 1.0, **more: Any) -> Report:
    return Report("shop.show", "1-a", NOW - ago, handled, arriving, seconds, **more)


BEHIND = Backlog(900_000, True, NOW - 40.0)
CASES = {
    "nothing to say": (facts(), None),
    "damaged": (
        facts(state="paused", backlog=Backlog(5, False, None, "0001-7")),
        "the record at 0001-7 is damaged: 'tidings dead add shop.show 0001-7' passes over it",
    ),
    "orphaned": (
        facts(state="orphaned", members=(), seen=NOW - 8 * 86_400),
        "orphaned: nobody has run it for 8 days, and nothing is kept for it",
    ),
    "paused": (facts(state="paused", members=()), "paused"),
    "paused and why": (facts(state="paused", why="by an operator"), "paused: by an operator"),
    "nobody": (facts(members=(), seen=NOW - 7200, backlog=BEHIND), "nobody runs it: last seen 2 h ago"),
    "blocked": (
        facts(blocked=1, obstacle=LETTER),
        "key ada blocked by dead letter id-7 (order:created): tidings dead show id-7",
    ),
    "many blocked": (
        facts(blocked=1200, obstacle=LETTER),
        "key ada blocked by dead letter id-7 (order:created), and 1,200 wait: tidings dead show id-7",
    ),
    "retrying": (
        facts(obstacle=Parked(7, 0, None, "id-7", "t", "retry", due=NOW + 12, reason="ConnectionError: away: far")),
        "retrying id-7 (t): ConnectionError, next in 12 s",
    ),
    "retry due": (
        facts(obstacle=Parked(7, 0, None, "id-7", "t", "retry", due=NOW - 3, reason="OSError: away")),
        "retrying id-7 (t): OSError, due now",
    ),
    "hindered": (
        facts(backlog=BEHIND, reports=(at_work(0, 0, 0, ago=900.0, hindrance="breaker open until 12:00"),) * 2),
        "breaker open until 12:00",
    ),
    "hindered and retrying": (
        facts(
            obstacle=Parked(7, 0, None, "id-7", "t", "retry", reason="OSError: away"),
            reports=(at_work(0, 0, 0, hindrance="LogLocked: by 42"),),
        ),
        "LogLocked: by 42; retrying id-7 (t): OSError, due now",
    ),
    "catching up": (
        facts(backlog=BEHIND, reports=(at_work(25_000, 0, 0.0), at_work(20_000, 0, 0.0))),
        "catching up: 45 k/s, about 20 s left",
    ),
    "slow handler": (
        facts(backlog=BEHIND, reports=(at_work(3.0, 12.0, 0.34),)),
        "slow handler: 340 ms an event, 12/s in, 3/s out",
    ),
    "slow and blocked": (
        facts(blocked=1, backlog=BEHIND, obstacle=LETTER, reports=(at_work(3.0, 12.0, 0.34),)),
        "key ada blocked by dead letter id-7 (order:created): tidings dead show id-7;"
        " slow handler: 340 ms an event, 12/s in, 3/s out",
    ),
    "hanging": (
        facts(backlog=BEHIND, reports=(at_work(3.0, 12.0, 0.34, ago=60.0),)),
        "no event was answered for 30 s: does its handler hang?",
    ),
    "measured for the first time soon": (facts(backlog=BEHIND, reports=(at_work(0.0, 0.0, 0.0),)), None),
    "just begun": (facts(backlog=Backlog(3, True, NOW - 1.0)), None),
    "of unknown age": (facts(backlog=Backlog(3, False, None)), None),
    "measured, and done": (facts(reports=(at_work(3.0, 12.0, 0.34),)), None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_reason_is_told_in_one_sentence(case: str) -> None:
    known, expected = CASES[case]

    assert reason(known) == expected


def test_spans_and_rates_are_short() -> None:
    spans = [span(seconds) for seconds in (-1.0, 0.0, 0.0404, 1, 59, 119, 120, 7199, 7200, 172_799, 172_800)]

    assert spans == ["0 ms", "0 ms", "40 ms", "1 s", "59 s", "119 s", "2 min", "120 min", "2 h", "48 h", "2 days"]
    assert [rate(each) for each in (0.03, 0.25, 3, 12.4, 9_999, 45_000)] == [
        "0.03/s",
        "0.25/s",
        "3/s",
        "12/s",
        "9999/s",
        "45 k/s",
    ]
