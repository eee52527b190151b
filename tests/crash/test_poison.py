"""Events that no handler can digest: what is theirs waits, in order, and everything else goes on."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.crash.patience import idle, parked, until
from tests.crash.programs.coins import CoinPaid, paid
from tidings import App, Retry

SOON = Retry(attempts=3, inline=1, wait=0.01, longest=0.02)
Handle = Callable[[CoinPaid], None]


def asynchronous(app: App, handle: Handle, retry: Retry) -> None:
    @app.on(CoinPaid, retry=retry)
    async def book(coin: CoinPaid) -> None:
        handle(coin)


def several_at_a_time(app: App, handle: Handle, retry: Retry) -> None:
    @app.on(CoinPaid, retry=retry, concurrency=4)
    async def book(coin: CoinPaid) -> None:
        await asyncio.sleep(0)
        handle(coin)


def in_a_thread(app: App, handle: Handle, retry: Retry) -> None:
    @app.on(CoinPaid, retry=retry)
    def book(coin: CoinPaid) -> None:
        handle(coin)


def inside_the_transaction(app: App, handle: Handle, retry: Retry) -> None:
    @app.on(CoinPaid, retry=retry)
    def book(coin: CoinPaid, tx: Any) -> None:
        handle(coin)


def recording(app: App, handle: Handle, retry: Retry) -> None:
    @app.on(CoinPaid, retry=retry)
    async def book(coin: CoinPaid, tx: Any) -> None:
        handle(coin)
        tx.execute("SELECT 1")


WAYS = [asynchronous, several_at_a_time, in_a_thread, inside_the_transaction, recording]


class Bank:
    """Books coins, but not those of which it says so; an event handled twice counts once, in its first place."""

    def __init__(self, refuses: Callable[[CoinPaid], bool]) -> None:
        self.refuses = refuses
        self.booked: dict[tuple[str, int], None] = {}
        self.calls = 0

    def __call__(self, coin: CoinPaid) -> None:
        if self.refuses(coin):
            self.calls += 1
            raise ValueError(f"coin {coin.number} of {coin.account} is false")
        self.booked.setdefault((coin.account, coin.number))

    def has_booked(self, count: int) -> bool:
        return len(self.booked) == count

    def numbers(self, account: str) -> list[int]:
        return [number for name, number in self.booked if name == account]


@pytest.mark.parametrize("way", WAYS)
async def test_poison_that_comes_first_of_a_thousand_holds_up_its_own_key_and_nothing_else(
    way: Callable[[App, Handle, Retry], None], url: str
) -> None:
    bank = Bank(lambda coin: coin == CoinPaid("a0", 1))
    app = App("bank", url)
    way(app, bank, SOON)
    coins = [CoinPaid(f"a{number % 10}", number // 10 + 1) for number in range(1000)]

    async with app.running():
        await app.publish_many([paid(coin) for coin in coins])
        blocked = await parked(app, "blocked", 99)
        (dead,) = await parked(app, "dead", 1)

        assert len(bank.booked) == 900
        assert {account for account, _ in bank.booked} == {f"a{number}" for number in range(1, 10)}
        assert (dead.event_id, dead.key, dead.attempts) == ("a0:1", "a0", SOON.attempts)
        assert dead.reason == "ValueError: coin 1 of a0 is false"
        assert "Traceback" in dead.detail
        assert "ValueError: coin 1 of a0 is false" in dead.detail
        assert [each.event_id for each in blocked] == [f"a0:{number}" for number in range(2, 101)]

        bank.refuses = lambda coin: False
        assert await app.log.ledger.retry("bank.book") == 1
        await idle(app)

    assert len(bank.booked) == 1000
    for number in range(10):
        assert bank.numbers(f"a{number}") == list(range(1, 101))


@pytest.mark.parametrize("way", WAYS)
async def test_a_key_that_fails_for_long_does_not_hold_up_the_others(
    way: Callable[[App, Handle, Retry], None], url: str
) -> None:
    bank = Bank(lambda coin: coin.account == "bad")
    app = App("bank", url)
    way(app, bank, Retry(attempts=10_000, inline=0, wait=0.005, factor=1.0, longest=0.005))
    coins = [CoinPaid("bad" if not number % 10 else f"a{number % 10}", number // 10 + 1) for number in range(500)]

    async with app.running():
        for first in range(0, 500, 50):  # while it fails, and not before
            await app.publish_many([paid(coin) for coin in coins[first : first + 50]])
            await until(app, partial(bank.has_booked, first * 9 // 10 + 45))
        calls = bank.calls
        await until(app, lambda: bank.calls > calls + 3)
        assert bank.numbers("bad") == []

        bank.refuses = lambda coin: False
        await idle(app)

    assert len(bank.booked) == 500
    for account in ["bad", *(f"a{number}" for number in range(1, 10))]:
        assert bank.numbers(account) == list(range(1, 51))
