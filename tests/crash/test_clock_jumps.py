"""Clocks that jump: by an hour, back, past 2038. Log time never falls, no retry is early, nothing is lost."""

import asyncio
import random
from collections.abc import Callable

import pytest

from tests.crash.oracle import recorded
from tests.crash.patience import idle, until
from tests.crash.programs.coins import CoinPaid, paid
from tidings import App, Retry
from tidings.clock import ManualClock
from tidings.log import Parked, open_log
from tidings.log.position import order_in

HOUR = 3600.0
END_OF_32_BITS = 2.0**31 + 7  # 19 January 2038
JUMPS = [HOUR, -HOUR, END_OF_32_BITS, 1_000_000_000.0]


async def test_log_time_never_falls_whatever_the_clock_does(url: str, chance: random.Random) -> None:
    clock = ManualClock()
    for life in range(5):  # each process begins without a memory
        log = await open_log(url, clock=clock)
        for number in range(10):
            await log.append([paid(CoinPaid(f"a{life}", number + 1))])
            clock.set(jumped(clock.now(), chance))
        await log.close()
    log = await open_log(url, clock=clock)
    events = await recorded(log)

    times = [event.recorded_at for event in events if event.recorded_at is not None]
    assert len(times) == 50
    assert times == sorted(times)
    for event in events:  # and a moment finds its place
        assert event.recorded_at is not None
        before = await log.position_at(event.recorded_at.timestamp())
        assert order_in(before) < order_in(event.position or "")
    await log.close()


@pytest.mark.parametrize("key", ["a", None], ids=["keyed", "keyless"])
async def test_a_retry_is_never_early_by_the_clock_it_was_given(
    key: str | None, url: str, chance: random.Random, trials: Callable[[int], int]
) -> None:
    clock = ManualClock()
    app = App("bank", url, clock=clock)
    calls: list[float] = []

    @app.on("coin:paid", retry=Retry(attempts=10, inline=0, wait=10.0, factor=2.0))
    async def book(coin: object) -> None:
        calls.append(clock.now())
        if len(calls) % 4:
            raise ValueError("not yet")

    async with app.running():
        for number in range(trials(5)):
            await app.publish("coin:paid", {"account": "a", "number": number}, key=key)
            for attempts in range(1, 4):
                waiting = await waiting_after(app, attempts)
                count = len(calls)
                for _ in range(chance.randrange(6)):
                    if clock.now() < waiting.due:
                        await noticed(app)
                        assert len(calls) == count
                        clock.set(jumped(clock.now(), chance))
                clock.set(max(clock.now(), waiting.due))
                await until_called(app, calls, count)
                assert calls[-1] >= waiting.due
            clock.set(max(clock.now(), waiting.due))
            await idle(app)

    assert len(calls) == 4 * trials(5)


async def waiting_after(app: App, attempts: int) -> Parked:
    """The parked event, once the settlement of this attempt is there."""
    found: list[Parked] = []

    async def is_there() -> bool:
        found[:] = await app.log.ledger.parked(state="retry")
        return [each.attempts for each in found] == [attempts]

    await until(app, is_there)
    return found[0]


def jumped(now: float, chance: random.Random) -> float:
    jump = chance.choice([*JUMPS, 3.0, 11.0, 40.0])
    return jump if jump > HOUR else now + jump


async def noticed(app: App) -> None:
    """Have every reader look at the clock."""
    for _ in range(3):
        app.log.bell.ring()
        await app.log.head()  # behind whatever they have asked the log meanwhile
        await asyncio.sleep(0)


async def until_called(app: App, calls: list[float], count: int) -> None:
    def is_called() -> bool:
        app.log.bell.ring()
        return len(calls) > count

    await until(app, is_called)
