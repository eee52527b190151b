"""Processes and the server killed at any instant, on a log in Postgres: the same must hold as on a file."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.oracle import intact, kept
from tests.crash.processes import Child, Start
from tests.crash.test_killed_consumers import finish, judge
from tests.servers.fixtures import require
from tests.servers.postgres import PostgresServer


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    require(PostgresServer)
    with PostgresServer() as server:
        yield server


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.database()


def test_killed_consumers_leave_each_effect_done_once(
    start: Start, url: str, tmp_path: Path, chance: random.Random, trials: Callable[[int], int]
) -> None:
    published, heard = tmp_path / "published", tmp_path / "heard"
    seeds = iter(lambda: chance.randrange(2**32), None)
    workers: list[Child] = []
    publisher = start("publisher", url, published, "p", 60 * trials(12), next(seeds))
    publisher.expect("ready")

    for trial in range(trials(12)):
        while len(workers) < 2:
            workers.append(start("worker", url, heard, next(seeds)))
        victim = workers.pop(chance.randrange(2))
        victim.expect("ready")
        victim.listen(chance.randrange(300) if trial % 2 else chance.randrange(10))
        time.sleep(chance.random() * 0.002)  # the instant of the fault, which nothing marks
        victim.kill()
    for child in (publisher, *workers):
        child.kill()
    finish(start, url, heard)

    print(f"{trials(12)} times killed: {judge(url, heard, published)}")


def test_a_killed_server_loses_nothing_acknowledged_and_does_nothing_twice(
    start: Start,
    server: PostgresServer,
    url: str,
    tmp_path: Path,
    chance: random.Random,
    trials: Callable[[int], int],
) -> None:
    heard = tmp_path / "heard"
    histories = [tmp_path / f"published-{number}" for number in range(trials(6))]
    worker = start("worker", url, heard, chance.randrange(2**32))
    worker.expect("ready")

    for number, history in enumerate(histories):
        publisher = start("publisher", url, history, f"p{number}", 100_000, chance.randrange(2**32), 7, 4)
        publisher.expect("ready")
        publisher.listen(chance.randrange(20, 100))
        time.sleep(chance.random() * 0.02)  # the instant of the fault, which nothing marks
        server.kill9()
        publisher.kill()  # its next append is not known to have happened
        server.start()
    worker.kill()
    finish(start, url, heard)

    print(f"server killed {len(histories)} times: {judge(url, heard, *histories)}")


def test_a_dead_process_is_replaced_within_seconds(start: Start, url: str, tmp_path: Path) -> None:
    published, heard = tmp_path / "published", tmp_path / "heard"
    worker = start("worker", url, heard, 1, "w", 10)
    worker.expect("handled")
    heir = start("worker", url, tmp_path / "heir", 2)
    heir.expect("ready")
    worker.kill()
    began = time.monotonic()

    publisher = start("publisher", url, published, "p", 40, 3)
    publisher.expect("done")
    finish(start, url, tmp_path / "heir")

    assert time.monotonic() - began < 15  # a lease, which a lock that is gone makes needless to wait for
    intact(url)


def test_what_a_killed_publisher_was_told_is_recorded_once(
    start: Start, url: str, tmp_path: Path, chance: random.Random, trials: Callable[[int], int]
) -> None:
    import asyncio

    from tests.crash.oracle import sound

    histories = [tmp_path / f"history-{number}" for number in range(3)]
    for trial in range(trials(6)):
        children = [
            start("publisher", url, history, f"{trial}.{number}", 100_000, chance.randrange(2**32), 30)
            for number, history in enumerate(histories)
        ]
        for child in children:
            child.expect("ready")
        children[0].listen(chance.randrange(40))
        time.sleep(chance.random() * 0.002)  # the instant of the fault, which nothing marks
        for child in children:
            child.kill()

    print(kept(asyncio.run(sound(url)), *histories))
    intact(url)
