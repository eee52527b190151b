"""Which application or log a command works on."""

from pathlib import Path

from tests.cli.conftest import APP, Tidings


def source_of_app(tidings: Tidings, *words: str, **variables: str) -> str:
    told = tidings("describe", *words, **variables)
    assert told.returncode == 0, told.stderr
    return dict(line.split("\t") for line in told.stdout.splitlines()[:4])["found as"]


def test_the_one_app_in_the_folder_is_found_without_running_other_files(tidings: Tidings, folder: Path) -> None:
    (folder / "danger.py").write_text("raise SystemExit('imported')\n")
    (folder / "broken.py").write_text("def (")

    assert source_of_app(tidings) == "shop:app"


def test_the_places_are_asked_in_order(tidings: Tidings, folder: Path) -> None:
    (folder / "other.py").write_text(APP)
    (folder / "pyproject.toml").write_text('[tool.tidings]\napp = "other:app"\n')
    tidings("publish", "a:b", "1", "--app", "shop:app")

    assert source_of_app(tidings) == "other:app"
    assert source_of_app(tidings, "--app", "shop:app") == "shop:app"
    assert source_of_app(tidings, "--app", "shop") == "shop:app"
    bare = tidings("describe", TIDINGS_URL="sqlite:///orders.db")
    assert "sqlite:///orders.db is a log without an application" in bare.stderr
    assert tidings("describe", "--app", "shop:app", TIDINGS_URL="sqlite:///orders.db").returncode == 0


def test_an_error_lists_what_was_tried(tidings: Tidings, folder: Path) -> None:
    (folder / "other.py").write_text(APP)

    told = tidings("groups")

    assert told.returncode == 1
    assert told.stderr.count("\n") == 1
    for place in ("--app", "--url", "TIDINGS_URL", "TIDINGS_LOG", "TIDINGS_BROKER", "pyproject.toml", "./*.py"):
        assert place in told.stderr
    assert "other:app, shop:app" in told.stderr


def test_an_app_that_cannot_be_loaded_says_why(tidings: Tidings, folder: Path) -> None:
    (folder / "broken.py").write_text("import nothing_of_that_name")

    assert "No module named 'nothing_of_that_name'" in tidings("groups", "--app", "broken:app").stderr
    assert "shop has shop:app" in tidings("groups", "--app", "shop:application").stderr


def test_a_log_in_memory_is_refused_because_no_other_process_sees_it(tidings: Tidings) -> None:
    told = tidings("tail", "--url", "memory:")

    assert told.returncode == 1
    assert "lives inside its own process" in told.stderr
