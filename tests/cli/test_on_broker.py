"""Commands on an application without a log: its groups, dead letters and events are at its broker."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import APP, Tidings, rows_of, until

DIRECT = APP.replace('App("orders", "sqlite:///orders.db")', 'App("orders", broker="sqlite:///bus.db")').replace(
    "retry=Retry(attempts=2, inline=1)", "retry=Retry.never()"
)
Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(DIRECT)
    return tmp_path


def published(tidings: Tidings, *totals: int) -> None:
    for number, total in enumerate(totals):
        given = json.dumps({"order_id": number, "customer": f"c{number}", "total": str(total)})
        assert tidings("publish", "order:created.v2", given).returncode == 0


def run_until_dead(begin: Begin, tidings: Tidings) -> None:
    worker = begin("run", "shop:app")
    until(lambda: "orders.ship" in tidings("dead", "list").stdout, "there is a dead letter")
    worker.terminate()
    worker.wait(30)


def test_groups_and_dead_letters_are_those_of_the_broker(tidings: Tidings, begin: Begin) -> None:
    published(tidings, 1, -1, 2)
    assert rows_of(tidings("dead", "list")) == []
    run_until_dead(begin, tidings)

    [group] = [json.loads(line) for line in tidings("groups", "--json").stdout.splitlines()]
    assert (group["group"], group["waiting"], group["dead"]) == ("orders.ship", 0, 1)
    [letter] = [json.loads(line) for line in tidings("dead", "list", "--json").stdout.splitlines()]
    assert (letter["reason"], letter["event"]["data"]["order_id"]) == ("ValueError: a negative total", 1)
    shown = tidings("dead", "show", letter["id"]).stdout
    assert "a negative total" in shown
    assert "shop.py" in shown, "where the handler failed"

    assert tidings("dead", "drop", letter["id"], "--yes").stdout == "orders.ship: 1 dropped\n"
    assert tidings("dead", "list", "--json").stdout == ""


def test_a_group_that_nobody_runs_is_named_and_can_be_forgotten(tidings: Tidings, begin: Begin) -> None:
    published(tidings, -1)
    run_until_dead(begin, tidings)
    published(tidings, 1)

    told = tidings("groups").stderr
    assert "nobody runs orders.ship, and 1 events wait for it" in told
    assert "'tidings groups delete orders.ship'" in told
    assert "no group 'orders.x'" in tidings("groups", "delete", "orders.x", "--yes").stderr
    assert tidings("groups", "delete", "orders.*", "--yes").stdout == "orders.ship is forgotten\n"
    assert tidings("groups", "--json").stdout == tidings("dead", "list", "--json").stdout == ""


def test_a_dead_letter_is_tried_again(tidings: Tidings, begin: Begin, folder: Path) -> None:
    published(tidings, -1)
    run_until_dead(begin, tidings)
    (folder / "shop.py").write_text(DIRECT.replace("if order.total < 0", "if False"))

    assert tidings("dead", "retry", "--all").stdout == "orders.ship: 1 to be tried again\n"
    worker = begin("run", "shop:app")
    until(lambda: json.loads(tidings("groups", "--json").stdout)["dead"] == 0, "it was handled")
    worker.terminate()
    worker.wait(30)


def test_what_comes_is_shown(tidings: Tidings, begin: Begin, folder: Path) -> None:
    tail, output = begin("tail", "order:*", "--limit", "1"), folder / "output"
    until(lambda: "from now on" in output.read_text(), "it listens")
    published(tidings, 1)

    assert tail.wait(30) == 0
    assert "order:created.v2" in output.read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("tail", "--from", "earliest"), "needs a log"),
        (("dead", "list", "--retry"), "needs a log"),
        (("dead", "show", "nothing"), "no dead letter nothing"),
        (("trace", "x"), "has no log"),
        (("verify",), "has no log"),
        (("timers",), "has no log"),
        (("groups", "pause", "orders.ship"), "has no log"),
        (("publish", "order:created", "{}", "--delay", "5s"), "publishing later needs a log"),
        (("timers", "--url", "redis://ann:secret@127.0.0.1:1"), "redis://ann:***@127.0.0.1:1 is a broker"),
        (("tail", "--url", "redis://127.0.0.1:1"), "nobody listens at port 1"),
    ],
    ids=" ".join,
)
def test_what_needs_a_log_says_so(tidings: Tidings, words: tuple[str, ...], told: str) -> None:
    result = tidings(*words)

    assert result.returncode != 0
    assert told in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_setup_tells_and_creates(tidings: Tidings, folder: Path) -> None:
    checked = tidings("setup", "--check")
    assert (checked.returncode, [row[:2] for row in rows_of(checked)]) == (1, [["log sqlite:///bus.db", "missing"]])
    assert not list(folder.glob("bus.db*")), "it only looks"

    assert [row[:2] for row in rows_of(tidings("setup"))] == [["log sqlite:///bus.db", "created"]]
    assert tidings("setup", "--check").returncode == 0


def test_a_password_in_the_environment_is_not_shown(tidings: Tidings) -> None:
    result = tidings("setup", TIDINGS_URL="redis://ann:secret@host/0")

    assert "secret" not in result.stderr + result.stdout
    assert "has no application" in result.stderr
