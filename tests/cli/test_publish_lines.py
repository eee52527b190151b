"""`tidings publish --stdin`: many events in by a pipe, and every bad line told."""

import json
from pathlib import Path

from tests.cli.conftest import Tidings, rows_of


def line(number: int) -> str:
    data = {"order_id": number, "customer": "ada"}
    return json.dumps(
        {"specversion": "1.0", "id": f"e{number}", "source": "till", "type": "order:created", "data": data}
    )


def test_each_line_is_an_event_and_the_same_again_is_recorded_once(tidings: Tidings) -> None:
    given = "".join(f"{line(number)}\n" for number in range(1200))

    first = tidings("publish", "--stdin", given=given)
    again = tidings("publish", "--stdin", "--json", given=given)

    assert (first.returncode, first.stdout, first.stderr) == (0, "published 1,200 events\n", "")
    assert json.loads(again.stdout) == {"published": 1200, "rejected": 0}
    assert len(rows_of(tidings("tail"))) == 1200


def test_with_a_name_each_line_is_data_of_its_contract(tidings: Tidings) -> None:
    told = tidings("publish", "order:created", "--stdin", given='{"order_id": 1, "customer": "ada"}\n')

    event = json.loads(tidings("tail", "--json").stdout)
    assert told.returncode == 0
    assert (event["eventversion"], event["partitionkey"]) == (2, "ada")


def test_bad_lines_are_told_kept_and_make_it_fail_at_the_end(tidings: Tidings, folder: Path) -> None:
    told = tidings("publish", "--stdin", "--rejects", "bad.ndjson", given=f"{line(1)}\n{{\n{line(2)}\n")

    assert told.returncode == 1
    assert told.stdout == "published 2 events\n"
    assert "line 2 was not published" in told.stderr
    assert "1 line not published, written to bad.ndjson" in told.stderr
    assert json.loads((folder / "bad.ndjson").read_text())["text"] == "{"


def test_many_bad_lines_are_counted_and_the_first_of_them_told(tidings: Tidings) -> None:
    told = tidings("publish", "a:b", "--stdin", given="{\n" * 50)

    assert told.stderr.count("was not published") == 20
    assert "50 lines not published" in told.stderr


def test_strict_ends_at_the_first_bad_line(tidings: Tidings) -> None:
    told = tidings("publish", "--stdin", "--strict", given=f"{line(1)}\n{{\n{line(2)}\n")

    assert told.returncode == 1
    assert len(rows_of(tidings("tail"))) == 1


def test_a_bare_log_is_enough(tidings: Tidings) -> None:
    tidings("publish", "a:b", "1")

    told = tidings("publish", "--stdin", "--url", "sqlite:///orders.db", given=line(1))

    assert (told.returncode, told.stdout) == (0, "published 1 event\n")
    assert len(rows_of(tidings("tail"))) == 2


def test_calls_that_make_no_sense_exit_with_2(tidings: Tidings) -> None:
    assert tidings("publish").returncode == 2
    assert tidings("publish", "a:b", "1", "--rejects", "bad").returncode == 2
    assert tidings("publish", "--stdin", "--delay", "5m").returncode == 2
    assert tidings("publish", "a:b", "1", "--stdin").returncode == 2
    assert tidings("publish", "--stdin", "--key", "k").returncode == 2
