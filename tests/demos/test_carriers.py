"""The shop over every carrier, and with its logs in Postgres: the same service files, and the same books at the end."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SOURCE = Path(__file__).parents[2] / "src"
SHOP = SOURCE / "tidings" / "demos" / "shop"
ORDERS = 20  # the fewest there may be: payment is killed among them, 7 meets a failing gateway, 13 is poison
AT_ONCE = 2  # plays, as most of each is waiting
BUS, LOG = ["--broker"], ["--log"]
PLAYS: dict[str, tuple[str, Callable[[Any], list[str]]]] = {  # name -> the fixture of a server, words for its URL
    "amqp": ("rabbitmq_server", lambda server: [*BUS, server.url]),
    "kafka": ("kafka_server", lambda server: [*BUS, server.url]),
    "mqtt": ("mosquitto_server", lambda server: [*BUS, server.url]),
    "nats": ("nats_server", lambda server: [*BUS, server.url]),
    "nats without JetStream": ("nats_server", lambda server: [*BUS, f"{server.url}?jetstream=no"]),
    "postgres": ("postgres_server", lambda server: [*BUS, server.url]),
    "postgres for logs": ("postgres_server", lambda server: [*LOG, server.url]),
    "pulsar": ("pulsar_server", lambda server: [*BUS, server.url]),
    "redis": ("redis_server", lambda server: [*BUS, server.url]),
    "redis+pubsub": ("redis_server", lambda server: [*BUS, server.url.replace("redis:", "redis+pubsub:")]),
}
LOSSY = ("nats without JetStream", "redis+pubsub")
BOOKS = """\
ok\torders taken\t20\t20
ok\ttheir CDs\t42\t42
ok\ttheir dollars\t1,018.89\t1,018.89
ok\torders reserved by inventory\t20\t20
ok\ttheir CDs\t42\t42
ok\torders captured by payment\t20\t20
ok\ttheir dollars\t1,018.89\t1,018.89
ok\tcharges the gateway made\t20\t20
ok\ttheir dollars\t1,018.89\t1,018.89
ok\tletters sent by notification\t19\t19
ok\tdead letter, of order 13\t1\t1
ok\tdone twice, in any service\t0\t0
ok\tdead letters in all\t1\t1
ok\tstill waiting to be tried again\t0\t0
"""


@pytest.fixture(scope="module", autouse=True)
def same_bytes() -> Iterator[None]:
    """Whatever carries the events, these files are what they were."""
    before = {path.name: path.read_bytes() for path in sorted(SHOP.glob("*.py"))}
    yield
    assert {path.name: path.read_bytes() for path in sorted(SHOP.glob("*.py"))} == before


class Played(NamedTuple):
    """A play that is over."""

    folder: Path
    told: "subprocess.CompletedProcess[str]"


def play(folder: Path, words: list[str]) -> Played:
    command = [sys.executable, "-m", "tidings", "demo", "shop", "--headless", "--orders", str(ORDERS)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    told = subprocess.run(
        [*command, "--dir", str(folder), *words], env=environment, capture_output=True, text=True, timeout=100
    )
    return Played(folder, told)


@pytest.fixture(scope="module")
def plays(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, "Future[Played]"]]:
    """The chosen plays, a few at a time; each begins as soon as its server is there."""
    parameters = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    chosen = {each["name"] for each in parameters if each.get("name") in PLAYS}
    begun: dict[str, Future[Played]] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name in sorted(chosen):
            fixture, words_for = PLAYS[name]
            with contextlib.suppress(pytest.skip.Exception, pytest.fail.Exception):  # the test itself will say so
                words = words_for(request.getfixturevalue(fixture))
                begun[name] = pool.submit(play, tmp_path_factory.mktemp("shop"), words)
        yield begun
        pool.shutdown(cancel_futures=True)


@pytest.fixture
def played(name: str, plays: dict[str, "Future[Played]"], request: pytest.FixtureRequest) -> Played:
    request.getfixturevalue(PLAYS[name][0])
    return plays[name].result()


def calls_for(order: int, folder: Path) -> int:
    """How often the gateway was asked to charge an order."""
    with closing(sqlite3.connect(folder / "gateway.db")) as connection:
        [(calls,)] = connection.execute("SELECT calls FROM charges WHERE order_id = ?", (order,))
    return int(calls)


@pytest.mark.parametrize("name", [name for name in PLAYS if name not in LOSSY])
def test_over_a_durable_carrier_all_books_agree(name: str, played: Played) -> None:
    told = played.told

    assert told.returncode == 0, told.stdout + told.stderr
    assert "was killed with SIGKILL after" in told.stdout
    assert "payment is back as process" in told.stdout
    assert BOOKS in told.stdout
    assert "All books agree: nothing was lost, nothing done twice." in told.stdout
    assert calls_for(7, played.folder) >= 3
    assert told.stderr == ""


@pytest.mark.parametrize("name", LOSSY)
def test_a_carrier_that_keeps_nothing_says_what_may_be_missing(name: str, played: Played) -> None:
    told = played.told

    assert told.returncode == 0, told.stdout + told.stderr
    assert "what passes while payment is dead is lost, and said at the end" in told.stdout
    assert f"ok\torders taken\t{ORDERS}\t{ORDERS}" in told.stdout
    assert "ok\tdone twice, in any service\t0\t0" in told.stdout
    assert "WRONG" not in told.stdout
    assert "All books agree" in told.stdout or "Some orders were lost on the way" in told.stdout


def test_no_service_knows_a_carrier() -> None:
    for name in ("order", "inventory", "payment", "notification", "contracts"):
        text = (SHOP / f"{name}.py").read_text().lower()
        for word in ("kafka", "nats", "amqp", "rabbit", "pulsar", "mqtt", "redis", "postgres", "broker="):
            assert word not in text.replace("broker=bus", ""), f"{name}.py speaks of {word}"
