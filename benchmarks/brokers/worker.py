"""The application of the question about workers, as `tidings run` finds it: a handler that waits, and is counted."""

import asyncio
import mmap
import os
import struct
from pathlib import Path
from time import monotonic

from benchmarks.brokers.client import GROUP
from benchmarks.orders import Gauge, OrderCreated
from tidings import App

WAIT = 0.005  # seconds that the handler waits, as for a database
URL, LOG, FOLDER = "BENCH_URL", "BENCH_LOG", "BENCH_FOLDER"  # in the environment
COUNTS = struct.Struct("qqqdd")  # events to warm up by, events, keys, times of the first and the last event


class Tally:
    """What this process has handled, in a file that whoever measures looks at meanwhile."""

    def __init__(self, folder: Path) -> None:
        path = folder / str(os.getpid())
        path.write_bytes(bytes(COUNTS.size))
        with path.open("r+b") as file:
            self._there = mmap.mmap(file.fileno(), COUNTS.size)
        self._warm = self._events = 0
        self._keys: set[int] = set()
        self._first = 0.0

    def note(self, order: OrderCreated) -> None:
        """One more. Numbers below 0 are there to see all workers at work before it begins."""
        now = monotonic()
        if order.order_id < 0:
            self._warm += 1
        else:
            self._first = self._first or now
            self._events += 1
            self._keys.add(order.customer)
        COUNTS.pack_into(self._there, 0, self._warm, self._events, len(self._keys), self._first, now)


app = App(GROUP, log=os.environ.get(LOG), broker=os.environ.get(URL), contracts=[OrderCreated], metrics=Gauge())
tallies: list[Tally] = []  # one, made by the process that handles, and not by the one that starts it


@app.on(OrderCreated, group=GROUP)
async def receive(order: OrderCreated) -> None:
    """Handle one, as slowly as a service that asks another."""
    await asyncio.sleep(WAIT)
    if not tallies:
        tallies.append(Tally(Path(os.environ[FOLDER])))
    tallies[0].note(order)
