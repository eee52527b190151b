"""Fills the disk its log is on while a handler fails, then makes room: `full_disk FOLDER`. Says what held."""

import asyncio
import os
import sys
from pathlib import Path

from tests.crash.oracle import recorded
from tests.crash.patience import parked, until
from tests.crash.programs.coins import CoinPaid, paid
from tests.crash.programs.talk import say
from tidings import App, Retry
from tidings.errors import DiskFull


def fill(path: Path) -> None:
    """Take all there is."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    for size in (1 << 16, 1 << 12, 1):
        try:
            while os.write(descriptor, b"\0" * size):
                pass
        except OSError:
            pass
    os.close(descriptor)


async def main(folder: Path) -> None:
    app = App("bank", f"sqlite:///{folder}/log.db", alerts=None)
    is_at_work, is_full = asyncio.Event(), asyncio.Event()

    @app.on("coin:paid", retry=Retry(attempts=2, inline=0, wait=0.01))
    async def book(coin: dict[str, object]) -> None:
        is_at_work.set()
        await is_full.wait()
        if coin["account"] == "poison":
            raise ValueError("a false coin")

    async with app.running():
        await app.publish_many([paid(CoinPaid("a", 1)), paid(CoinPaid("poison", 1))])
        await is_at_work.wait()  # a member of its group, which nobody becomes on a full disk
        fill(folder / "filler")
        is_full.set()
        (dead,) = await parked(app, "dead", 1)
        say("dead", dead.event_id, f"attempts={dead.attempts}")
        await until(app, lambda: no_lag(app))
        say("cursor", "lag=0")
        fill(folder / "filler2")
        say("reserve", "there" if (folder / "log.db-tidings" / "reserve").exists() else "used")
        try:
            for number in range(2, 2000):
                await app.publish_many([paid(CoinPaid("b", number))])
        except DiskFull:
            say("append", "DiskFull")
        (folder / "filler").unlink()
        await app.publish_many([paid(CoinPaid("b", number))])
        say("again", "recorded")
        await until(app, lambda: no_lag(app))
        found = [event.id for event in await recorded(app.log)]
        say("events", "sound" if found == ["a:1", "poison:1", *(f"b:{n}" for n in range(2, number + 1))] else found)


async def no_lag(app: App) -> bool:
    return not any(group.lag for group in await app.log.ledger.groups())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
