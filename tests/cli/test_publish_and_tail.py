"""Events in by hand, and out to look at."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

from tests.cli.conftest import Tidings, names, rows_of, until

ORDER = '{"order_id": 1, "customer": "ada", "total": "39.90"}'


def test_publishing_tells_id_position_and_who_will_hear_it(tidings: Tidings) -> None:
    heard = tidings("publish", "order:created", ORDER)
    unheard = tidings("publish", "customer:moved", "{}", "--id", "m-1")

    assert re.fullmatch(r"[0-9a-f-]{36}\t[0-9a-f]{12}-[0-9a-f]{16}\torders.ship\n", heard.stdout)
    assert re.fullmatch(r"m-1\t[0-9a-f]{12}-[0-9a-f]{16}\tnone yet\n", unheard.stdout)


def test_the_same_id_is_recorded_once(tidings: Tidings) -> None:
    first = tidings("publish", "a:b", "1", "--id", "x", "--json")
    again = tidings("publish", "a:b", "1", "--id", "x", "--json")

    assert first.stdout == again.stdout
    assert json.loads(first.stdout)["groups"] == []


def test_data_that_does_not_fit_its_contract_is_not_published(tidings: Tidings) -> None:
    misfit = tidings("publish", "order:created", '{"order_id": "one", "customer": "ada"}')
    no_json = tidings("publish", "order:created", "{order_id: 1}")

    assert misfit.returncode == no_json.returncode == 1
    assert "order:created version 2 does not fit its contract at $.order_id" in misfit.stderr
    assert "is no JSON" in no_json.stderr
    assert rows_of(tidings("tail")) == []


def test_data_comes_from_the_input_too_with_key_subject_and_headers(tidings: Tidings) -> None:
    tidings("publish", "a:b", "-", "--key", "k", "--subject", "s", "--header", "tenant=t1", given='{"n": 1.10}')

    event = json.loads(tidings("tail", "--json").stdout)

    assert (event["partitionkey"], event["subject"], event["tenant"]) == ("k", "s", "t1")
    assert '"n":1.10' in tidings("tail", "--json").stdout.replace(" ", "")


def test_the_contract_gives_version_and_key(tidings: Tidings) -> None:
    tidings("publish", "order:created", ORDER)
    tidings("publish", "order:created.v2", ORDER)

    events = [json.loads(line) for line in tidings("tail", "--json").stdout.splitlines()]

    assert [(event["eventversion"], event["partitionkey"]) for event in events] == [(2, "ada"), (2, "ada")]


def test_a_bare_log_is_enough(tidings: Tidings) -> None:
    tidings("publish", "order:created", ORDER)

    told = tidings("publish", "order:created", "[]", "--url", "sqlite:///orders.db")

    assert told.returncode == 0
    assert len(rows_of(tidings("tail", "--url", "sqlite:///orders.db"))) == 2


def test_tail_chooses_by_pattern_place_and_number(tidings: Tidings) -> None:
    for name in ("order:a", "stock:b", "order:c"):
        tidings("publish", name, "1")
    rows = rows_of(tidings("tail"))
    time, position = rows[1][:2]

    assert [row[2] for row in rows] == ["order:a", "stock:b", "order:c"]
    assert names(tidings, "order:*") == ["order:a", "order:c"]
    assert names(tidings, "order:a", "stock:b") == ["order:a", "stock:b"]
    assert names(tidings, "--limit", "2") == ["order:a", "stock:b"]
    assert names(tidings, "--from", position) == ["order:c"]
    assert names(tidings, "--from", time) == ["stock:b", "order:c"]
    assert names(tidings, "--from", "latest") == []
    assert "is no place in a log" in tidings("tail", "--from", "yesterday").stderr


def test_following_shows_what_comes(tidings: Tidings, begin: Callable[..., Popen[str]], folder: Path) -> None:
    tidings("publish", "a:old", "1")
    process = begin("tail", "-f", "--from", "earliest", "--limit", "2")
    until(lambda: "a:old" in (folder / "output").read_text(), "the old event is shown")

    tidings("publish", "a:new", "1")

    assert process.wait(20) == 0
    assert "a:new" in (folder / "output").read_text()
