"""A backlog waits at the broker: how fast does one process handle and acknowledge it, without a log and through one?"""

import asyncio
from functools import partial

from benchmarks.brokers.client import Client
from benchmarks.brokers.contest import Carrier, Watch, until
from benchmarks.brokers.ours import Direct, ThroughLog, ThroughPostgres
from benchmarks.harness import Place, Question, Row, Samples
from benchmarks.orders import orders
from tests.servers.server import Server


def measure(server: type[Server], contender: type[Client], place: Place) -> Samples:
    """One round: what the contender itself has published is consumed, one handler's call an event."""
    with server() as running:
        return {"rate": [asyncio.run(_consume(contender, place, running.url))]}


async def _consume(contender: type[Client], place: Place, url: str) -> float:
    watch = Watch(place.size)
    async with contender(place, url) as client:
        await client.prepare()
        await client.fill(orders(place.size))
    async with contender(place, url, watch.handle) as client:
        await until(watch.done, client)
    return watch.rate


def question(carrier: Carrier) -> Question:
    """The question of one carrier."""
    clients: dict[str, type[Client]] = {
        "tidings": Direct,
        "through a log": ThroughLog,
        "FastStream": carrier.faststream,
        **carrier.raw,
        **carrier.consumers,
    }
    asks, goals = f"{carrier.name}: consume + acknowledge", carrier.goals
    logs = {"through a log": "SQLite"}
    if goals.through_log is not None:
        clients["through Postgres"], logs["through Postgres"] = ThroughPostgres, "Postgres"
    return Question(
        contenders={name: partial(measure, carrier.server, client) for name, client in clients.items()},
        rows=[
            Row(asks, against="FastStream", at_least=goals.of_faststream),
            *(Row("the same", against=name, at_least=goals.of_raw) for name in carrier.raw),
            *(Row("the same", against=name) for name in carrier.consumers),
            *(
                Row(
                    f"{carrier.name}: inbound → {log} log → handler",
                    of=name,
                    against="FastStream",
                    at_least=goals.through_log,
                )
                for name, log in logs.items()
            ),
        ],
        size=100_000,
        quick_size=20_000,
        rounds=3,
    )
