"""A member whose handler waits for its test: `patient URL LEASE`.

Says `claim` and `fence`, `begun ID` when the handler is called; goes on at `go`; says `handled ID` then.
"""

import asyncio
import sys
from typing import Any

from tests.crash.programs.coins import CoinPaid
from tests.crash.programs.talk import Told, report, say
from tests.crash.programs.worker import make_tables
from tidings import App, Event


async def main(url: str, lease: float) -> None:
    app = App("bank", url, lease=lease)
    told = Told()

    @app.on(CoinPaid)
    async def note(coin: CoinPaid, event: Event, tx: Any) -> None:
        say("begun", event.id)
        await told.until("go")
        tx.execute("INSERT INTO noted VALUES (?, ?, ?)", (event.id, coin.account, coin.number))
        say("handled", event.id)

    async with app:
        await make_tables(app)
        await app.run()


if __name__ == "__main__":
    report("claim", "fence", "trouble")
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
