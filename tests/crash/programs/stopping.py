"""Is told to end with handlers at work, one of which hangs: `stopping URL KIND DRAIN`.

KIND is `async` (50 keys at a time), `thread`, or `tx` (inside the log's transaction). Says `begun N` at each call, and
`handled N` when it returns, which the one of coin 1 never does and the async ones once the test writes `go`; `ended` at
its end.
"""

import asyncio
import sys
import threading
from typing import Any

from tests.crash.programs.coins import CoinPaid
from tests.crash.programs.talk import Told, say
from tidings import App


def hang() -> None:
    threading.Event().wait()


def hear_async(app: App, going: asyncio.Event) -> None:
    @app.on(CoinPaid, group="bank.book", concurrency=50)
    async def book(coin: CoinPaid) -> None:
        say("begun", coin.number)
        await going.wait()
        if coin.number == 1:
            await asyncio.Event().wait()
        say("handled", coin.number)


def hear_in_thread(app: App, going: asyncio.Event) -> None:
    @app.on(CoinPaid, group="bank.book", concurrency=4)
    def book(coin: CoinPaid) -> None:
        say("begun", coin.number)
        if coin.number == 1:
            hang()
        say("handled", coin.number)


def hear_in_transaction(app: App, going: asyncio.Event) -> None:
    @app.on(CoinPaid, group="bank.book")
    def book(coin: CoinPaid, tx: Any) -> None:
        say("begun", coin.number)
        if coin.number == 1:
            hang()
        say("handled", coin.number)


async def main(url: str, kind: str, drain: float) -> None:
    app, going, told = App("bank", url, drain=drain), asyncio.Event(), Told()
    {"async": hear_async, "thread": hear_in_thread, "tx": hear_in_transaction}[kind](app, going)

    async def listen() -> None:
        await told.until("go")
        going.set()

    listening = asyncio.create_task(listen())
    await app.run()
    listening.cancel()
    say("ended")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
