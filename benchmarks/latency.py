"""Published in one process, handled in another, fifty times a second: how long does it take?"""

import asyncio
from multiprocessing import get_context
from multiprocessing.synchronize import Event as Signal
from time import monotonic

from benchmarks.harness import Place, Question, Row, Samples, partner
from benchmarks.orders import Gauge
from tidings import App, event


@event("parcel:sent", version=1)
class ParcelSent:
    """Says itself when `publish` was called, by the clock that all processes of a machine share."""

    at: float


def measure(place: Place, pause: float) -> Samples:
    """From the call of `publish` to the handler's call: the append and its flush included."""
    url = f"sqlite:///{place.fresh}/parcels.db"
    heard = get_context("spawn").Event()
    publisher = partner(_publish_all, url, place.size, pause, heard)
    taken = asyncio.run(_hear_all(url, place.size, heard))
    publisher.join()
    return {"latency": [seconds * 1000 for seconds in taken]}


def _publish_all(url: str, count: int, pause: float, heard: Signal) -> None:
    async def publish_all() -> None:
        async with App("sender", url, contracts=[ParcelSent]) as app:
            await app.publish(ParcelSent(monotonic()))  # the first one finds everything cold, and is not counted
            await asyncio.to_thread(heard.wait)
            due = monotonic()
            for _ in range(count):
                due += pause
                await asyncio.sleep(due - monotonic())
                await app.publish(ParcelSent(monotonic()))

    asyncio.run(publish_all())


async def _hear_all(url: str, count: int, heard: Signal) -> list[float]:
    app = App("receiver", url, metrics=Gauge())
    taken: list[float] = []
    done = asyncio.Event()

    @app.on(ParcelSent)
    async def receive(parcel: ParcelSent) -> None:
        taken.append(monotonic() - parcel.at)
        if len(taken) == 1:
            heard.set()
        elif len(taken) > count:
            done.set()

    async with app.running():
        await done.wait()
    return taken[1:]


def tidings(place: Place) -> Samples:
    """50 events a second."""
    return measure(place, 1 / 50)


QUESTION = Question(
    contenders={"tidings": tidings},
    rows=[
        Row("publish → handler in another process, 50/s, p50", figure="latency", unit="ms", at_most=2),
        Row("the same, p99", figure="latency", quantile=0.99, unit="ms", at_most=8),
    ],
    size=300,
    quick_size=20,
)
