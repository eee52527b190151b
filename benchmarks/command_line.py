"""A command is typed: how long until its answer stands on the screen? The second one asks a log of a million events."""

import asyncio
import subprocess
import sys
from time import perf_counter

from benchmarks import catch_up
from benchmarks.harness import Place, Question, Row, Samples
from benchmarks.orders import shop
from tidings.log.group import Group

_CALLS = 5


def prepare(place: Place) -> None:
    """A log full of orders, a group that has handled none of them, and one that waits for something else."""
    catch_up.prepare(place)

    async def join() -> None:
        async with shop(place.prepared) as app:
            await app.log.ledger.join(Group("shop.ship", ("order:created",)))
            await app.log.ledger.join(Group("shop.follow", ("customer:*",)))

    asyncio.run(join())


def tidings(place: Place) -> Samples:
    """From the start of the process to its end."""
    return {
        "help": _times("--help"),
        "groups": _times("groups", "--url", f"sqlite:///{place.prepared}/shop.db"),
    }


def python(place: Place) -> Samples:
    """What of it is Python's own start."""
    return {"start": [_time([sys.executable, "-c", "pass"]) for _ in range(_CALLS)]}


def _times(*words: str) -> list[float]:
    return [_time([sys.executable, "-m", "tidings", *words]) for _ in range(_CALLS)]


def _time(command: list[str]) -> float:
    """Milliseconds."""
    began = perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return 1000 * (perf_counter() - began)


QUESTION = Question(
    contenders={"tidings": tidings, "python": python},
    rows=[
        Row("tidings --help", figure="help", unit="ms", at_most=350),
        Row("tidings groups, 1,000,000 events", figure="groups", unit="ms", at_most=600),
        Row("… Python itself, with an empty program", of="python", figure="start", unit="ms"),
    ],
    size=1_000_000,
    quick_size=1_000,
    prepare=prepare,
)
