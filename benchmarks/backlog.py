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
    """One `async def` handler. The first tenth, in which all is new to the process, is left out of the rates.

    A third of a run is compared with a third: a tenth takes a fifth of a second, in which a hiccup is all there is.
    """
    moments, memory = asyncio.run(_work_off(place))
    part = 0.3 * place.size
    usual = median(memory[20:])
    return {
        "beginning": [part / (moments[40] - moments[10])],
        "end": [part / (moments[100] - moments[70])],
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
            "backlog of 1,000,000: its end against its beginning",
            figure="end",
            against="tidings",
            against_figure="beginning",
            at_least=0.9,
        ),
        Row("… memory", figure="memory", unit="MiB"),
        Row("… its largest departure from that", figure="change", unit="%", at_most=10),
    ],
    size=1_000_000,
    quick_size=20_000,
    prepare=prepare,
    rounds=15,  # a machine with neighbours runs at two speeds, for a second or two each
)
