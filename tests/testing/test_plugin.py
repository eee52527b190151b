"""The pytest plugin, in a run of its own over a test file as a user writes it."""

import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RUNNERS = {
    "anyio": ["anyio", "-o", "anyio_mode=auto"],
    "asyncio": [
        "pytest_asyncio.plugin",
        "-o",
        "asyncio_mode=auto",
        "-o",
        "asyncio_default_fixture_loop_scope=function",
    ],
}

ON_ASYNCIO = """
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""

SHOP = """
from tidings import App, event

@event("order:created", key="order_id")
class OrderCreated:
    order_id: int
    cds: int = 1

@event("stock:reserved", key="order_id")
class StockReserved:
    order_id: int
    cds: int

app = App("shop", "sqlite:////nowhere/shop.db")

@app.on(OrderCreated)
async def reserve(order: OrderCreated) -> StockReserved:
    if order.cds > 100:
        raise ValueError(f"{order.cds} CDs are too many")
    return StockReserved(order.order_id, order.cds)
"""

PASSING = """
import random

from shop import OrderCreated, StockReserved, app
from tidings.testing import Faults, TestApp

async def test_stock_is_reserved(tidings_app, manual_clock):
    async with tidings_app(app) as test:
        await test.publish(OrderCreated(1, cds=2))
        await test.settle()
        test.assert_published(StockReserved(1, cds=2))
        await test.advance(60)
        assert manual_clock.monotonic() == 60

async def test_it_is_reserved_whatever_goes_wrong(tidings_app, tidings_seed):
    async with tidings_app(app, faults=Faults(duplicate=0.5, fail_after=0.5, seed=tidings_seed)) as test:
        await test.publish(OrderCreated(1))
        await test.settle()
        test.assert_published(StockReserved, times=1)

def test_the_seed_is_that_of_the_environment(tidings_seed):
    assert tidings_seed == 42
"""

FAILING = """
from shop import OrderCreated, StockReserved, app
from tidings.testing import TestApp

async def test_the_wrong_number_is_expected(tidings_app, tidings_seed):
    async with tidings_app(app) as test:
        await test.publish(OrderCreated(1, cds=2))
        await test.settle()
        test.assert_published(StockReserved(1, cds=3))

async def test_a_dead_letter_is_not_expected(tidings_app):
    async with tidings_app(app) as test:
        await test.publish(OrderCreated(1, cds=101))
        await test.advance(3600 * 24)
"""


def run(folder: Path, test: str, runner: str) -> "subprocess.CompletedProcess[str]":
    """pytest over this test file, with our plugin and the runner's alone."""
    (folder / "shop.py").write_text(SHOP)
    (folder / "conftest.py").write_text(ON_ASYNCIO)
    (folder / "test_shop.py").write_text(test)
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-p", "tidings.testing.plugin", "-p", "no:cacheprovider"]
    path = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TIDINGS_SEED": "42", "PYTHONPATH": path}
    done = subprocess.run(
        [*command, "-p", *RUNNERS[runner]], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    print(done.stdout, done.stderr)
    return done


@pytest.mark.parametrize("runner", sorted(RUNNERS))
def test_the_fixtures_go_with_every_runner_of_coroutines(runner: str, tmp_path: Path) -> None:
    if runner == "asyncio":
        pytest.importorskip("pytest_asyncio", reason="requirements/dev.txt has it")

    done = run(tmp_path, PASSING, runner)

    assert done.returncode == 0
    assert "3 passed" in done.stdout


def test_a_failure_reads_well(tmp_path: Path) -> None:
    done = run(tmp_path, FAILING, "anyio")

    told = done.stdout
    assert done.returncode == 1
    assert "2 failed" in told
    assert "expected to be published:\nE             stock:reserved  StockReserved(order_id=1, cds=3)" in told
    assert "cds: expected 3, was 2" in told
    assert "repeat its choices with TIDINGS_SEED=42" in told
    assert told.count("TIDINGS_SEED") == 1  # where it was used
    assert "shop.reserve gave up order:created  OrderCreated(order_id=1, cds=101)" in told
    assert "ValueError: 101 CDs are too many" in told
    assert "asserting.py" not in told  # the test's own line is the last that is shown


def test_the_entry_point_is_the_plugin() -> None:
    settings: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())

    points = settings["project"]["entry-points"]["pytest11"]

    assert hasattr(importlib.import_module(points["tidings"]), "tidings_app")


def test_loading_the_plugin_loads_nothing_else() -> None:
    code = "import sys, tidings.testing.plugin; print(*sorted(n for n in sys.modules if n.startswith('tidings')))"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}

    done = subprocess.run(
        [sys.executable, "-c", code], check=True, env=environment, capture_output=True, text=True, timeout=60
    )

    assert done.stdout.split() == ["tidings", "tidings.testing", "tidings.testing.plugin"]


def test_the_test_application_is_no_test() -> None:
    from tidings.testing import TestApp

    assert TestApp.__test__ is False
