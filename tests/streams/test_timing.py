"""Operators that know the time, on a clock that stands still until it is moved."""

import asyncio

import pytest

from tests.streams.stage import BOUND, Tap, turns
from tidings import streams
from tidings.clock import ManualClock
from tidings.streams import stream


async def test_debounce_gives_the_last_item_before_a_pause() -> None:
    clock, tap = ManualClock(), Tap(1, 2, open=True)
    quiet = streams.debounce(tap, 0.5, clock=clock)
    first = asyncio.ensure_future(anext(quiet))

    await turns()
    clock.advance(0.4)
    await turns()
    tap.give(3)
    await turns()
    clock.advance(0.4)
    await turns()
    assert not first.done()  # the third began the wait anew
    clock.advance(0.1)

    assert await asyncio.wait_for(first, BOUND) == 3
    await quiet.aclose()


async def test_debounce_gives_what_still_waits_before_the_end_or_the_error() -> None:
    clock = ManualClock()
    failing = streams.debounce(Tap(1, 2, then=OSError("gone")), 5, clock=clock)

    assert await stream(Tap(1, 2)).debounce(5, clock=clock).collect() == [2]
    assert await anext(failing) == 2
    with pytest.raises(OSError, match="gone"):
        await anext(failing)


async def test_throttle_gives_one_item_a_while() -> None:
    clock, tap = ManualClock(), Tap[int](open=True)
    given, slow = [], streams.throttle(tap, 1.0, clock=clock)

    async def read() -> None:
        given.extend([number async for number in slow])

    reader = asyncio.create_task(read())
    for number, wait in enumerate((0.4, 0.4, 0.4, 0.4, 0.4, 0.4)):
        tap.give(number)
        await turns()
        clock.advance(wait)
    tap.end()
    await asyncio.wait_for(reader, BOUND)

    assert given == [0, 3]


async def test_batch_fills_up_to_its_size() -> None:
    assert await stream(Tap(1, 2, 3, 4, 5)).batch(2).collect() == [[1, 2], [3, 4], [5]]


async def test_batch_gives_what_it_has_when_the_wait_is_over() -> None:
    clock, tap = ManualClock(), Tap(1, 2, open=True)
    batches = streams.batch(tap, 10, 0.5, clock=clock)
    first = asyncio.ensure_future(anext(batches))

    await turns()
    clock.advance(0.5)
    assert await asyncio.wait_for(first, BOUND) == [1, 2]

    second = asyncio.ensure_future(anext(batches))
    await turns()
    clock.advance(100)  # nothing has come, so no wait has begun
    await turns()
    assert not second.done()
    tap.give(3)
    await turns()
    clock.advance(0.5)
    assert await asyncio.wait_for(second, BOUND) == [3]
    await batches.aclose()


async def test_batch_gives_what_it_has_before_an_error() -> None:
    batches = streams.batch(Tap(1, then=OSError("gone")), 10, 5)

    assert await anext(batches) == [1]
    with pytest.raises(OSError, match="gone"):
        await anext(batches)


async def test_timeout_ends_a_stream_that_falls_silent() -> None:
    clock, tap = ManualClock(), Tap(1, open=True)
    watched = streams.timeout(tap, 30, clock=clock)

    assert await anext(watched) == 1
    second = asyncio.ensure_future(anext(watched))
    await turns()
    clock.advance(29)
    tap.give(2)
    assert await asyncio.wait_for(second, BOUND) == 2
    third = asyncio.ensure_future(anext(watched))
    await turns()
    clock.advance(30)
    with pytest.raises(TimeoutError, match="nothing came for 30 s"):
        await asyncio.wait_for(third, BOUND)

    assert tap.closed
    assert clock.sleepers == 0


async def test_timeout_lets_a_source_end_in_time() -> None:
    assert await stream(Tap(1, 2)).timeout(30, clock=ManualClock()).collect() == [1, 2]
