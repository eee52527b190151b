"""A million events behind: does the consumer slow down or grow on the way?"""

import asyncio
import os
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.catch_up import prepare
from benchmarks.harness import Place, Question, Row, Samples
from benchmarks.orders import OrderCreated, shop

_LOOKS = 100  # at the clock and at memory, evenly spread


def tidings(place: Place) -> Samples:
    """One `async def` handler. Figures are of the tenths of the run, memory from the end of the second tenth on."""
    moments, memory = asyncio.run(_work_off(place))
    tenth = place.size / 10
    usual = median(memory[20:])
    return {
        "second tenth": [tenth / (moments[20] - moments[10])],
        "last tenth": [tenth / (moments[100] - moments[90])],
        "memory": [usual],
        "change": [100 * max(abs(each - usual) / usual for each in memory[20:])],
    }


async def _work_off(place: Place) -> tuple[list[float], list[float]]:
    app = shop(place.prepared)
    step = place.size // _LOOKS
    moments, memory = [perf_counter()], [_resident()]
    done = asyncio.Event()
    seen = 0

    @app.on(OrderCreated, group=f"reader-{os.getpid()}")
    async def count(order: OrderCreated) -> None:
        nonlocal seen
        seen += 1
        if seen % step == 0:
            moments.append(perf_counter())
            memory.append(_resident())
            if seen == place.size:
                done.set()

    async with app.running():
        await done.wait()
    return moments, memory


def _resident() -> float:
    """MiB of this process in memory."""
    return int(Path("/proc/self/status").read_text().partition("\nVmRSS:")[2].split()[0]) / 1024


QUESTION = Question(
    contenders={"tidings": tidings},
    rows=[
        Row(
            "backlog of 1,000,000: last tenth against second",
            figure="last tenth",
            against="tidings",
            against_figure="second tenth",
            at_least=0.9,
        ),
        Row("… memory", figure="memory", unit="MiB"),
        Row("… its largest departure from that", figure="change", unit="%", at_most=10),
    ],
    size=1_000_000,
    quick_size=20_000,
    prepare=prepare,
    rounds=15,  # a tenth takes a fifth of a second, in which a neighbour's hiccup is all there is
)
