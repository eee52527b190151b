"""What became of events is kept by default: what does that cost a catch-up, and how long does a trace take?"""

import asyncio
from time import perf_counter

from benchmarks.catch_up import catch_up, prepare
from benchmarks.harness import Place, Question, Row, Samples
from benchmarks.orders import shop
from tidings.log.record import restore

_TRACES = 20


def tidings(place: Place) -> Samples:
    """As it comes: with a lineage."""
    return {"rate": [asyncio.run(catch_up(place, 1))], "trace": asyncio.run(trace(place))}


def without(place: Place) -> Samples:
    """`App(..., lineage=False)`."""
    return {"rate": [asyncio.run(catch_up(place, 1, lineage=False))]}


async def trace(place: Place) -> list[float]:
    """Milliseconds to trace the oldest events of the log, which have all of it behind them to be looked through."""
    taken = []
    async with shop(place.prepared) as app:
        found = await app.log.scan("", limit=_TRACES)
        for record in found.records:
            asked = restore(record, found.position(record)).id
            began = perf_counter()
            await app.trace(asked)
            taken.append((perf_counter() - began) * 1000)
    return taken


QUESTION = Question(
    contenders={"tidings": tidings, "without lineage": without},
    rows=[
        Row("catch-up with a lineage", against="without lineage", at_least=0.95),
        Row("… trace the oldest event of the log", figure="trace", unit="ms"),
    ],
    size=200_000,
    quick_size=5000,
    prepare=prepare,
)
