"""Clocks: the machine's, and the one tests move."""

import asyncio
import time

import pytest

from tidings.clock import Clock, ManualClock, SystemClock


def test_the_system_clock_tells_the_machines_time() -> None:
    clock: Clock = SystemClock()

    before = time.time()
    assert before <= clock.now() <= time.time()
    assert clock.monotonic() <= clock.monotonic()


async def test_the_system_clock_sleeps_for_a_while() -> None:
    clock = SystemClock()
    start = clock.monotonic()

    await clock.sleep(0.01)

    assert clock.monotonic() - start >= 0.009


def test_advancing_moves_both_times_and_setting_moves_wall_time_alone() -> None:
    clock = ManualClock(100.0)

    clock.advance(5)
    clock.set(50.0)

    assert (clock.now(), clock.monotonic()) == (50.0, 5.0)


def test_advancing_by_less_than_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="does not go back"):
        ManualClock().advance(-1)


async def test_sleepers_wake_in_order_of_their_times_and_not_before() -> None:
    clock = ManualClock()
    woken: list[str] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sleep("late", 3))
        tasks.create_task(sleep("early", 1))
        await asyncio.sleep(0)
        clock.advance(0.5)
        await asyncio.sleep(0)
        assert (woken, clock.sleepers) == ([], 2)
        clock.advance(10)

    assert woken == ["early", "late"]


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(1))
    await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    clock.advance(2)

    assert clock.sleepers == 0


async def test_a_sleep_of_nothing_returns_without_an_advance() -> None:
    await ManualClock().sleep(0)
