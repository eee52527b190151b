"""Told to end, a process finishes what is in hand, for a while; what is unfinished gets no answer and comes again."""

import asyncio
import signal
import time

import pytest

from tests.crash.oracle import intact
from tests.crash.processes import Child, Start
from tests.crash.programs.coins import CoinPaid, paid
from tidings import App
from tidings.log.record import slot_of

DRAIN = 1.0
BOUND = DRAIN + 6.0  # seconds from the signal to the end: a second to leave, three to close, and a busy machine


async def pay(url: str, count: int) -> None:
    """Coins of a slot each, so that no one waits for another."""
    by_slot = {slot_of(f"a{number}"): f"a{number}" for number in range(10 * count)}
    async with App("till", url) as app:
        accounts = list(by_slot.values())[:count]
        await app.publish_many([paid(CoinPaid(account, number)) for number, account in enumerate(accounts, 1)])


async def heard_next(url: str) -> list[int]:
    """What the group hears from now on."""
    app, heard = App("bank", url), []

    @app.on(CoinPaid, group="bank.book")
    async def book(coin: CoinPaid) -> None:
        heard.append(coin.number)

    async with app.running(), asyncio.timeout(20):
        ear = app.log.bell.listen()
        while any(group.lag or group.retry for group in await app.log.ledger.groups()):
            await ear.wait(0.02)
    return heard


def begun(child: Child, count: int) -> set[int]:
    return {int(child.expect("begun")[1]) for _ in range(count)}


def test_a_stop_lets_handlers_finish_and_leaves_the_one_that_hangs_to_the_next_process(start: Start, url: str) -> None:
    asyncio.run(pay(url, 50))
    child = start("stopping", url, "async", DRAIN)
    assert begun(child, 50) == set(range(1, 51))

    told_at = time.monotonic()
    child.send(signal.SIGTERM)
    child.tell("go")
    handled = {int(child.expect("handled")[1]) for _ in range(49)}
    child.expect("ended")
    assert child.wait() == 0
    took = time.monotonic() - told_at

    again = asyncio.run(heard_next(url))
    print(f"ended after {took:.2f} s with {DRAIN} s to drain; {len(again)} of 50 came again")
    assert handled == set(range(2, 51))
    assert took < BOUND
    assert 1 in again
    intact(url)


@pytest.mark.parametrize("kind", ["thread", "tx"])
def test_a_plain_handler_that_never_returns_does_not_keep_its_process_alive(kind: str, start: Start, url: str) -> None:
    asyncio.run(pay(url, 3))
    child = start("stopping", url, kind, DRAIN)
    while 1 not in begun(child, 1):
        pass

    told_at = time.monotonic()
    child.send(signal.SIGTERM)
    child.expect("ended", within=2 * BOUND)
    assert child.wait(within=BOUND) == 0
    took = time.monotonic() - told_at

    again = asyncio.run(heard_next(url))
    print(f"ended after {took:.2f} s with {DRAIN} s to drain; {len(again)} of 3 came again")
    assert took < BOUND
    assert 1 in again
    intact(url)


@pytest.mark.parametrize("kind", ["async", "thread", "tx"])
def test_a_second_signal_ends_it_now(kind: str, start: Start, url: str) -> None:
    asyncio.run(pay(url, 3))
    child = start("stopping", url, kind, 60.0)
    while 1 not in begun(child, 1):
        pass

    child.send(signal.SIGTERM)
    waited = repeated(child)
    assert child.wait() == -signal.SIGTERM
    print(f"ended {waited:.2f} s after the first signal")

    assert 1 in asyncio.run(heard_next(url))
    intact(url)


def repeated(child: Child) -> float:
    """Send the second signal once the first is taken, which nobody announces: until it ends, every few milliseconds."""
    told_at = time.monotonic()
    while child.is_running and time.monotonic() - told_at < 20:
        child.listen(1000, within=0.05)
        child.send(signal.SIGTERM)
    return time.monotonic() - told_at
