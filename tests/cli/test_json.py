"""What `--json` prints: names in snake_case and times in UTC, whatever the command."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import APP, Tidings

FOREIGN = ("data", "event", "schema")  # the user's own, CloudEvents', JSON Schema's
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
LATER = """
@app.on("order:created", retry=Retry(attempts=9, inline=0, wait=3000), group="orders.bill")
async def bill(order) -> None:
    raise ConnectionError("no bank")

@app.every("1h")
async def tidy() -> None: ...
"""
WORK = """
import asyncio
from shop import OrderCreated, app

async def main():
    async with app.running():
        await app.publish(OrderCreated(1, "ada", -1), id="o-1")
        ear = app.log.bell.listen()
        async with asyncio.timeout(30):
            while len(await app.log.ledger.parked()) < 2:
                await ear.wait(0.05)

asyncio.run(main())
"""


@pytest.fixture
def troubled(tidings: Tidings, folder: Path, environment: dict[str, str]) -> Tidings:
    """A log with a dead letter, one that is to be tried again, and a timer."""
    (folder / "shop.py").write_text(APP + LATER)
    subprocess.run([sys.executable, "-c", WORK], cwd=folder, env=environment, check=True, timeout=60)
    return tidings


def checked(document: Any, path: str = "") -> int:
    """How many times there are in it, all of them well written."""
    if isinstance(document, dict):
        for name in document:
            assert NAME.fullmatch(name), f"{path}.{name}"
        return sum(checked(each, f"{path}.{name}") for name, each in document.items() if name not in FOREIGN)
    if isinstance(document, list):
        return sum(checked(each, f"{path}[]") for each in document)
    if isinstance(document, str) and re.match(r"\d{4}-\d\d-\d\d[T ]", document):
        assert TIME.fullmatch(document), f"{path} is {document}"
        return 1
    assert not (isinstance(document, int | float) and document > 1e9), f"{path} is {document}, a time in seconds"
    return 0


@pytest.mark.parametrize(
    ("words", "has_times"),
    [
        ("groups", True),
        ("dead list", True),
        ("dead list --retry", True),
        ("dead show o-1", True),
        ("timers", True),
        ("trim --dry-run", True),
        ("trace o-1", True),
        ("tail", True),
        ("show o-1", True),
        ("verify", False),
        ("describe", False),
        ("doctor", False),
        ('publish order:created {"order_id":1,"customer":"a"} --delay 5m', True),
    ],
)
def test_names_and_times_are_written_alike(words: str, has_times: bool, troubled: Tidings) -> None:
    documents = [json.loads(line) for line in troubled(*words.split(), "--json").stdout.splitlines()]

    assert documents
    assert (sum(map(checked, documents)) > 0) == has_times


def test_a_failure_that_is_not_final_is_shown_with_its_line_and_next_try(troubled: Tidings) -> None:
    told = troubled("dead", "show", "o-1", "--group", "orders.bill")

    assert "state\tto be tried again by itself" in told.stdout
    assert re.search(r"\nnext_try\t\d{4}-.*Z\n", told.stdout)
    assert "reason\tConnectionError: no bank" in told.stdout
    assert re.search(r'shop.py", line \d+, in bill', told.stdout)
    (listed,) = troubled("dead", "list", "--retry", "--no-header").stdout.splitlines()
    assert listed.split("\t")[1:5] == ["orders.bill", "order:created", "ada", "o-1"]
