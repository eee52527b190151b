"""Chores are done by one process for all, by another when it goes, and go on when one fails."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.handling.stage import BOUND
from tidings.clock import ManualClock
from tidings.handling.chores.housekeeping import Housekeeping
from tidings.log import Log, open_log


class Counted:
    """A chore that is due again after 10 s, and fails as often as told."""

    def __init__(self, failures: int = 0) -> None:
        self.times: list[float] = []
        self.failures = failures
        self.news = asyncio.Event()

    async def run(self, now: float) -> float:
        self.times.append(now)
        self.news.set()
        if self.failures:
            self.failures -= 1
            raise OSError("the disk is gone")
        return now + 10.0

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(BOUND):
            while len(self.times) < count:
                self.news.clear()
                await self.news.wait()


@pytest.fixture
async def log(url: str, clock: ManualClock) -> AsyncIterator[Log]:
    opened = await open_log(url, clock=clock)
    yield opened
    await opened.close()


async def run_one(log: Log, clock: ManualClock, chore: Counted) -> tuple[Housekeeping, "asyncio.Task[None]"]:
    member = await log.ledger.enter()
    keeping = Housekeeping("shop", log, member, clock, [chore])
    return keeping, asyncio.create_task(keeping.run())


async def stop(keeping: Housekeeping, task: "asyncio.Task[None]") -> None:
    keeping.stop()
    async with asyncio.timeout(BOUND):
        await task


async def test_a_chore_is_asked_again_when_it_is_due_and_not_before(log: Log, clock: ManualClock) -> None:
    chore = Counted()
    keeping, task = await run_one(log, clock, chore)
    await chore.reach(1)
    before = len(chore.times)

    clock.advance(9.9)
    log.bell.ring()
    await asyncio.sleep(0)
    clock.advance(0.1)
    log.bell.ring()
    await chore.reach(before + 1)

    assert chore.times[-1] == clock.now()
    await stop(keeping, task)


async def test_a_clock_that_is_set_back_does_not_put_a_chore_off(log: Log, clock: ManualClock) -> None:
    chore = Counted()
    keeping, task = await run_one(log, clock, chore)
    await chore.reach(1)
    clock.set(clock.now() - 3600.0)
    log.bell.ring()

    for _ in range(2):
        before = len(chore.times)
        clock.advance(10.0)
        log.bell.ring()
        await chore.reach(before + 1)

    await stop(keeping, task)


async def test_of_two_processes_one_does_the_chores_and_the_other_takes_over(log: Log, clock: ManualClock) -> None:
    first, second = Counted(), Counted()
    one, one_task = await run_one(log, clock, first)
    await first.reach(1)
    other, other_task = await run_one(log, clock, second)

    await stop(one, one_task)
    assert not second.times
    await log.ledger.leave(one._member)
    await second.reach(1)

    await stop(other, other_task)


async def test_a_chore_that_fails_is_in_trouble_and_tried_again(log: Log, clock: ManualClock) -> None:
    chore = Counted(failures=2)
    keeping, task = await run_one(log, clock, chore)

    await chore.reach(3)
    await stop(keeping, task)
    assert len(chore.times) == 3
    assert keeping.reason is None


async def test_a_chore_that_fails_holds_up_no_other(log: Log, clock: ManualClock) -> None:
    failing, other = Counted(failures=1_000_000), Counted()
    member = await log.ledger.enter()
    keeping = Housekeeping("shop", log, member, clock, [failing, other])
    task = asyncio.create_task(keeping.run())
    await failing.reach(3)
    await other.reach(1)

    for _ in range(3):
        done = len(other.times)
        clock.advance(10.0)
        log.bell.ring()
        await other.reach(done + 1)

    assert keeping.reason is not None
    assert "the disk is gone" in keeping.reason
    await stop(keeping, task)


async def test_housekeeping_is_no_group_that_an_operator_sees(log: Log, clock: ManualClock) -> None:
    chore = Counted()
    keeping, task = await run_one(log, clock, chore)
    await chore.reach(1)

    assert await log.ledger.groups() == []
    await stop(keeping, task)
