"""The shop over every carrier, and with its logs in Postgres: the same service files, and the same books at the end."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.servers.postgres import PostgresServer
from tests.servers.server import Server

SOURCE = Path(__file__).parents[2] / "src"
SHOP = SOURCE / "tidings" / "demos" / "shop"
ORDERS = 20  # the fewest there may be: payment is killed among them, 7 meets a failing gateway, 13 is poison
DURABLE = {  # scheme -> its server
    "amqp": "rabbitmq_server",
    "kafka": "kafka_server",
    "mqtt": "mosquitto_server",
    "nats": "nats_server",
    "pulsar": "pulsar_server",
    "redis": "redis_server",
}
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


def play(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tidings", "demo", "shop", "--headless", "--orders", str(ORDERS)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.run(
        [*command, "--dir", str(folder), *words], env=environment, capture_output=True, text=True, timeout=90
    )


def calls_for(order: int, folder: Path) -> int:
    """How often the gateway was asked to charge an order."""
    with closing(sqlite3.connect(folder / "gateway.db")) as connection:
        [(calls,)] = connection.execute("SELECT calls FROM charges WHERE order_id = ?", (order,))
    return int(calls)


def check_durable(told: "subprocess.CompletedProcess[str]", folder: Path) -> None:
    assert told.returncode == 0, told.stdout + told.stderr
    assert "was killed with SIGKILL after" in told.stdout
    assert "payment is back as process" in told.stdout
    assert BOOKS in told.stdout
    assert "All books agree: nothing was lost, nothing done twice." in told.stdout
    assert calls_for(7, folder) >= 3
    assert told.stderr == ""


@pytest.mark.parametrize("scheme", DURABLE)
def test_over_a_durable_carrier_all_books_agree(scheme: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(DURABLE[scheme])

    told = play(tmp_path, "--broker", server.url)

    assert server.url.startswith(f"{scheme}://")
    check_durable(told, tmp_path)


def test_with_a_database_as_the_bus_all_books_agree(postgres_server: PostgresServer, tmp_path: Path) -> None:
    check_durable(play(tmp_path, "--broker", postgres_server.database()), tmp_path)


def test_with_the_logs_in_a_database_all_books_agree(postgres_server: PostgresServer, tmp_path: Path) -> None:
    check_durable(play(tmp_path, "--log", postgres_server.url), tmp_path)


@pytest.mark.parametrize(
    ("server", "before", "after"),
    [("redis_server", "redis:", "redis+pubsub:"), ("nats_server", "", "?jetstream=no")],
    ids=["redis+pubsub", "nats without JetStream"],
)
def test_a_carrier_that_keeps_nothing_says_what_may_be_missing(
    server: str, before: str, after: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(server).url
    url = url.replace(before, after) if before else url + after

    told = play(tmp_path, "--broker", url)

    assert told.returncode == 0, told.stdout + told.stderr
    assert "what passes while payment is dead is lost, and said at the end" in told.stdout
    assert f"ok\torders taken\t{ORDERS}\t{ORDERS}" in told.stdout
    assert "ok\tdone twice, in any service\t0\t0" in told.stdout
    assert "WRONG" not in told.stdout
    assert told.stdout.rstrip().endswith(f"look into one with 'tidings groups --url sqlite:///{tmp_path}/payment.db'")


def test_no_service_knows_a_carrier() -> None:
    for name in ("order", "inventory", "payment", "notification", "contracts"):
        text = (SHOP / f"{name}.py").read_text().lower()
        for word in (*DURABLE, "postgres", "rabbit", "broker="):
            assert word not in text.replace("broker=bus", ""), f"{name}.py speaks of {word}"
