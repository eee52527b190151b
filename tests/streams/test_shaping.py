"""Operators that look at one item after the other."""

import pytest

from tests.streams.stage import Tap
from tidings import streams
from tidings.errors import ConfigurationError
from tidings.streams import stream


async def double(number: int) -> int:
    return number * 2


async def is_odd(number: int) -> bool:
    return number % 2 == 1


async def total(before: int, number: int) -> int:
    return before + number


async def test_map_and_filter_take_plain_and_async_functions() -> None:
    plain = stream(Tap(1, 2, 3)).map(lambda number: number * 2).filter(lambda number: number > 2)
    awaited = stream(Tap(1, 2, 3)).filter(is_odd).map(double)

    assert await plain.collect() == [4, 6]
    assert await awaited.collect() == [2, 6]


async def test_scan_gives_the_running_result() -> None:
    plain: list[str] = await stream(Tap(1, 2, 3)).scan(lambda text, number: f"{text}{number}", "").collect()
    awaited = await stream(Tap(1, 2, 3)).scan(total, 0).collect()

    assert plain == ["1", "12", "123"]
    assert awaited == [1, 3, 6]


async def test_take_asks_for_no_more_than_it_gives() -> None:
    tap = Tap(1, 2, 3, 4)

    assert await stream(tap).take(2).collect() == [1, 2]
    assert tap.asked == 2
    assert await stream(Tap(1)).take(2).collect() == [1]
    assert await stream(Tap(1)).take(0).collect() == []


async def test_take_has_closed_its_source_when_it_gives_the_last_item() -> None:
    tap = Tap(1, 2, open=True)
    taken = streams.take(tap, 2)

    assert [await anext(taken), tap.closed] == [1, 0]
    assert await anext(taken) == 2
    assert tap.closed


async def test_distinct_passes_over_what_it_has_seen() -> None:
    assert await stream(Tap("a", "b", "a", "c")).distinct().collect() == ["a", "b", "c"]
    assert await stream(Tap("apple", "avocado", "bean")).distinct(lambda word: word[0]).collect() == ["apple", "bean"]


async def test_distinct_forgets_what_was_seen_longest_ago() -> None:
    assert await stream(Tap(1, 2, 1, 3, 1, 2)).distinct(remember=2).collect() == [1, 2, 3, 2]


async def test_each_calls_a_function_with_every_item() -> None:
    heard: list[int] = []

    await stream(Tap(1, 2)).each(heard.append)

    assert heard == [1, 2]


async def test_an_error_ends_the_stream_and_closes_the_source() -> None:
    tap, failing = Tap(1, 0, 2), Tap(1, then=OSError("gone"))

    with pytest.raises(ZeroDivisionError):
        await stream(tap).map(lambda number: 1 // number).map(str).collect()
    with pytest.raises(OSError, match="gone"):
        await stream(failing).map(str).collect()

    assert tap.closed
    assert failing.closed


@pytest.mark.parametrize("begun", [False, True])
async def test_closing_the_outermost_closes_the_innermost(begun: bool) -> None:
    tap = Tap(*range(1, 10))
    shaped = stream(tap).map(double).filter(lambda _: True).distinct().scan(total, 0).take(5)
    if begun:
        await anext(shaped)

    await shaped.aclose()
    await shaped.aclose()

    assert tap.closed
    with pytest.raises(StopAsyncIteration):
        await anext(shaped)


async def test_leaving_the_block_closes_the_source_of_a_loop_left_early() -> None:
    tap = Tap(1, 2, 3)

    async with stream(tap).map(double) as doubled:
        async for number in doubled:
            assert number == 2
            break

    assert tap.closed


def test_settings_that_make_no_sense_are_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"take\(-1\)"):
        streams.take(Tap[int](), -1)
    with pytest.raises(ConfigurationError, match="remember=0"):
        streams.distinct(Tap[int](), remember=0)
    with pytest.raises(ConfigurationError, match="size=0"):
        streams.batch(Tap[int](), 0)
    with pytest.raises(ConfigurationError, match="limit=0"):
        streams.merge(Tap[int](), limit=0)
    for refused in (streams.debounce, streams.throttle, streams.timeout):
        with pytest.raises(ConfigurationError, match="lies in the past"):
            refused(Tap[int](), -1.0)
