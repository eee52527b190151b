"""What tests of Pulsar in trouble are written in: who hears, who tells, and what is told."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Coroutine, Sequence

from tests.servers.pulsar import PulsarServer
from tidings import Broker, Event
from tidings.brokers import connect
from tidings.errors import BrokerError, TidingsError
from tidings.testing.broker_conformance.words import ids_of
from tidings.testing.checker import History

PAUSE = 0.05  # seconds before who failed tries again
_KEYS = 6


def url_of(server: PulsarServer, settings: str = "") -> str:
    """The URL of a system of its own on this server."""
    return f"{server.url}?prefix=t{uuid.uuid4().hex[:8]}.{settings}"


def numbered(first: int, end: int) -> list[Event]:
    """Events of a few keys, their ids the numbers."""
    return [
        Event(id=str(number), source="shop", type="order:created", key=f"k{number % _KEYS}", data=number)
        for number in range(first, end)
    ]


async def hear(url: str, history: History, group: str, wanted: set[str], found: asyncio.Event) -> None:
    """Receive as a service does, and subscribe again whenever it fails, until all that is wanted was seen."""
    broker = await connect(url)
    try:
        while True:
            with contextlib.suppress(TidingsError):
                async with broker.subscribe(["order:*"], group=group) as inbox:
                    while True:
                        arrivals = await inbox.receive(50)
                        for each in (it.event for it in arrivals):
                            history.delivered(group, each.id, key=each.key, sequence=int(each.id))
                        wanted -= set(ids_of(it.event for it in arrivals))
                        if not wanted:
                            found.set()
                        await inbox.settle(arrivals)
            await asyncio.sleep(PAUSE)
    finally:
        await broker.close()


async def tell(broker: Broker, history: History, events: Sequence[Event]) -> int:
    """Publish them in small batches, each until it is taken; how often it failed."""
    failed = 0
    for start in range(0, len(events), 20):
        batch = events[start : start + 20]
        for each in batch:
            history.attempted(each.id, key=each.key, sequence=int(each.id))
        while True:
            try:
                await broker.publish(batch)
                break
            except BrokerError:
                failed += 1
                await asyncio.sleep(PAUSE)
        for each in batch:
            history.acknowledged(each.id)
    return failed


@contextlib.asynccontextmanager
async def at_work(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """The work goes on while the block does."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
