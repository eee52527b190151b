"""The words that tests of carriers are written in: names of one's own, who tells, who hears and goes on, and waiting.

A server that is slow for a while refuses what a short timeout allows no time for. So who joins, tells or hears here
does as a service does: it tries again; and a failure counts from the moment on at which a test troubles the server.
"""

import asyncio
import contextlib
import math
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import TypeVar
from urllib.parse import urlencode

from tests.servers.server import Server
from tidings.brokers import Arrival, Broker, Inbox
from tidings.errors import BrokerUnreachable, LogUnreachable, TidingsError
from tidings.events import Event
from tidings.testing.checker import History

LIMIT = 30.0  # seconds for what takes milliseconds on an idle machine
PATIENCE = 80.0  # seconds for a server that is just coming up
PAUSE = 0.05  # seconds before who failed tries again
KEYS = 12
_BATCH = 10  # fewer than there are keys
_GAP = 0.01  # seconds between batches
Opened = Callable[[str], Awaitable[Broker]]  # another connection, closed at the end of the test
UNREACHABLE = (BrokerUnreachable, LogUnreachable)
Result = TypeVar("Result")


def own_name() -> str:
    """What only this test's channels and groups begin with."""
    return f"t{uuid.uuid4().hex[:10]}"


def url_of(server: Server, *, prefix: str, **settings: object) -> str:
    """A connection's URL, with these settings."""
    return f"{server.url}?{urlencode({'prefix': prefix} | settings, safe=':/*')}"


def numbered(first: int, end: int) -> list[Event]:
    """Events of a few keys; their ids are the numbers."""
    return [
        Event(id=str(number), source="shop", type="order:created", key=f"k{number % KEYS}", data=number)
        for number in range(first, end)
    ]


class Teller:
    """Publishes on and on: small batches of numbered events, each again until it is taken.

    No batch has two events of one key: half a batch that is taken, and then all of it, keeps every key in order.
    """

    def __init__(self, broker: Broker, history: History) -> None:
        self.acknowledged = 0
        self.upto = math.inf  # so many, and no more until told otherwise
        self.failures: list[TidingsError] = []
        self._broker = broker
        self._history = history
        self._ended = False

    async def run(self) -> None:
        """Publish, until it is ended and the last batch was taken."""
        while not self._ended:
            if self.acknowledged < self.upto:
                await self._tell(numbered(self.acknowledged, self.acknowledged + _BATCH))
            await asyncio.sleep(_GAP)

    async def tells(self, more: int) -> None:
        """Wait until so many more were taken."""
        enough = self.acknowledged + more
        await until(lambda: self.acknowledged >= enough, lambda: f"publishing, after {self.failures[-1:]},")

    def end(self) -> None:
        """Publish no further batch."""
        self._ended = True

    async def _tell(self, batch: Sequence[Event]) -> None:
        while True:
            for each in batch:
                self._history.attempted(each.id, key=each.key, sequence=int(each.id))
            try:
                await self._broker.publish(batch)
                break
            except TidingsError as error:
                self.failures.append(error)
                await asyncio.sleep(PAUSE)
        for each in batch:
            self._history.acknowledged(each.id)
        self.acknowledged += len(batch)


class Reader:
    """A member that settles what comes and notes it; after a failure, which it keeps, it subscribes again."""

    def __init__(
        self, broker: Broker, history: History | None = None, *, group: str | None = "g", prefetch: int = 500
    ) -> None:
        self.heard: set[str] = set()
        self.failures: list[TidingsError] = []
        self.joined = asyncio.Event()
        self._broker = broker
        self._history = history
        self._group = group
        self._prefetch = prefetch

    async def run(self) -> None:
        """Read, until cancelled."""
        while True:
            try:
                async with self._broker.subscribe(["order:*"], group=self._group, prefetch=self._prefetch) as inbox:
                    self.joined.set()
                    while True:
                        await self._take(inbox, await inbox.receive(50))
            except TidingsError as error:
                self.failures.append(error)
                await asyncio.sleep(PAUSE)

    async def hears(self, ids: Iterable[str]) -> None:
        """Wait until all of these have come."""
        wanted = set(ids)
        await until(
            lambda: wanted <= self.heard,
            lambda: f"the receipt of {sorted(wanted - self.heard)[:5]}, after {self.failures[-1:]},",
        )

    async def hears_more(self, count: int) -> None:
        """Wait until so many more have come."""
        enough = len(self.heard) + count
        await until(lambda: len(self.heard) >= enough, lambda: f"any receipt, after {self.failures[-1:]},")

    async def _take(self, inbox: Inbox, arrivals: list[Arrival]) -> None:
        events = [arrival.event for arrival in arrivals]
        if self._history is not None:
            for event in events:
                self._history.delivered(str(self._group), event.id, key=event.key, sequence=int(event.id))
        self.heard.update(event.id for event in events)
        await inbox.settle(arrivals)  # when it fails, it may have been settled all the same
        if self._history is not None:
            for event in events:
                self._history.settled(str(self._group), event.id)


@contextlib.asynccontextmanager
async def going_on(
    broker: Broker, history: History | None = None, *, group: str | None = "g", prefetch: int = 500
) -> AsyncIterator[Reader]:
    """A reader at work while the block is."""
    reader = Reader(broker, history, group=group, prefetch=prefetch)
    task = asyncio.ensure_future(reader.run())
    try:
        yield reader
        assert not task.done(), f"a reader has ended: {task}"
    finally:
        task.cancel()
        await asyncio.wait([task])


@contextlib.asynccontextmanager
async def telling(broker: Broker, history: History) -> AsyncIterator[Teller]:
    """A teller at work while the block is; what it was about is taken at its end."""
    teller = Teller(broker, history)
    task = asyncio.ensure_future(teller.run())
    try:
        yield teller
        teller.end()
        await until(task.done, lambda: f"the last publish, after {teller.failures[-1:]},")
        task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


@contextlib.asynccontextmanager
async def joined(broker: Broker, *, group: str | None = "g") -> AsyncIterator[Inbox]:
    """A member, as soon as the server lets it in."""
    async with contextlib.AsyncExitStack() as stack:
        yield await insisting(lambda: stack.enter_async_context(broker.subscribe(["order:*"], group=group)))


async def received_of(inbox: Inbox, count: int) -> list[Arrival]:
    """So many, or a few more; nothing is settled."""
    arrivals: list[Arrival] = []
    while len(arrivals) < count:
        arrivals += await inbox.receive()
    return arrivals


async def insisting(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """Try again, as long as the server cannot be reached; one in Java takes long after it was killed."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await attempt()
            except UNREACHABLE:
                await asyncio.sleep(PAUSE)


@contextlib.asynccontextmanager
async def at_work(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """It goes on while the block does."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], object], what: str | Callable[[], str]) -> None:
    """Look again and again until it is so."""
    try:
        async with asyncio.timeout(LIMIT):
            while not condition():  # noqa: ASYNC110  # it is a server's doing
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what if isinstance(what, str) else what()} did not come within {LIMIT:g} s") from None
