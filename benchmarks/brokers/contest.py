"""A carrier with its contenders and its goals; and what a consumer of any of them is watched by."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter

from benchmarks.brokers.client import Client
from benchmarks.orders import OrderCreated
from tests.servers.server import Server


@dataclass(frozen=True, slots=True)
class Goals:
    """What tidings should come to, as ratios; None: nothing was agreed."""

    of_faststream: float
    of_raw: float
    through_log: float | None = None  # of FastStream without one


@dataclass(frozen=True, slots=True)
class Carrier:
    """A server, and who is measured on it."""

    name: str
    server: type[Server]
    raw: Mapping[str, type[Client]]  # the client library alone, or several of them: tidings is measured against each
    faststream: type[Client]
    goals: Goals
    consumers: Mapping[str, type[Client]] = field(default_factory=dict)  # client libraries to compare consuming with


class Watch:
    """A handler that counts; timed from its first call to its last, so that connecting and joining are left out."""

    def __init__(self, expected: int) -> None:
        self.done = asyncio.Event()
        self._expected = expected
        self._seen = 0
        self._began = self._ended = 0.0

    async def handle(self, order: OrderCreated) -> None:
        """What each contender calls for each order."""
        self._seen += 1
        if self._seen == 1:
            self._began = perf_counter()
        elif self._seen == self._expected:
            self._ended = perf_counter()
            self.done.set()

    @property
    def rate(self) -> float:
        """Events a second."""
        return (self._expected - 1) / (self._ended - self._began)


async def until(done: asyncio.Event, client: Client) -> None:
    """Consume until this is so; when consuming fails, so does the round."""
    consuming, waiting = asyncio.create_task(client.consume()), asyncio.create_task(done.wait())
    await asyncio.wait([consuming, waiting], return_when=asyncio.FIRST_COMPLETED)
    if consuming.done():
        consuming.result()
    while not consuming.done():  # redis-py has been seen to forget that it was cancelled
        consuming.cancel()
        await asyncio.wait([consuming], timeout=1)
