"""Publishes coins until it is done or killed: `publisher URL HISTORIES NAME COUNT SEED [LARGEST [CALLERS]]`.

Each append is of one coin up to LARGEST; CALLERS of them are under way at a time. Says `ready`, then `acked N` after
each acknowledged append, N being the coins so far, and `done` at its end.
"""

import asyncio
import random
import sys

from tests.crash.programs.coins import CoinPaid, paid
from tests.crash.programs.talk import own_history, say
from tidings import App, Event
from tidings.testing import History

ACCOUNTS = 5


class Purse:
    """Hands out coins, of a few accounts."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self._numbers = dict.fromkeys([f"{name}.{account}" for account in range(ACCOUNTS)], 0)
        self._chance = chance

    def coins(self, count: int) -> list[CoinPaid]:
        """The next ones."""
        coins = []
        for _ in range(count):
            account = self._chance.choice(list(self._numbers))
            self._numbers[account] += 1
            coins.append(CoinPaid(account, self._numbers[account]))
        return coins


class Publisher:
    """Publishes so many coins, and says how far it is."""

    def __init__(self, app: App, history: History, count: int) -> None:
        self._app = app
        self._history = history
        self._left = count
        self._acknowledged = 0

    async def run(self, purse: Purse, chance: random.Random, largest: int = 1) -> None:
        """One caller: an append after the other."""
        while self._left:
            count = min(chance.randint(1, largest), self._left)
            self._left -= count
            await self._append(purse.coins(count))
            self._acknowledged += count
            say("acked", self._acknowledged)

    async def _append(self, coins: list[CoinPaid]) -> None:
        events = [paid(coin) for coin in coins]
        for coin, event in zip(coins, events, strict=True):
            self._history.attempted(event.id, key=coin.account, sequence=coin.number)
        if len(events) == 1 and coins[0].number % 2:
            await asyncio.to_thread(self._from_a_thread, events)
        else:
            await self._app.publish_many(events)
        for event in events:
            self._history.acknowledged(event.id)

    def _from_a_thread(self, events: list[Event]) -> None:
        assert self._app.log.append_blocking is not None
        self._app.log.append_blocking(events)


async def main(url: str, folder: str, name: str, count: str, seed: str, largest: str = "1", callers: str = "1") -> None:
    chance = random.Random(seed)
    async with App("till", url) as app:
        publisher = Publisher(app, own_history(folder), int(count))
        say("ready")
        async with asyncio.TaskGroup() as tasks:
            for caller in range(int(callers)):
                tasks.create_task(publisher.run(Purse(f"{name}.{caller}", chance), chance, int(largest)))
    say("done")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
