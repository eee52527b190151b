"""A member whose handler takes its time: `slow URL SECONDS`. Ends at SIGTERM."""

import asyncio
import sys

from tests.crash.programs.coins import CoinPaid
from tests.crash.programs.talk import report
from tidings import App


async def main(url: str, seconds: float) -> None:
    app = App("bank", url)

    @app.on(CoinPaid)
    async def note(coin: CoinPaid) -> None:
        await asyncio.sleep(seconds)

    await app.run()


if __name__ == "__main__":
    report("claim")
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
