"""An event's story as a user asks for it: as a tree, a flowchart, JSON; and the event itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Tidings, rows_of
from tests.handling.trace.flowcharts import read

WORK = """
import asyncio
from shop import OrderCreated, app

async def main():
    async with app.running():
        for number, total in enumerate((1, -1)):
            await app.publish(OrderCreated(number, "ada", total), id=f"order-{number}")
        async with asyncio.timeout(30):
            while True:
                [group] = await app.log.ledger.groups()
                if not group.lag and group.dead:
                    return
                await asyncio.sleep(0.02)

asyncio.run(main())
"""


@pytest.fixture
def worked(folder: Path, environment: dict[str, str], tidings: Tidings) -> Tidings:
    """`tidings`, after the application has handled one order, and failed with another."""
    plain = (folder / "shop.py").read_text().replace("Retry(attempts=2, inline=1)", "Retry(attempts=1)")
    (folder / "shop.py").write_text(plain)
    subprocess.run([sys.executable, "-c", WORK], cwd=folder, env=environment, check=True, timeout=60)
    return tidings


def test_trace_tells_what_became_of_an_event(worked: Tidings) -> None:
    handled = worked("trace", "order-0").stdout
    dead = worked("trace", "order-1").stdout

    assert "order:created.v2  order-0  <- asked for" in handled
    assert "published by orders" in handled
    assert "orders.ship: handled" in handled
    assert "orders.ship: dead" in dead
    assert "ValueError: a negative total" in dead


def test_trace_is_a_flowchart_or_json_when_asked(worked: Tidings) -> None:
    chart = read(worked("trace", "order-1", "--mermaid").stdout.rstrip("\n"))
    document = json.loads(worked("trace", "order-1", "--json").stdout)

    assert chart.arrows() == {("order:created", "orders.ship")}
    assert chart.classes == {"e0": "asked", "e0g0": "dead"}
    (reception,) = document["root"]["receptions"]
    assert (document["asked"], reception["group"], reception["state"]) == ("order-1", "orders.ship", "dead")


def test_show_prints_one_event_whole(worked: Tidings) -> None:
    position = rows_of(worked("tail", "--limit", "1"))[0][1]

    by_id = worked("show", "order-0").stdout
    document = json.loads(worked("show", position, "--json").stdout)

    assert "name\torder:created\nversion\t2\n" in by_id
    assert '{\n  "order_id": 0,\n  "customer": "ada",\n  "total": 1\n}' in by_id
    assert (document["id"], document["data"]["customer"]) == ("order-0", "ada")


@pytest.mark.parametrize("command", ["trace", "show"])
def test_an_event_that_is_not_there_is_one_sentence_that_says_what_to_do(worked: Tidings, command: str) -> None:
    unknown, several = worked(command, "order-9"), worked(command, "order")

    assert (unknown.returncode, several.returncode) == (1, 1)
    assert "'order-9' is no event of this log, or was trimmed from it: 'tidings tail' shows" in unknown.stderr
    assert "'order' is the beginning of several ids (order-0, order-1): give more of it" in several.stderr


def test_describe_draws_who_hears_what(tidings: Tidings, folder: Path) -> None:
    chart = read(tidings("describe", "--mermaid").stdout.rstrip("\n"))

    assert chart.arrows() == {("orders", "order:created"), ("order:created", "orders.ship")}
    assert {path.name for path in folder.iterdir()} <= {"shop.py", "__pycache__"}
