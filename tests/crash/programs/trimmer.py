"""Trims what its handler has heard, without rest, while it publishes: `trimmer URL NAME COUNT`.

Says `ready`, `acked N` after each acknowledged append, `trimmed N` after each step that removed something, N in all.
"""

import asyncio
import sys

from tests.crash.programs.coins import CoinPaid, paid
from tests.crash.programs.talk import say
from tidings import App, Retain
from tidings.log.census import Census
from tidings.log.retention import Retention
from tidings.log.trimming import sweep

RULES = Retention({"coin:paid": Retain(consumed=True)})


async def trim(app: App) -> None:
    """Round after round."""
    census = Census()
    while True:
        async for step in sweep(app.log, RULES, census, app.clock.now()):
            if step.removed:
                say("trimmed", step.total)


async def main(url: str, name: str, count: str) -> None:
    app = App("bank", url)

    @app.on("coin:paid", group="bank.hear")
    async def hear(coin: dict[str, object]) -> None:
        pass

    async with app.running():
        trimming = asyncio.create_task(trim(app))
        say("ready")
        for first in range(1, int(count), 20):
            await app.publish_many([paid(CoinPaid(name, number)) for number in range(first, first + 20)])
            say("acked", first + 19)
        trimming.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
