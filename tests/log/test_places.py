"""Places in a log, as people write them."""

from collections.abc import AsyncIterator

import pytest

from tidings import Event
from tidings.clock import ManualClock
from tidings.errors import ConfigurationError, LogTruncated
from tidings.log import Log, open_log
from tidings.log.places import before_last, events, position


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def log(clock: ManualClock) -> AsyncIterator[Log]:
    opened = await open_log("memory:", clock=clock)
    for _ in range(3):
        await opened.append([Event(source="test", type="a")])
        clock.advance(3600.0)
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("earliest", 0),
        ("latest", 3),
        ("90 minutes ago", 2),
        ("2.5h ago", 1),
        ("2h ago", 1),
        ("1d ago", 0),
        ("5 s ago", 3),
        ("2001-09-09T02:00:00+00:00", 1),
    ],
)
async def test_a_place_is_a_word_or_a_time(log: Log, clock: ManualClock, text: str, order: int) -> None:
    found = await position(log, text, clock)

    assert found == ("" if not order else (await log.scan("", limit=order)).upto)


async def test_a_place_is_a_position_of_this_log(log: Log, clock: ManualClock) -> None:
    head = await log.head()

    assert await position(log, head, clock) == head
    with pytest.raises(LogTruncated):
        await position(log, "ffffffffffff-0000000000000001", clock)


@pytest.mark.parametrize("text", ["yesterday", "h ago", "2 parsecs ago", ""])
async def test_anything_else_is_refused(log: Log, clock: ManualClock, text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no place in a log"):
        await position(log, text, clock)


@pytest.mark.parametrize(
    ("patterns", "number", "expected"),
    [
        (["**"], 1, ["b-2999"]),
        (["**"], 3000, None),
        (["**"], 9000, None),
        (["a"], 2, ["a-2000", "a-2500"]),
        (["a"], 6, None),
        (["c"], 1, None),
    ],
)
async def test_the_place_before_the_last_events_of_a_pattern(
    patterns: list[str], number: int, expected: list[str] | None
) -> None:
    log = await open_log("memory:")
    await log.append(
        [
            Event(id=f"{name}-{count}", source="test", type=name)
            for count in range(3000)
            for name in ["b" if count % 500 else "a"]
        ]
    )

    place = await before_last(log, patterns, number)

    found = [event.id async for event in events(log, patterns, after=place)]
    assert (found if place else None) == expected
    await log.close()
