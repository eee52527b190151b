"""A folder with an application in it, and `tidings` as a user calls it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
APP = """
from decimal import Decimal
from tidings import App, Retry, event

@event("order:created", version=2, key="customer")
class OrderCreated:
    order_id: int
    customer: str
    total: Decimal = Decimal(0)

app = App("orders", "sqlite:///orders.db")

@app.on(OrderCreated, retry=Retry(attempts=2, inline=1))
async def ship(order: OrderCreated) -> None:
    if order.total < 0:
        raise ValueError("a negative total")
"""
Tidings = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the user stands: beside `shop.py`, which holds the one App."""
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


@pytest.fixture
def environment() -> dict[str, str]:
    ours = ("TIDINGS_", "PYTHONUNBUFFERED")  # a user's shell has none of these
    plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**plain, "PYTHONPATH": str(SOURCE), "COLUMNS": "200"}


@pytest.fixture
def tidings(folder: Path, environment: dict[str, str]) -> Tidings:
    """Call `tidings` in the folder."""

    def call(*words: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tidings", *words]
        return subprocess.run(
            command, cwd=folder, env=environment | variables, input=given, capture_output=True, text=True, timeout=60
        )

    return call


@pytest.fixture
def begin(folder: Path, environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `tidings` in the folder and go on; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def call(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tidings", *words]
        with (folder / "output").open("a") as output:
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output, text=True)
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        process.wait(10)


def rows_of(told: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """The rows of what a pipe was given, below the names of the columns."""
    return [line.split("\t") for line in told.stdout.splitlines()[1:]]


def names(tidings: Tidings, *words: str) -> list[str]:
    """The names of the events that `tidings tail` shows."""
    return [row[2] for row in rows_of(tidings("tail", *words))]


def until(reached: Callable[[], object], what: str, *, within: float = 30.0) -> None:
    """Wait for something to become true, with a limit."""
    limit = time.monotonic() + within
    while not reached():
        assert time.monotonic() < limit, f"waited {within:g} s in vain until {what}"
        time.sleep(0.05)
