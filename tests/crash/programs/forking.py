"""Forks with its log open; the child tries to use it: `forking URL`. Says what became of each try, then `parent ID`."""

import asyncio
import os
import sys

from tests.crash.programs.coins import CoinPaid, paid
from tests.crash.programs.talk import say
from tidings import App


async def tries(app: App) -> None:
    for name, call in {
        "publish": lambda: app.publish_many([paid(CoinPaid("child", 1))]),
        "scan": lambda: app.log.scan(""),
        "claim": lambda: app.log.ledger.claim("bank.hear", "me"),
        "health": app.health,
    }.items():
        try:
            async with asyncio.timeout(10):
                await call()
        except Exception as error:
            say(name, type(error).__name__)
        else:
            say(name, "worked")
    async with asyncio.timeout(10):
        await app.log.close()
    say("close", "worked")


async def main(url: str) -> None:
    async with App("till", url) as app:
        await app.publish_many([paid(CoinPaid("parent", 1))])
        child = os.fork()
        if not child:
            # The fork has its parent's loop, whose selector it must not touch: it begins one of its own.
            asyncio.events._set_running_loop(None)
            asyncio.run(tries(app))
            os._exit(0)
        await asyncio.to_thread(os.waitpid, child, 0)
        await app.publish_many([paid(CoinPaid("parent", 2))])
    say("done")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
