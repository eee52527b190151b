"""A new handler reads a log while the log is trimmed: does it notice?"""

import asyncio
import os
import shutil
from pathlib import Path
from time import perf_counter

from benchmarks.catch_up import Counter, prepare
from benchmarks.harness import Place, Question, Row, Samples
from benchmarks.orders import OrderCreated, shop
from tidings import App, Retain
from tidings.handling.chores.trimmer import Trimmer
from tidings.log.retention import Retention

RULES = Retention({"order:*": Retain(consumed=True)})


async def catch_up(place: Place, *, trims: bool) -> float:
    """Events a second, when trimming begins at the same moment or not at all."""
    shutil.copy(place.prepared / "shop.db", Path(place.fresh, "shop.db"))
    app, counter = shop(place.fresh), Counter(place.size)
    app.on(OrderCreated, group=f"reader-{os.getpid()}")(counter.handler())
    async with app:
        began = perf_counter()
        async with app.running():
            trimming = asyncio.create_task(_trim(app)) if trims else None
            await counter.done.wait()
            rate = place.size / (perf_counter() - began)
            if trimming is not None:
                trimming.cancel()
            return rate


async def _trim(app: App) -> None:
    """As the application's housekeeping does it, without waiting for the start to be over."""
    trimmer = Trimmer(app.log, RULES, app.clock, begin_after=0.0)
    while True:
        due = await trimmer.run(app.clock.now())
        await asyncio.sleep(due - app.clock.now())


def trimming(place: Place) -> Samples:
    """What is consumed goes, from the first batch on."""
    return {"rate": [asyncio.run(catch_up(place, trims=True))]}


def keeping(place: Place) -> Samples:
    """The same without a rule."""
    return {"rate": [asyncio.run(catch_up(place, trims=False))]}


QUESTION = Question(
    contenders={"tidings": trimming, "tidings, nothing trimmed": keeping},
    rows=[Row("catch-up while the log is trimmed", against="tidings, nothing trimmed", at_least=0.95)],
    size=400_000,
    quick_size=5000,
    prepare=prepare,
)
