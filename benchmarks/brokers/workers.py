"""A handler waits 5 ms: how much faster are two and four processes of `tidings run`, and how evenly are keys spread?"""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.brokers.client import AT_ONCE, GROUP
from benchmarks.brokers.contest import Carrier
from benchmarks.brokers.ours import Direct
from benchmarks.brokers.worker import COUNTS, FOLDER, LOG, URL
from benchmarks.harness import Place, Question, Row, Samples
from benchmarks.orders import OrderCreated, batches, orders
from tests.servers.server import Server

_COUNTS = (1, 2, 4)
_WARM = 200  # events of one look whether all workers have their share
_FAIR = 0.8  # of an even one; who never comes to it is measured as it is
_LOOKS = 20
_PAUSE = 0.5  # seconds to the next look
_GLANCE = 0.02  # seconds between two looks at what was handled
_LEAVING = 20.0  # seconds


class Counted(NamedTuple):
    """What a worker has handled."""

    warm: int
    events: int
    keys: int
    first: float
    last: float


def measure(server: type[Server], through_log: bool, place: Place) -> Samples:
    """One round: one, two and four workers, one after the other, on the same events."""
    found: dict[str, list[float]] = {}
    with server() as running:
        asyncio.run(_prepare(place, running.url))
        for count in _COUNTS:
            folder = place.fresh / str(count)
            folder.mkdir()
            environment = {URL: running.url, FOLDER: str(folder)}
            if through_log:
                environment[LOG] = f"sqlite:///{place.fresh}/bench.db"
            with _working(count, environment):
                counted = asyncio.run(_handled(place, running.url, folder, count))
            rate = place.size / (max(each.last for each in counted) - min(each.first for each in counted))
            keys = sorted(each.keys for each in counted)
            even = sum(keys) / count
            found[_named(count)] = [rate]
            found[f"busiest of {count}"] = [100 * keys[-1] / even]
            found[f"idlest of {count}"] = [100 * keys[0] / even]
    return found


async def _prepare(place: Place, url: str) -> None:
    async with Direct(place, url) as client:
        await client.prepare()


@contextmanager
def _working(count: int, environment: dict[str, str]) -> Iterator[None]:
    command = (sys.executable, "-m", "tidings", "run", "benchmarks.brokers.worker:app", "--workers", str(count))
    path = os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))
    process = subprocess.Popen(
        command, env=os.environ | environment | {"PYTHONPATH": path}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        yield
    except BaseException:
        process.kill()  # its workers notice
        raise
    finally:
        process.terminate()
        _, said = process.communicate(timeout=_LEAVING)
        if process.returncode not in (0, -9):
            sys.stderr.write(said.decode())


async def _handled(place: Place, url: str, folder: Path, count: int) -> list[Counted]:
    """What each worker has handled once all is."""
    async with Direct(place, url) as client:
        await _all_at_work(client, folder, count)
        for batch in batches(client.messages(orders(place.size)), AT_ONCE):
            await client.publish(batch)
        await _until(folder, lambda each: each.events, place.size)
    return _counted(folder)


async def _all_at_work(client: Direct, folder: Path, count: int) -> None:
    """Publish what does not count, until every worker has had its share of it."""
    dice = random.Random(GROUP)
    for look in range(1, _LOOKS + 1):
        before = {name: each.warm for name, each in _by_name(folder).items()}
        await client.publish([OrderCreated(-1, dice.randrange(100_000), "1.00", 1) for _ in range(_WARM)])
        await _until(folder, lambda each: each.warm, look * _WARM)
        shares = [each.warm - before.get(name, 0) for name, each in _by_name(folder).items()]
        if len(shares) == count and min(shares) > _FAIR * _WARM / count:
            return
        await asyncio.sleep(_PAUSE)


async def _until(folder: Path, of: Callable[[Counted], int], wanted: int) -> None:
    """Return when so many were handled by all."""
    while sum(map(of, _counted(folder))) < wanted:  # noqa: ASYNC110  # by other processes
        await asyncio.sleep(_GLANCE)


def _counted(folder: Path) -> list[Counted]:
    return list(_by_name(folder).values())


def _by_name(folder: Path) -> dict[str, Counted]:
    there = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {name: Counted(*COUNTS.unpack(said)) for name, said in there.items() if len(said) == COUNTS.size}


def _named(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def question(carrier: Carrier) -> Question:
    """The question of one carrier, without a log and through one."""
    modes = {"tidings": False, "through a log": True}
    rows = []
    for of, how in (("tidings", ""), ("through a log", ", through a log")):
        for count, at_least in ((2, 1.9), (4, 3.6)):
            asks = f"{carrier.name}: {count} workers, 5 ms an event{how}"
            one, several = _named(1), _named(count)
            rows.append(Row(asks, of=of, figure=several, against=of, against_figure=one, at_least=at_least))
        rows += [
            Row("… keys of the busiest of 4, even is 100 %", of=of, figure="busiest of 4", at_most=120, unit="%"),
            Row("… and of the idlest", of=of, figure="idlest of 4", at_least=80, unit="%"),
        ]
    return Question(
        contenders={name: partial(measure, carrier.server, through_log) for name, through_log in modes.items()},
        rows=rows,
        size=2000,
        quick_size=400,
        rounds=3,
    )
