"""Several sources as one: order, backpressure, errors, and no task left behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.streams.stage import BOUND, Tap, others, turns
from tidings import streams
from tidings.clock import ManualClock
from tidings.streams import Flow, stream


async def test_merge_gives_all_items_each_source_in_order() -> None:
    merged = await stream(Tap(*range(1, 100))).merge(Tap(*range(101, 200)), Tap(*range(201, 300))).collect()

    assert sorted(merged) == [*range(1, 100), *range(101, 200), *range(201, 300)]
    for start in (0, 100, 200):
        assert [number for number in merged if start < number < start + 100] == list(range(start + 1, start + 100))


async def test_merge_gives_an_item_when_it_comes_whoever_else_is_silent() -> None:
    silent, lively = Tap[int](open=True), Tap(1, open=True)

    async with streams.merge(silent, lively) as merged:
        assert await asyncio.wait_for(anext(merged), BOUND) == 1

    assert silent.closed
    assert lively.closed


async def test_merge_reads_no_further_ahead_than_its_limit() -> None:
    left, right = Tap(*range(1, 1000)), Tap(*range(1, 1000))

    async with streams.merge(left, right, limit=4) as merged:
        await anext(merged)
        await turns(100)
        assert left.asked + right.asked <= 1 + 4 + 2  # taken, waiting, and in the hand of each
        for _ in range(20):
            await anext(merged)
        await turns(100)
        assert left.asked + right.asked <= 21 + 4 + 2


async def test_the_first_error_ends_a_merge_after_what_came_before() -> None:
    failing, silent = Tap(1, 2, then=OSError("gone")), Tap[int](open=True)
    merged, given = streams.merge(failing, silent), list[int]()

    with pytest.raises(OSError, match="gone"):
        await stream(merged).each(given.append)

    assert given == [1, 2]
    assert failing.closed
    assert silent.closed
    assert not others()


async def test_nothing_is_merged_into_an_empty_stream() -> None:
    empty: Flow[int] = streams.merge()

    assert [number async for number in empty] == []


def made(name: str, tap: AsyncIterator[int], clock: ManualClock) -> Flow[Any]:
    """Each operator that keeps tasks."""
    making: dict[str, Callable[[], Flow[Any]]] = {
        "merge": lambda: streams.merge(tap, Tap[int](open=True)),
        "debounce": lambda: streams.debounce(tap, 5, clock=clock),
        "batch": lambda: streams.batch(tap, 10, 5, clock=clock),
        "timeout": lambda: streams.timeout(tap, 5, clock=clock),
    }
    return making[name]()


KEEPING_TASKS = ["merge", "debounce", "batch", "timeout"]


@pytest.mark.parametrize("name", KEEPING_TASKS)
async def test_a_reader_that_is_cancelled_leaves_no_task_and_an_open_source_closed(name: str) -> None:
    clock, tap = ManualClock(), Tap(1, open=True)
    flow = made(name, tap, clock)

    async def read() -> None:
        async for _ in flow:
            pass

    reader = asyncio.create_task(read())
    await turns()
    assert others()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader

    assert not others()
    assert tap.closed
    assert clock.sleepers == 0


@pytest.mark.parametrize("name", KEEPING_TASKS)
async def test_closing_one_that_was_never_read_closes_its_source(name: str) -> None:
    tap = Tap(1)

    await made(name, tap, ManualClock()).aclose()

    assert tap.closed
    assert not others()


async def test_closing_the_outermost_of_many_ends_the_generator_within() -> None:
    ended = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(1000):
                yield number
        finally:
            await asyncio.sleep(0)  # closing may take its time
            ended.append("numbers")

    async with stream(numbers()).map(str).merge(Tap[str](open=True)).batch(2, 60).map(len).timeout(60) as lengths:
        assert await anext(lengths) == 2

    assert ended == ["numbers"]
    assert not others()
