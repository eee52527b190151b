"""Forks while it is a member and runs on in the child, as a pool of processes does: `heir URL`.

Says `child PID`, and `claim` when it owns lanes; the child says nothing and waits.
"""

import asyncio
import os
import signal
import sys

from tests.crash.programs.coins import CoinPaid
from tests.crash.programs.talk import report, say
from tidings import App


async def main(url: str) -> None:
    app = App("bank", url)

    @app.on(CoinPaid, group="bank.hear")
    async def hear(coin: CoinPaid) -> None: ...

    async with app.running():
        child = os.fork()
        if not child:
            os.closerange(0, 3)  # its parent's end is to be seen
            signal.pause()
            os._exit(0)
        say("child", child)
        await asyncio.sleep(60)


if __name__ == "__main__":
    report("claim")
    asyncio.run(main(sys.argv[1]))
