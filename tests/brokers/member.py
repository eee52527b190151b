"""A member of a group as a process of its own, so that it can be killed and frozen; what it does, it writes down.

    python -m tests.brokers.member URL GROUP FILE

It says "joined" once it is a member, goes on after failures as a service does, and leaves when it is told to end. Asked
by a signal, it shows where it stands.
"""

import asyncio
import faulthandler
import signal
import sys
from pathlib import Path

from tests.brokers.words import Reader
from tidings.brokers import connect
from tidings.testing.checker import History

PREFETCH = 50  # that it has in hand at a time
SHOW = signal.SIGUSR1


async def main(url: str, group: str, path: str) -> None:
    """Read and settle, until told to end."""
    faulthandler.register(SHOW)
    broker = await connect(url)
    reader = Reader(broker, History(Path(path)), group=group, prefetch=PREFETCH)
    reading = asyncio.ensure_future(reader.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, reading.cancel)
    joining = asyncio.ensure_future(reader.joined.wait())
    await asyncio.wait([reading, joining], return_when=asyncio.FIRST_COMPLETED)
    print("joined", flush=True)
    await asyncio.wait([reading])
    joining.cancel()
    await broker.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
