"""A member of a group as a process of its own, so that it can be killed: it prints what it received and settled.

    python -m tests.brokers.rabbitmq_member URL

Lines are `received TIME KEY NUMBER` and `settled TIME KEY NUMBER`; the first are printed before anything else is done.
"""

import asyncio
import sys
import time

import msgspec

from tidings.brokers import Arrival, connect
from tidings.errors import TidingsError


async def main(url: str) -> None:
    """Receive and settle, for ever."""
    broker = await connect(url)
    while True:
        try:
            async with broker.subscribe(["**"], group="g", prefetch=20) as inbox:
                print("begun", flush=True)
                while True:
                    arrivals = await inbox.receive(10)
                    note("received", arrivals)
                    await inbox.settle(arrivals)
                    note("settled", arrivals)
        except TidingsError as error:
            print(f"failed {type(error).__name__}", flush=True)
            await asyncio.sleep(0.02)


def note(what: str, arrivals: list[Arrival]) -> None:
    """A line for each, of a clock that all processes of the machine share."""
    now = time.monotonic()
    lines = [f"{what} {now:.6f} {each.event.key} {msgspec.json.decode(each.event.data)}" for each in arrivals]
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
