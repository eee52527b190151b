"""What is done to a whole log: trimmed, checked, copied, written out and read in."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.cli.conftest import APP, Tidings, names, rows_of


@pytest.fixture
def filled(tidings: Tidings) -> Tidings:
    """A log with three events of debug:seen and one of order:created."""
    ids = {"d-0": "debug:seen", "d-1": "debug:seen", "d-2": "debug:seen", "o-1": "order:created"}
    events = [{"specversion": "1.0", "source": "shop", "id": id, "type": type} for id, type in ids.items()]
    tidings("import", given="\n".join(map(json.dumps, events)))
    return tidings


def test_a_dry_run_tells_what_would_go_and_who_holds_the_rest(filled: Tidings) -> None:
    told = filled("trim", "debug:**", "--size", "1 B", "--dry-run")
    document = json.loads(filled("trim", "debug:**", "--size", "1 B", "--dry-run", "--json").stdout)

    rule, rest = rows_of(told)
    assert rule[:3] == ["debug:**", "size='1 B'", "3"]
    assert (rule[5], rule[7]) == ("3", "-")
    assert (rest[0], rest[2]) == ("everything else", "1")
    assert document["rules"][0]["goes"]["events"] == 3
    assert document["disk"]["file"] > 0
    assert len(names(filled)) == 4


def test_trimming_removes_what_the_rule_says(filled: Tidings) -> None:
    refused = filled("trim", "debug:**", "--size", "1 B", given="n\n")
    assert refused.returncode == 1
    assert "3 events" in refused.stdout + refused.stderr
    assert len(names(filled)) == 4

    done = filled("trim", "debug:**", "--size", "1 B", "--yes", "--shrink")

    assert done.stdout.startswith("3 events trimmed")
    assert names(filled) == ["order:created"]


def test_the_application_s_own_rules_are_used(filled: Tidings, folder: Path) -> None:
    assert "no rule says what may go" in filled("trim", "--yes").stderr
    assert "no limit is given" in filled("trim", "debug:**").stderr
    assert "is not an age" in filled("trim", "--age", "soon").stderr

    rules = 'retain={"debug:**": Retain(size=1)}'
    app = APP.replace("import App,", "import App, Retain,").replace('orders.db")', f'orders.db", {rules})')
    (folder / "shop.py").write_text(app)

    assert json.loads(filled("trim", "--yes", "--json").stdout)["events"] == 3


def test_a_sound_log_is_verified_and_a_damaged_one_is_not(filled: Tidings, folder: Path) -> None:
    sound = filled("verify")
    connection = sqlite3.connect(folder / "orders.db")
    connection.execute("UPDATE tidings_events SET data = X'7b7d' WHERE position = 2")
    connection.commit()
    connection.close()

    damaged = filled("verify")
    document = json.loads(filled("verify", "--json").stdout)

    assert (sound.returncode, sound.stdout) == (0, "4 events, and all is sound\n")
    assert damaged.returncode == 1
    assert damaged.stdout.endswith("-0000000000000002\tits data is not what was written\n")
    assert "open a backup as the log" in damaged.stderr
    assert [finding["what"] for finding in document["findings"]] == ["its data is not what was written"]


def test_a_backup_is_written_checked_and_opened(filled: Tidings, folder: Path) -> None:
    done = filled("backup", "copy.db", "--verify")
    again = filled("backup", "copy.db")

    assert done.returncode == 0
    assert "4 events in it, and all is sound" in done.stdout
    assert again.returncode == 1
    assert "overwrites nothing" in again.stderr
    assert filled("verify", "--backup", "copy.db").returncode == 0
    assert len(names(filled, "--url", "sqlite:///copy.db")) == 4


def test_events_go_out_and_come_in_again(filled: Tidings, folder: Path) -> None:
    out = filled("export", "events.jsonl")
    piped = filled("export", "--types", "debug:*")

    into = filled("import", "events.jsonl", "--url", "sqlite:///copy.db")
    again = filled("import", "--url", "sqlite:///copy.db", "--json", given=(folder / "events.jsonl").read_text())

    assert "4 events written" in out.stderr
    assert [json.loads(line)["id"] for line in piped.stdout.splitlines()] == ["d-0", "d-1", "d-2"]
    assert into.stdout == "4 lines read, 4 events recorded, 0 lines wrong\n"
    assert json.loads(again.stdout) == {"lines": 4, "new": 0, "wrong": 0}
    assert names(filled, "--url", "sqlite:///copy.db") == names(filled)
    assert "is not overwritten" in filled("export", "events.jsonl").stderr


def test_an_export_that_was_cut_short_is_gone_on_with(filled: Tidings, folder: Path) -> None:
    filled("export", "events.jsonl")
    whole = (folder / "events.jsonl").read_bytes()
    for cut in (0, 5, whole.index(b"\n") + 1, len(whole) - 7, len(whole)):
        (folder / "events.jsonl").write_bytes(whole[:cut])

        assert filled("export", "events.jsonl", "--resume").returncode == 0
        assert (folder / "events.jsonl").read_bytes() == whole


def test_wrong_lines_are_named_and_the_exit_code_says_so(filled: Tidings, folder: Path) -> None:
    lines = filled("export").stdout.splitlines()
    lines[1] = "{"

    told = filled("import", "--url", "sqlite:///copy.db", given="\n".join(lines))

    assert told.returncode == 1
    assert told.stdout == "4 lines read, 3 events recorded, 1 line wrong\n"
    assert told.stderr.startswith("line 2: ")
    assert "cannot be read" in filled("import", "nothing.jsonl").stderr
