"""A last member, which nobody kills: works until no event and no retry is left: `finish URL HISTORIES`.

Says `finished` then; each call `handled`, as a worker does.
"""

import asyncio
import random
import sys

from tests.crash.programs.talk import own_history, report, say
from tests.crash.programs.worker import bank, make_tables
from tidings import App
from tidings.testing import History


async def finish(url: str, history: History) -> None:
    app = bank(url, history, random.Random(0), failing=0.0)
    async with app:
        await make_tables(app)
        async with app.running():
            await until_idle(app)
    say("finished")


async def until_idle(app: App) -> None:
    """Wait until every group has answered everything."""
    ear = app.log.bell.listen()
    while any(group.lag or group.retry or group.blocked for group in await app.log.ledger.groups()):
        await ear.wait(0.05)


if __name__ == "__main__":
    report("claim")
    asyncio.run(finish(sys.argv[1], own_history(sys.argv[2])))
