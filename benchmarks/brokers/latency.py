"""Published in one process, handled in another, 500 times a second: how long does it take, from call to call?"""

import asyncio
from collections.abc import Sequence
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Event as Signal
from time import monotonic

from benchmarks.brokers.client import Client
from benchmarks.brokers.contest import Carrier, until
from benchmarks.brokers.ours import Direct, ThroughLog
from benchmarks.harness import Place, Question, Row, Samples, partner
from benchmarks.orders import orders
from tests.servers.server import Server

_PAUSE = 1 / 500
_COLD = 50  # the first ones find everything cold, and are not counted


def measure(server: type[Server], contender: type[Client], place: Place) -> Samples:
    """One round. When `publish` was called is told by the clock that all processes of a machine share."""
    context = get_context("spawn")
    count = place.size + _COLD
    called, heard = context.Array("d", count, lock=False), context.Event()
    with server() as running:
        asyncio.run(_prepare(contender, place, running.url))
        publisher = partner(_publish_all, contender, place, running.url, called, heard)
        taken = asyncio.run(_hear_all(contender, place, running.url, called, heard, count))
        publisher.join()
    return {"latency": [seconds * 1000 for seconds in taken[_COLD:]]}


async def _prepare(contender: type[Client], place: Place, url: str) -> None:
    async with contender(place, url) as client:
        await client.prepare()


def _publish_all(contender: type[Client], place: Place, url: str, called, heard: Signal) -> None:
    async def publish_all() -> None:
        async with contender(place, url) as client:
            first, *others = client.messages(orders(len(called)))
            called[0] = monotonic()
            await client.publish([first])
            await asyncio.to_thread(heard.wait)
            due = monotonic()
            for number, message in enumerate(others, start=1):
                due += _PAUSE
                await asyncio.sleep(max(due - monotonic(), 0))
                called[number] = monotonic()
                await client.publish([message])

    asyncio.run(publish_all())


async def _hear_all(
    contender: type[Client], place: Place, url: str, called: Sequence[float], heard: Signal, count: int
) -> list[float]:
    taken = [0.0] * count
    done = asyncio.Event()

    async def handle(order) -> None:
        number = order.order_id
        taken[number] = monotonic() - called[number]
        if number == 0:
            heard.set()
        elif number >= count - _COLD and all(taken):
            done.set()

    async with contender(place, url, handle) as client:
        await until(done, client)
    return taken


def question(carrier: Carrier) -> Question:
    """The question of one carrier."""
    clients = {"tidings": Direct, "through a log": ThroughLog, "FastStream": carrier.faststream, **carrier.raw}
    rows = []
    for asks, quantile, at_most in (("p50", 0.5, None), ("p99", 0.99, 1.25)):
        for name in (*carrier.raw, "FastStream"):
            rows.append(
                Row(
                    f"{carrier.name}: publish → handler, 500/s, {asks}",
                    figure="latency",
                    quantile=quantile,
                    against=name,
                    at_most=at_most if name in carrier.raw else None,
                    unit="ms",
                )
            )
        for name in carrier.raw:
            through = f"{carrier.name}: publish → SQLite log → handler, 500/s, {asks}"
            rows.append(Row(through, of="through a log", figure="latency", quantile=quantile, against=name, unit="ms"))
    return Question(
        contenders={name: partial(measure, carrier.server, client) for name, client in clients.items()},
        rows=rows,
        size=5000,
        quick_size=500,
        rounds=3,
    )
