"""Commands on an application of which one handler hears the log, and another the broker directly: both are shown."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import APP, Tidings, rows_of, until

BOTH = (
    APP.replace(
        'App("orders", "sqlite:///orders.db")', 'App("orders", "sqlite:///orders.db", broker="sqlite:///bus.db")'
    )
    .replace("retry=Retry(attempts=2, inline=1)", "retry=Retry.never()")
    .replace("async def ship", "async def ship")
    + """
@app.on("order:created", "refund:*", retry=Retry.never(), direct=True)
async def watch(event: Event) -> None:
    raise ValueError("watched")
""".replace("Event", "dict")
)
Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(BOTH)
    return tmp_path


def published(tidings: Tidings, *totals: int) -> None:
    for number, total in enumerate(totals):
        given = json.dumps({"order_id": number, "customer": f"c{number}", "total": str(total)})
        assert tidings("publish", "order:created.v2", given).returncode == 0


def lines_of(told: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in told.stdout.splitlines()]


@pytest.fixture
def ids(tidings: Tidings, begin: Begin) -> dict[str, str]:
    """Of what is dead in each of both groups, after a run."""
    published(tidings, -1)
    worker = begin("run", "shop:app")
    until(lambda: len(rows_of(tidings("dead", "list"))) == 2, "both groups have a dead letter")
    worker.terminate()
    worker.wait(30)
    return {str(each["group"]): str(each["id"]) for each in lines_of(tidings("dead", "list", "--json"))}


def test_groups_of_both_are_listed_and_told_apart(tidings: Tidings, ids: dict[str, str]) -> None:
    told = {str(each["name"]): each for each in lines_of(tidings("groups", "--json"))}
    rows = {row[0]: row for row in rows_of(tidings("groups"))}

    assert told["orders.ship"]["state"] == "live"
    assert (told["orders.watch"]["state"], told["orders.watch"]["broker"]) == ("direct", "sqlite:///bus.db")
    assert (told["orders.ship"]["dead"], told["orders.watch"]["dead"]) == (1, 1)
    assert told["orders.watch"]["waiting"] == 0
    assert rows["orders.watch"][2] == "direct"
    assert rows["orders.watch"][-1] == "hears sqlite:///bus.db directly"
    assert [row[0] for row in rows_of(tidings("groups", "list", "orders.watch"))] == ["orders.watch"]
    assert "no group 'orders.x'" in tidings("groups", "list", "orders.x").stderr


def test_run_says_how_many_groups_hear_what(begin: Begin, folder: Path) -> None:
    begin("run", "shop:app")
    told = "orders: 1 group on sqlite:///orders.db, 1 group on sqlite:///bus.db\n"
    until(lambda: told in (folder / "output").read_text(), "it says what it runs")


def test_a_direct_group_is_forgotten_by_the_broker_and_has_no_place_to_stop_at(
    tidings: Tidings, ids: dict[str, str]
) -> None:
    for words in (("pause", "orders.watch"), ("resume", "orders.watch"), ("reset", "orders.watch", "--to", "latest")):
        told = tidings("groups", *words)
        assert told.returncode == 1
        assert "orders.watch hears the broker directly" in told.stderr

    told = tidings("groups", "delete", "orders.watch", "orders.*", "--yes")
    assert told.stdout.splitlines()[-1] == "orders.watch is forgotten"
    assert "orders.ship is forgotten" in told.stdout
    assert rows_of(tidings("dead", "list")) == []
    again = tidings("groups", "delete", "orders.watch", "--yes")
    assert again.returncode == 1
    assert "there is no group 'orders.watch'" in again.stderr


def test_dead_letters_of_both_are_listed_shown_and_decided_where_they_are(
    tidings: Tidings, ids: dict[str, str]
) -> None:
    assert set(ids) == {"orders.ship", "orders.watch"}
    told = {each["group"]: each for each in lines_of(tidings("dead", "list", "--json"))}
    assert ("broker" in told["orders.ship"], told["orders.watch"]["broker"]) == (False, "sqlite:///bus.db")
    assert [row[1] for row in rows_of(tidings("dead", "list", "--group", "orders.watch"))] == ["orders.watch"]
    assert [row[1] for row in rows_of(tidings("dead", "list", "--group", "orders.ship"))] == ["orders.ship"]
    assert "watched" in tidings("dead", "show", ids["orders.watch"], "--group", "orders.watch").stdout

    dropped = tidings("dead", "drop", ids["orders.watch"], "--group", "orders.watch", "--yes")
    assert dropped.stdout == "orders.watch: 1 dropped\n"
    assert [row[1] for row in rows_of(tidings("dead", "list"))] == ["orders.ship"]
    assert "orders.ship: 1 skipped" in tidings("dead", "skip", "--all").stdout
    assert rows_of(tidings("dead", "list")) == []


def test_an_event_that_is_dead_in_both_is_decided_in_both(tidings: Tidings, ids: dict[str, str]) -> None:
    assert ids["orders.ship"] == ids["orders.watch"], "it is one event, heard twice"
    shown = tidings("dead", "show", ids["orders.ship"]).stdout
    assert "watched" in shown
    assert "a negative total" in shown
    told = tidings("dead", "retry", ids["orders.ship"]).stdout

    assert "orders.ship: 1 to be tried again" in told
    assert "orders.watch: 1 to be tried again" in told


def test_what_the_log_knows_is_told_while_the_broker_is_away(tidings: Tidings, folder: Path) -> None:
    away = BOTH.replace("sqlite:///bus.db", "redis://127.0.0.1:1")
    (folder / "shop.py").write_text(away)
    published(tidings, 1)

    for words in (("groups",), ("dead", "list")):
        told = tidings(*words)
        assert told.returncode == 0
        assert "nothing is known: redis://127.0.0.1:1 cannot be reached" in told.stderr
