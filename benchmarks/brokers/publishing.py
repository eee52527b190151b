"""One process publishes, 500 at a time, and waits until the broker has acknowledged them: how fast?"""

import asyncio
from functools import partial
from time import perf_counter

from benchmarks.brokers.client import AT_ONCE, Client
from benchmarks.brokers.contest import Carrier
from benchmarks.brokers.ours import Direct, OneByOne
from benchmarks.harness import Place, Question, Row, Samples
from benchmarks.orders import batches, orders
from tests.servers.server import Server


def measure(server: type[Server], contender: type[Client], place: Place) -> Samples:
    """One round. The first tenth finds everything cold, a server in Java above all, and is not counted."""
    with server() as running:
        return {"rate": [asyncio.run(_publish(contender, place, running.url))]}


async def _publish(contender: type[Client], place: Place, url: str) -> float:
    async with contender(place, url) as client:
        await client.prepare()
        cold = place.size // 10
        messages = client.messages(orders(place.size + cold))
        for batch in batches(messages[:cold], AT_ONCE):
            await client.publish(batch)
        began = perf_counter()
        for batch in batches(messages[cold:], AT_ONCE):
            await client.publish(batch)
        return place.size / (perf_counter() - began)


def question(carrier: Carrier) -> Question:
    """The question of one carrier. The goal is the lower of two, so one of the two has to hold."""
    clients = {"tidings": Direct, "each by itself": OneByOne, "FastStream": carrier.faststream, **carrier.raw}
    return Question(
        contenders={name: partial(measure, carrier.server, client) for name, client in clients.items()},
        rows=[
            Row(f"{carrier.name}: publish, {AT_ONCE} at a time", against="FastStream", at_least=2),
            *(Row("the same; this goal or the one above", against=name, at_least=0.8) for name in carrier.raw),
            Row(f"{carrier.name}: {AT_ONCE} calls of publish at once", of="each by itself", against="FastStream"),
        ],
        size=100_000,
        quick_size=5000,
        rounds=3,
    )
