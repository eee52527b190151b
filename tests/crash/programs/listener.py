"""A member of one group without effects, light enough for many events: `listener URL HISTORIES`; ends at SIGTERM.

Says `ready` once it owns lanes, and `handled` for each call.
"""

import asyncio
import sys

from tests.crash.programs.coins import CoinPaid
from tests.crash.programs.talk import own_history, report, say
from tests.crash.programs.worker import note_settled
from tidings import App, Event
from tidings.testing import History

GROUP = "bank.hear"


def listening(url: str, history: History) -> App:
    app = App("bank", url)

    @app.on(CoinPaid)
    async def hear(coin: CoinPaid, event: Event) -> None:
        history.delivered(GROUP, event.id, key=coin.account, sequence=coin.number)
        say("handled", event.id)

    return app


async def main(url: str, history: History) -> None:
    app = listening(url, history)
    async with app:
        note_settled(app.log, history, GROUP)
        await app.run()


if __name__ == "__main__":
    report("claim")
    asyncio.run(main(sys.argv[1], own_history(sys.argv[2])))
