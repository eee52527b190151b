"""The application that `tidings new` writes, used as its owner would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tidings.errors import ConfigurationError
from tidings.starter import check_name, write_app

SOURCE = Path(__file__).parents[2] / "src"


def call(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("TIDINGS_", "PYTEST_"))}
    environment = {**plain, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A new application."""
    told = call("tidings", "new", "shop", folder=tmp_path)
    assert told.returncode == 0, told.stderr
    return tmp_path / "shop"


def test_its_own_test_passes(shop: Path) -> None:
    told = call("pytest", "-q", "-p", "no:cacheprovider", folder=shop)

    assert told.returncode == 0, told.stdout
    assert "2 passed" in told.stdout


def test_it_is_described_published_to_and_found_to_be_well(shop: Path) -> None:
    described = json.loads(call("tidings", "describe", "--json", folder=shop).stdout)
    published = call("tidings", "publish", "order:placed", '{"order_id": 1, "item": "a lamp"}', folder=shop)
    doctor = call("tidings", "doctor", folder=shop)

    assert [each["name"] for each in described["events"]] == ["order:placed", "stock:reserved"]
    assert [each["group"] for each in described["groups"]] == ["shop.reserve_stock", "shop.tell_customer"]
    assert published.stdout.endswith("\tshop.reserve_stock\n")
    assert (doctor.returncode, doctor.stdout) == (0, "Nothing found.\n")


def test_every_command_of_its_readme_is_one(shop: Path) -> None:
    lines = [line for line in (shop / "README.md").read_text().splitlines() if line.startswith("$ tidings ")]

    codes = [call("tidings", *line.split()[2:3], "--help", folder=shop).returncode for line in lines]

    assert codes == [0] * 5


def test_the_next_three_commands_are_told(tmp_path: Path) -> None:
    told = call("tidings", "new", "bank", "--directory", "money", folder=tmp_path)

    assert [line.split("#")[0].split()[:2] for line in told.stdout.split("Next:\n")[1].splitlines()] == [
        ["cd", "money"],
        ["tidings", "run"],
        ["tidings", "publish"],
    ]
    assert (tmp_path / "money" / "bank.py").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("mine")

    with pytest.raises(ConfigurationError, match="nothing is overwritten"):
        write_app("shop", tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["shop.py"]


@pytest.mark.parametrize(
    ("name", "advice"),
    [("My-Shop", "as in my_shop"), ("1", "as in shop"), ("../x", "as in x"), ("", "as in shop")],
)
def test_a_name_that_suits_no_application_is_refused(name: str, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        check_name(name)


@pytest.mark.parametrize("name", ["json", "class", "tidings", "tests"])
def test_a_name_that_would_hide_a_library_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="would hide"):
        check_name(name)
