"""An application whose timers fire, and a function it calls ten times a second: `till URL WINDOW`.

WINDOW is the point of the first firing's transaction at which it ends itself with SIGKILL, or `never`. A call leaves
its row in `calls`.
"""

import asyncio
import sys

from tests.crash.programs.talk import forever, report, say
from tests.crash.programs.window import Window
from tidings import App, Tick, Transaction
from tidings.log.sqlite import SqliteLog

EVERY = 0.1  # seconds


def till(url: str) -> App:
    app = App("till", url)

    @app.on_start
    async def tables() -> None:
        async with app.transaction() as tx:
            tx.execute("CREATE TABLE IF NOT EXISTS calls(due TEXT)")

    @app.every(EVERY, group="till.call")
    def call(tick: Tick, tx: Transaction) -> None:
        tx.execute("INSERT INTO calls VALUES (?)", (tick.due.isoformat(),))

    return app


async def main(url: str, window: str) -> None:
    app = till(url)
    async with app:
        log = app.log
        assert isinstance(log, SqliteLog)
        if window != "never":
            Window(log, window).before(log.ledger.timers, "fire")
        async with app.running():
            say("runs")
            await forever()


if __name__ == "__main__":
    report("claim")
    asyncio.run(main(*sys.argv[1:]))
