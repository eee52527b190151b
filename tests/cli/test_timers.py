"""What is scheduled, as operators see it, and having it not happen."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Tidings, rows_of

SCHEDULE = """
import asyncio
from shop import app, OrderCreated

@app.every("1h30m")
async def clean():
    pass

async def main():
    async with app.running():
        await app.publish(OrderCreated(1, "ada"), id="later", delay=86400)
        await app.publish("note:made", id="much-later", delay=864000)
        async with asyncio.timeout(30):
            while len(await app.log.ledger.timers.waiting()) < 3:
                await asyncio.sleep(0.02)

asyncio.run(main())
"""


@pytest.fixture
def scheduled(folder: Path, environment: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-c", SCHEDULE], cwd=folder, env=environment, check=True, timeout=60)


@pytest.mark.usefixtures("scheduled")
def test_what_is_scheduled_is_listed_the_next_first(tidings: Tidings) -> None:
    lines = rows_of(tidings("timers"))
    documents = [json.loads(line) for line in tidings("timers", "--json", "--limit", "2").stdout.splitlines()]

    assert [line[1:] for line in lines[1:]] == [
        ["order:created", "ada", "-", "later"],
        ["note:made", "-", "-", "much-later"],
    ]
    assert lines[0][1:4] == ["tidings:every:orders.clean", "orders.clean", "1:30:00"]
    assert [line[0] for line in lines] == sorted(line[0] for line in lines)
    assert [(one["type"], one["every"]) for one in documents] == [
        ("tidings:every:orders.clean", "every 1:30:00"),
        ("order:created", None),
    ]


@pytest.mark.usefixtures("scheduled")
def test_a_delayed_event_is_cancelled_once(tidings: Tidings) -> None:
    told, again = tidings("timers", "cancel", "later"), tidings("timers", "cancel", "later")

    assert told.stdout == "later is cancelled\n"
    assert (again.returncode, again.stdout) == (1, "")
    assert "no delayed event later waits" in again.stderr
    assert "later\n" not in tidings("timers").stdout.replace("much-later\n", "")


def test_nothing_scheduled_is_no_line(tidings: Tidings) -> None:
    tidings("publish", "order:created", '{"order_id": 1, "customer": "ada"}')

    assert rows_of(tidings("timers")) == []
    assert tidings("timers", "--no-header").stdout == ""
