"""Groups as operators see and move them, and what becomes of dead letters."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Tidings, rows_of, until

GOOD = '{"order_id": 1, "customer": "ada", "total": 1}'
BAD = '{"order_id": 2, "customer": "ada", "total": -1}'
WORK = """
import asyncio, sys
from shop import app

async def main():
    async with app.running():
        async with asyncio.timeout(30):
            while True:
                [group] = await app.log.ledger.groups()
                if group.position == await app.log.head() and not group.retry and group.blocked <= int(sys.argv[1]):
                    return
                await asyncio.sleep(0.02)

asyncio.run(main())
"""
Work = Callable[..., None]


@pytest.fixture
def work(folder: Path, environment: dict[str, str]) -> Work:
    """Run the application until it has nothing more to do, but for so many blocked."""

    def run(blocked: int = 0) -> None:
        subprocess.run([sys.executable, "-c", WORK, str(blocked)], cwd=folder, env=environment, check=True, timeout=60)

    return run


@pytest.fixture
def letter(tidings: Tidings, work: Work) -> str:
    """The id of a dead letter with one event behind it."""
    told = tidings("publish", "order:created", BAD)
    tidings("publish", "order:created", GOOD)
    work(blocked=1)
    return told.stdout.split("\t")[0]


def counts(tidings: Tidings) -> tuple[int, int, int]:
    group = json.loads(tidings("groups", "--json").stdout)
    return group["retry"], group["blocked"], group["dead"]


def test_groups_are_listed_once_there_are_any(tidings: Tidings, work: Work) -> None:
    before = tidings("groups")
    tidings("publish", "order:created", GOOD)
    work()

    (fields,) = rows_of(tidings("groups"))

    assert (before.returncode, before.stdout) == (1, "")
    assert "no such log" in before.stderr
    assert fields[:3] == ["orders.ship", "order:created", "live"]
    assert fields[4:10] == ["0", "0", "0", "0", "-", "-"]
    assert fields[10].startswith("nobody runs it: last seen ")


def test_a_group_is_paused_resumed_and_deleted(tidings: Tidings, work: Work) -> None:
    tidings("publish", "order:created", GOOD)
    work()

    assert tidings("groups", "pause", "orders.ship").returncode == 0
    assert json.loads(tidings("groups", "--json").stdout)["state"] == "paused"
    assert tidings("groups", "resume", "orders.ship").returncode == 0
    assert json.loads(tidings("groups", "--json").stdout)["state"] == "live"
    assert tidings("groups", "delete", "orders.ship", given="n\n").returncode == 1
    assert tidings("groups", "delete", "orders.ship", "--yes").returncode == 0
    assert rows_of(tidings("groups")) == []
    assert "there is no group" in tidings("groups", "pause", "orders.ship").stderr


def test_a_dead_letter_is_listed_and_shown_by_id_and_position(tidings: Tidings, letter: str) -> None:
    (fields,) = rows_of(tidings("dead", "list"))
    document = json.loads(tidings("dead", "show", letter, "--json").stdout)
    shown = tidings("dead", "show", fields[0], "--group", "orders.ship")

    assert fields[1:7] == ["orders.ship", "order:created", "ada", letter, "2", "1"]
    assert fields[8] == "ValueError: a negative total"
    assert document["event"]["data"] == {"order_id": 2, "customer": "ada", "total": "-1"}
    assert "Traceback" in shown.stdout
    assert "no group has set nothing aside" in tidings("dead", "show", "nothing").stderr
    assert "is no dead letter" in tidings("dead", "skip", "nothing").stderr


def test_a_retried_letter_is_tried_again_at_the_next_run(
    tidings: Tidings, letter: str, folder: Path, work: Work
) -> None:
    (folder / "shop.py").write_text((folder / "shop.py").read_text().replace("order.total < 0", "False"))

    told = tidings("dead", "retry", letter)

    assert told.stdout == "orders.ship: 1 to be tried again; nobody runs this group now\n"
    assert counts(tidings) == (1, 1, 0)
    work()
    assert counts(tidings) == (0, 0, 0)


def test_a_skipped_letter_lets_those_behind_it_go_on(tidings: Tidings, letter: str, work: Work) -> None:
    told = tidings("dead", "skip", letter)

    assert told.stdout.startswith("orders.ship: 1 skipped")
    assert counts(tidings) == (0, 1, 0)
    work()
    assert counts(tidings) == (0, 0, 0)
    assert len(rows_of(tidings("tail"))) == 2


def test_a_dropped_letter_takes_those_behind_it_along(tidings: Tidings, letter: str) -> None:
    refused = tidings("dead", "drop", letter, given="n\n")

    told = tidings("dead", "drop", letter, "--yes")

    assert refused.returncode == 1
    assert told.stdout.startswith("orders.ship: 2 dropped")
    assert counts(tidings) == (0, 0, 0)


def test_all_has_to_be_asked_for(tidings: Tidings, letter: str) -> None:
    assert "give --all" in tidings("dead", "skip").stderr
    assert counts(tidings) == (0, 1, 1)
    assert tidings("dead", "skip", "--all").returncode == 0
    assert rows_of(tidings("dead", "list")) == []


def test_replay_says_how_much_is_heard_again_and_asks(tidings: Tidings, letter: str, work: Work) -> None:
    tidings("publish", "other:event", "1")
    work(blocked=1)
    refused = tidings("replay", "orders.ship", "--to", "earliest", given="n\n")

    told = tidings("replay", "orders.ship", "--to", "earliest", "--yes")

    assert refused.returncode == 1
    assert "orders.ship will hear 2 events again, and forget 2 set aside. Go on?" in refused.stdout
    assert told.stdout == "orders.ship will hear 2 events again, and forget 2 set aside; nobody runs it now\n"
    assert json.loads(tidings("groups", "--json").stdout)["position"] == ""
    work(blocked=1)
    assert counts(tidings) == (0, 1, 1)


def test_replay_goes_to_a_position_or_a_time(tidings: Tidings, work: Work) -> None:
    for _ in range(3):
        tidings("publish", "order:created", GOOD)
    work()
    rows = rows_of(tidings("tail"))

    by_position = tidings("replay", "orders.ship", "--to", rows[0][1], "--yes")
    forward = tidings("replay", "orders.ship", "--to", rows[1][1], "--yes")
    by_time = tidings("replay", "orders.ship", "--to", rows[0][0], "--yes")

    assert "hear 2 events again" in by_position.stdout
    assert "pass over 1 event;" in forward.stdout
    assert "hear 2 events again" in by_time.stdout
    assert "there is no group 'nobody'" in tidings("replay", "nobody", "--to", "earliest").stderr
    assert tidings("replay", "orders.ship", "--to", "ffffffffffff-0000000000000001", "--yes").returncode == 1


def test_groups_are_meant_by_pattern_and_close_names_are_offered(tidings: Tidings, work: Work) -> None:
    tidings("publish", "order:created", GOOD)
    work()

    paused = tidings("groups", "pause", "orders.*", "--why", "the gateway is moved")
    unknown = tidings("groups", "resume", "orders.shpi")

    assert paused.stdout.startswith("orders.ship is paused")
    assert json.loads(tidings("groups", "list", "orders.ship", "--json").stdout)["reason"] == (
        "paused: the gateway is moved"
    )
    assert (unknown.returncode, "did you mean orders.ship?" in unknown.stderr) == (1, True)
    assert "Traceback" not in unknown.stderr


def test_groups_are_listed_with_lag_and_reason(tidings: Tidings, letter: str) -> None:
    tidings("publish", "order:created", GOOD.replace("ada", "bob"))
    tidings("publish", "other:event", "1")

    group = json.loads(tidings("groups", "--json").stdout)

    assert (group["lag"], group["waiting"], group["waiting_is_exact"]) == (2, 1, True)
    assert group["seconds"] > 0
    assert group["reason"].startswith("nobody runs it: last seen ")
    assert group["members"] == []


def test_a_reset_says_which_effects_come_again_and_asks(tidings: Tidings, letter: str, work: Work) -> None:
    refused = tidings("groups", "reset", "orders.*", "--to", "2h ago", given="n\n")

    told = tidings("groups", "reset", "orders.*", "--to", "2h ago", "--yes")

    assert refused.returncode == 1
    assert "calls to the outside are made again" in refused.stdout
    assert "orders.ship will hear 2 events again, and forget 2 set aside. Go on?" in refused.stdout
    assert told.stdout == "orders.ship will hear 2 events again, and forget 2 set aside; nobody runs it now\n"
    assert "is no place in a log" in tidings("groups", "reset", "orders.ship", "--to", "then", "--yes").stderr


def test_a_dead_list_says_how_many_it_leaves_out(tidings: Tidings, letter: str, work: Work) -> None:
    tidings("publish", "order:created", BAD.replace("ada", "bob"))
    work(blocked=1)

    some = tidings("dead", "list", "--limit", "1")

    assert len(rows_of(some)) == 1
    assert some.stderr == "1 more are not shown: --limit 2 shows all\n"
    assert tidings("dead", "list").stderr == ""


def test_a_damaged_record_is_passed_over_by_the_command_that_the_reason_names(
    tidings: Tidings, folder: Path, work: Work
) -> None:
    tidings("publish", "order:created", GOOD)
    work()
    tidings("publish", "order:created", GOOD)
    tidings("publish", "order:created", GOOD)
    with sqlite3.connect(folder / "orders.db") as connection:
        connection.execute("UPDATE tidings_events SET data = X'FF' WHERE position = 2")
    connection.close()

    reason = json.loads(tidings("groups", "--json").stdout)["reason"]
    command = reason.split("'")[1].split()
    told = tidings(*command[1:], "--reason", "damaged")
    work()

    assert command[:4] == ["tidings", "dead", "add", "orders.ship"]
    assert told.returncode == 0
    assert counts(tidings) == (0, 0, 1)
    shown = json.loads(tidings("dead", "show", command[4], "--json").stdout)
    assert (shown["reason"], shown["event"]) == ("damaged", None)
    assert "damaged" in tidings("dead", "show", command[4]).stdout
    assert "has answered" in tidings("dead", "add", "orders.ship", command[4][:-1] + "1").stderr


def test_a_group_that_is_run_is_deleted_by_force_only(tidings: Tidings, begin: Any) -> None:
    begin("run", "shop:app")
    until(lambda: '"members":["' in tidings("groups", "--json").stdout, "somebody runs the group")

    refused = tidings("groups", "delete", "orders.ship", "--yes")
    forced = tidings("groups", "delete", "orders.ship", "--yes", "--force")

    assert (refused.returncode, "stop its application first" in refused.stderr) == (1, True)
    assert forced.stdout == "orders.ship is forgotten\n"
