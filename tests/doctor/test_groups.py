"""Seeded faults of groups, each found, with its cure."""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.crash.patience import until
from tests.doctor.conftest import OrderCreated, Patient
from tests.servers.postgres import PostgresServer
from tidings import App, Reject, Retry
from tidings.clock import ManualClock
from tidings.doctor import Finding
from tidings.log import open_log
from tidings.log.group import Group

DIE = """
import asyncio, os, sys
from tidings.log import open_log

async def die():
    log = await open_log(sys.argv[1])
    member = await log.ledger.enter()
    await log.ledger.claim("orders.ship", member)
    os._exit(1)

asyncio.run(die())
"""
SOURCE = Path(__file__).parents[2] / "src"


def test_dead_letters(patient: Patient) -> None:
    app = patient.app = App("orders", f"sqlite:///{patient.file}")

    @app.on(OrderCreated)
    def ship(order: OrderCreated) -> None:
        raise Reject("no stock")

    patient.run(4)

    found = patient.finding()

    assert found.severity == "warning"
    assert found.what == "dead letters: 1"
    assert "tidings dead list --group orders.ship" in found.cure


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a log that nobody has used yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/elsewhere.db"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.database()


def works_off(app: App) -> None:
    """One order, which its handler gives up."""
    dead = asyncio.Event()

    @app.on(OrderCreated)
    async def ship(order: OrderCreated) -> None:
        dead.set()
        raise Reject("no stock")

    async def work() -> None:
        async with app.running():
            await app.publish(OrderCreated("ada", 1))
            await dead.wait()

    asyncio.run(work())  # stopping settles what is in hand


def test_dead_letters_of_a_log_wherever_it_is(patient: Patient, place: str) -> None:
    app = App("orders", place)
    works_off(app)

    found = [each for each in patient.findings(app) if each.subject == "orders.ship"]

    assert [each.what for each in found] == ["dead letters: 1"]


def test_a_bus_in_a_log_is_judged_as_any_broker(patient: Patient, place: str) -> None:
    app = App("orders", broker=place)
    works_off(app)

    async def forget_nobody() -> None:
        log = await open_log(place)
        await log.ledger.join(Group("bills.write"))
        await log.close()

    asyncio.run(forget_nobody())

    found = {each.subject: each for each in patient.findings(app) if "." in each.subject}

    assert found["orders.ship"].what == "dead letters at the broker: 1"
    assert found["bills.write"].severity == "note"
    assert "1 events wait for it at the broker" in found["bills.write"].what


def test_an_older_bus_is_left_as_it_is(patient: Patient, tmp_path: Path) -> None:
    bus = tmp_path / "bus.db"
    app = App("orders", broker=f"sqlite:///{bus}")
    works_off(app)
    with contextlib.closing(sqlite3.connect(bus)) as connection, connection:
        connection.execute("UPDATE tidings_meta SET value = '1' WHERE name = 'schema'")
    with contextlib.closing(sqlite3.connect(bus)) as connection:  # the last to close: nothing waits in a -wal
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = bus.read_bytes()

    patient.findings(app)

    assert bus.read_bytes() == before


def test_events_that_wait_in_postgres_for_a_group_that_nobody_runs(
    patient: Patient, postgres_server: PostgresServer
) -> None:
    app = App("orders", postgres_server.database())

    @app.on(OrderCreated)
    async def ship(order: OrderCreated) -> None: ...

    async def work() -> None:
        async with app.running():
            pass
        async with app:
            await app.publish_many([OrderCreated("ada", number) for number in range(3)])

    asyncio.run(work())

    (found,) = [each for each in patient.findings(app) if each.subject == "orders.ship"]

    assert found.what == "nobody runs it, and it has 3 events of the log before it"


def test_a_group_that_paused_itself(patient: Patient) -> None:
    app = patient.app = App("orders", f"sqlite:///{patient.file}")

    @app.on(OrderCreated, blocked_limit=2, retry=Retry(attempts=1, inline=0))
    def ship(order: OrderCreated) -> None:
        raise ValueError("no stock")

    async def is_paused() -> bool:
        return (await app.health()).groups[0].state == "paused"

    async def work() -> None:
        async with app.running():
            await app.publish_many([OrderCreated("ada", number) for number in range(5)])
            await until(app, is_paused)

    asyncio.run(work())

    found = next(each for each in patient.findings() if "paused" in each.what)

    assert found.severity == "error"
    assert "events of 1 keys wait behind dead letters" in found.what
    assert "tidings groups resume orders.ship" in found.cure


def test_a_group_that_somebody_paused(patient: Patient) -> None:
    patient.with_log(lambda log: log.ledger.set_state("orders.ship", "paused"))

    found = patient.finding()

    assert found.severity == "note"
    assert found.what == "it is paused, with 0 events to come"
    assert found.cure.startswith("'tidings groups resume orders.ship'")


def test_a_retry_that_nobody_makes(patient: Patient) -> None:
    app = patient.app = App("orders", f"sqlite:///{patient.file}")

    @app.on(OrderCreated, retry=Retry(inline=0, wait=0.1))
    def ship(order: OrderCreated) -> None:
        raise ConnectionError

    patient.run(4)

    found = patient.finding(clock=ManualClock(os.stat(patient.file).st_mtime + 90))

    assert found.severity == "warning"
    assert "and nobody runs the group" in found.what
    assert found.cure == "tidings run shop:app"


def test_a_group_that_nobody_runs(patient: Patient) -> None:
    async def publish() -> None:
        async with patient.app:
            await patient.app.publish(OrderCreated("ada"))

    asyncio.run(publish())

    found = patient.finding()

    assert found.what == "nobody runs it, and it has 1 events of the log before it"
    assert found.cure == "tidings run shop:app"


def test_more_workers_than_there_are_lanes(patient: Patient) -> None:
    found: list[Finding] = []

    async def crowd(log: Any) -> None:
        members = [await log.ledger.enter() for _ in range(17)]
        for member in members:
            await log.ledger.claim("orders.ship", member)
        found.extend(await asyncio.to_thread(patient.findings))
        for member in members:
            await log.ledger.leave(member)

    patient.with_log(crowd)

    [finding] = found
    assert finding.what == "17 readers in 17 processes share its 16 lanes: some are idle"
    assert finding.cure.startswith("run fewer workers")


def test_another_application_of_the_same_name(patient: Patient) -> None:
    found: list[Finding] = []

    async def namesake() -> None:
        other = patient.make(handler="bill")

        async def is_at_work() -> bool:
            return any(group.lanes for group in (await other.health()).groups)

        async with other.running():
            await until(other, is_at_work)
            found.extend(await asyncio.to_thread(patient.findings))

    asyncio.run(namesake())

    [finding] = found
    assert finding.severity == "error"
    assert finding.subject == "orders.bill"
    assert f"process {os.getpid()} runs it for an application named orders" in finding.what
    assert finding.cure.startswith("give one of the two another name")


def test_a_group_whose_handler_is_gone(patient: Patient) -> None:
    found = patient.finding(patient.make(handler="deliver"))

    assert found.subject == "orders.ship"
    assert found.what == "no handler of this application runs it any more; it is 0 events behind"
    assert "tidings groups delete orders.ship" in found.cure


def test_groups_of_other_applications_are_theirs(patient: Patient) -> None:
    patient.with_log(lambda log: log.ledger.join(Group("billing.charge")))

    assert patient.findings() == []


def test_a_member_that_died(patient: Patient) -> None:
    command = [sys.executable, "-c", DIE, f"sqlite:///{patient.file}"]
    with contextlib.suppress(subprocess.CalledProcessError):
        subprocess.run(command, env={**os.environ, "PYTHONPATH": str(SOURCE)}, check=True, timeout=60)

    found = patient.finding()

    assert found.severity == "note"
    assert "died without leaving" in found.what
    assert found.cure == "tidings run shop:app"
