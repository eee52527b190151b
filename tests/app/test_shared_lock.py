"""A lock that keeps the tasks of several event loops apart."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from tidings.concurrency import SharedLock

LIMIT = 20.0


async def test_tasks_of_several_loops_have_it_one_after_the_other() -> None:
    lock = SharedLock()
    inside: list[int] = []
    most = 0

    async def enter(number: int) -> None:
        nonlocal most
        async with lock:
            inside.append(number)
            most = max(most, len(inside))
            await asyncio.sleep(0)
            inside.remove(number)

    async def enter_often() -> None:
        async with asyncio.timeout(LIMIT):
            await asyncio.gather(*(enter(number) for number in range(50)))

    loop = asyncio.get_running_loop()
    threads = ThreadPoolExecutor(3)
    await asyncio.gather(
        enter_often(), *(loop.run_in_executor(threads, lambda: asyncio.run(enter_often())) for _ in range(3))
    )
    threads.shutdown(wait=False)

    assert most == 1


async def test_who_is_cancelled_while_waiting_or_as_the_turn_comes_leaves_it_to_the_next() -> None:
    lock = SharedLock()
    entered: list[int] = []

    async def enter(number: int) -> None:
        async with lock:
            entered.append(number)

    async with lock:
        waiting = [asyncio.create_task(enter(number)) for number in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
    waiting[1].cancel()  # it has its turn already, and does not know it yet
    async with asyncio.timeout(LIMIT):
        await asyncio.wait(waiting)

    assert entered == [2]
