"""A member of a group in a process of its own, which a test kills: it hears, and writes down what it has heard."""

import asyncio
import sys
from pathlib import Path

from tidings.brokers import connect
from tidings.testing.checker import History


async def main(url: str, path: str) -> None:
    """Hear until killed."""
    history, broker = History(Path(path)), await connect(url)
    async with broker.subscribe(["order:*"], group="g") as inbox:
        print("joined", flush=True)
        while True:
            arrivals = await inbox.receive(50)
            for each in (it.event for it in arrivals):
                history.delivered("g", each.id, key=each.key, sequence=int(each.id))
            await inbox.settle(arrivals)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
