"""What `tidings doctor` prints, and the code it ends with."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Tidings, rows_of


def test_nothing_is_found_and_the_code_is_0(tidings: Tidings) -> None:
    told = tidings("doctor")

    assert (told.returncode, told.stdout, told.stderr) == (0, "Nothing found.\n", "")


def test_a_fault_is_told_with_its_cure_and_the_code_is_1(tidings: Tidings, folder: Path) -> None:
    tidings("publish", "order:created", '{"order_id": 1, "customer": "ada"}')
    (folder / "orders.db").chmod(0o644)

    told = tidings("doctor")
    document = json.loads(tidings("doctor", "--json").stdout)

    assert told.returncode == 1
    ((severity, subject, what, cure),) = rows_of(told)
    assert told.stdout.startswith("severity\tsubject\twhat\tcure\n")
    assert {"severity": severity, "subject": subject, "what": what, "cure": cure} == document
    assert cure == f"chmod 600 {folder / 'orders.db'}"


def test_a_note_alone_is_no_failure(tidings: Tidings) -> None:
    told = tidings("doctor", "--app", "shop:app", TIDINGS_LOG="sqlite:///x.db")

    assert told.returncode == 0
    assert rows_of(told)[0][:2] == ["note", "TIDINGS_LOG"]


@pytest.mark.parametrize(
    ("text", "what", "cure"),
    [
        ("1 / 0", "ZeroDivisionError", "mend the module"),
        ("import nothing_of_that_name", "nothing_of_that_name", "mend the module"),
        ("", "has none", "name it with --app"),
    ],
)
def test_an_application_that_cannot_be_loaded(text: str, what: str, cure: str, tidings: Tidings, folder: Path) -> None:
    (folder / "other.py").write_text(text)

    told = tidings("doctor", "--app", "other:app", "--json")

    found = json.loads(told.stdout)
    assert told.returncode == 1
    assert found["severity"] == "error"
    assert what in found["what"]
    assert found["cure"].startswith(cure)


def test_several_applications_and_none(tidings: Tidings, folder: Path) -> None:
    (folder / "other.py").write_text((folder / "shop.py").read_text())
    several = json.loads(tidings("doctor", "--json").stdout)
    for path in folder.glob("*.py"):
        path.unlink()
    none = json.loads(tidings("doctor", "--json").stdout)

    assert "other:app, shop:app" in several["what"]
    assert "which has no App" in none["what"]
    assert "[tool.tidings]" in several["cure"]


def test_a_log_that_is_not_there(tidings: Tidings) -> None:
    found = json.loads(tidings("doctor", "--url", "sqlite:///nowhere.db", "--json").stdout)

    assert "no such log: sqlite:///nowhere.db" in found["what"]
    assert found["cure"].startswith("correct the URL")
