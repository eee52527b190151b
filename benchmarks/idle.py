"""A consumer with nothing to do: what does its waiting cost?"""

import asyncio
from pathlib import Path
from time import monotonic, process_time

from benchmarks.catch_up import Counter
from benchmarks.harness import Place, Question, Row, Samples
from benchmarks.orders import OrderCreated, shop


def tidings(place: Place) -> Samples:
    """CPU time and wake-ups of the whole process, all its threads, while `app.running()` waits; `size` seconds."""

    async def wait() -> Samples:
        app = shop(place.fresh)
        app.on(OrderCreated)(Counter(1).handler())
        async with app.running():
            await asyncio.sleep(1)
            began, used, woken = monotonic(), process_time(), wake_ups()
            await asyncio.sleep(place.size)
            seconds = monotonic() - began
            return {"cpu": [100 * (process_time() - used) / seconds], "wake-ups": [(wake_ups() - woken) / seconds]}

    return asyncio.run(wait())


def wake_ups() -> int:
    """How often any thread of this process has gone to sleep so far."""
    texts = [path.read_text() for path in Path("/proc/self/task").glob("*/status")]
    return sum(int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for text in texts)


QUESTION = Question(
    contenders={"tidings": tidings},
    rows=[
        Row("an idle consumer", figure="cpu", unit="%", at_most=0.2),
        Row("… wake-ups", figure="wake-ups"),
    ],
    size=20,
    quick_size=1,
    together=True,
)
