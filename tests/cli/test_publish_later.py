"""What `tidings publish` says of a name nobody knows, and events by hand for later."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.conftest import APP, Tidings, rows_of

ORDER = '{"order_id": 1, "customer": "ada"}'


def test_a_misspelt_name_is_recorded_and_the_right_one_offered(tidings: Tidings) -> None:
    told = tidings("publish", "order:craeted", ORDER)

    assert told.returncode == 0
    assert told.stderr == "tidings: nobody hears 'order:craeted'; did you mean order:created?\n"
    assert len(rows_of(tidings("tail"))) == 1


def test_a_strict_call_refuses_it(tidings: Tidings) -> None:
    tidings("publish", "order:created", ORDER)

    told = tidings("publish", "order:craeted", ORDER, "--strict")

    assert told.returncode == 1
    assert "did you mean order:created? It was not published." in told.stderr
    assert len(rows_of(tidings("tail"))) == 1
    assert tidings("publish", "order:created.v2", ORDER, "--strict").returncode == 0


def test_a_name_like_none_is_told_what_there_is(tidings: Tidings) -> None:
    assert tidings("publish", "a:b", "1").stderr == (
        "tidings: nobody hears 'a:b'; the events of orders are order:created\n"
    )


def test_a_name_that_a_pattern_hears_is_still_not_known(tidings: Tidings, folder: object) -> None:
    audit = '\n@app.on("order:*")\nasync def audit(order) -> None: ...\n'
    note = '\n@app.on("note:made")\nasync def note(it) -> None: ...\n'
    with open(f"{folder}/shop.py", "w") as file:
        file.write(APP + audit + note)

    misspelt = tidings("publish", "order:craeted", ORDER)

    assert misspelt.stderr == "tidings: orders has no event 'order:craeted'; did you mean order:created?\n"
    assert tidings("publish", "note:made", "1").stderr == ""


def test_a_bare_log_and_an_application_without_contracts_know_no_names(tidings: Tidings, folder: object) -> None:
    with open(f"{folder}/shop.py", "w") as file:
        file.write(
            'from tidings import App\napp = App("orders", "sqlite:///orders.db")\n'
            '@app.on("order:created")\nasync def ship(order: dict) -> None: ...\n'
        )

    assert tidings("publish", "a:b", "1").stderr == ""
    assert "did you mean order:created?" in tidings("publish", "order:craeted", "1").stderr
    assert tidings("publish", "order:craeted", "1", "--url", "sqlite:///orders.db").stderr == ""


@pytest.mark.parametrize("words", [["--delay", "1h30m"], ["--delay", "1h30m", "--url", "sqlite:///orders.db"]])
def test_an_event_is_published_later(words: list[str], tidings: Tidings) -> None:
    tidings("publish", "order:created", ORDER)
    began = datetime.now(UTC)

    told = json.loads(tidings("publish", "order:created", ORDER, "--json", *words).stdout)

    due = datetime.fromisoformat(told["due"])
    assert timedelta(hours=1.5) <= due - began + timedelta(seconds=1) < timedelta(hours=1.6)
    assert told["position"] is None
    assert told["due"].endswith("Z")
    timer = json.loads(tidings("timers", "--json").stdout)
    assert (timer["id"], timer["due"]) == (told["id"], told["due"])
    assert len(rows_of(tidings("tail"))) == 1


def test_an_event_is_published_at_a_time(tidings: Tidings) -> None:
    told = tidings("publish", "order:created", ORDER, "--at", "2999-01-31T12:00+01:00")

    assert told.stdout.split("\t")[1] == "2999-01-31T11:00:00.000Z"
    assert tidings("publish", "order:created", ORDER, "--at", "2999-01-31T12:00", TZ="UTC").returncode == 0


@pytest.mark.parametrize(
    "words", [["--delay", "soon"], ["--at", "soon"], ["--delay", "5m", "--at", "2999-01-31"], ["--delay", ""]]
)
def test_a_time_that_is_none_is_refused(words: list[str], tidings: Tidings) -> None:
    assert tidings("publish", "order:created", ORDER, *words).returncode == 2
