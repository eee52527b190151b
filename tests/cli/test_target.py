"""Which application or log a command works on."""

from pathlib import Path

import pytest

from tests.cli.conftest import APP, Tidings


def source_of_app(tidings: Tidings, *words: str, **variables: str) -> str:
    told = tidings("describe", *words, **variables)
    assert told.returncode == 0, told.stderr
    return dict(line.split("\t") for line in told.stdout.splitlines()[:4])["found_as"]


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
    assert "sqlite:///orders.db has no application" in bare.stderr
    assert tidings("describe", "--app", "shop:app", TIDINGS_URL="sqlite:///orders.db").returncode == 0


def test_an_error_lists_what_was_tried(tidings: Tidings, folder: Path) -> None:
    (folder / "shop.py").unlink()

    told = tidings("groups")

    assert told.returncode == 1
    assert told.stderr.count("\n") == 1
    for place in (
        "--app",
        "--url",
        "TIDINGS_APP",
        "TIDINGS_URL",
        "TIDINGS_LOG",
        "TIDINGS_BROKER",
        "pyproject.toml",
        "./*.py",
    ):
        assert place in told.stderr


def test_of_several_applications_one_has_to_be_said(tidings: Tidings, folder: Path) -> None:
    (folder / "other.py").write_text(APP)

    told = tidings("groups")

    assert told.returncode == 1
    assert "there are 2 applications here, other:app, shop:app: say which" in told.stderr
    assert source_of_app(tidings, TIDINGS_APP="other:app") == "other:app"
    assert source_of_app(tidings, TIDINGS_APP="other", TIDINGS_URL="sqlite:///x.db") == "other:app"
    assert source_of_app(tidings, "--app", "shop:app", TIDINGS_APP="other:app") == "shop:app"


@pytest.mark.parametrize("name", ["shop", "shop.py", "./shop.py", "shop.py:app", "shop:"])
def test_an_application_is_named_as_its_file_too(name: str, tidings: Tidings) -> None:
    assert source_of_app(tidings, "--app", name) == "shop:app"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("shop.app", "there is no module 'shop.app' in {folder}: did you mean shop:app?"),
        ("shpo:app", "there is no module 'shpo' in {folder}: did you mean shop:app?"),
        ("services.shop:app", "there is no module 'services' in {folder}: "),
        ("/tmp/shop.py", "go to the folder that holds it"),
        ("../shop.py", "go to the folder that holds it"),
        ("", "'' names no application"),
    ],
)
def test_a_name_that_is_none_is_told_as_it_was_meant(name: str, said: str, tidings: Tidings, folder: Path) -> None:
    told = tidings("describe", "--app", name)

    assert told.returncode == 1
    assert said.format(folder=folder) in told.stderr


def test_an_event_of_the_application_s_own_module_is_known_without_a_handler(tidings: Tidings, folder: Path) -> None:
    event = '\n@event("parcel:sent", version=3, key="order_id")\nclass ParcelSent:\n    order_id: int\n'
    (folder / "shop.py").write_text(APP + event)

    misfit = tidings("publish", "parcel:sent", '{"order_id": "one"}')
    told = tidings("publish", "parcel:sent", '{"order_id": 1}')

    assert "parcel:sent version 3 does not fit its contract" in misfit.stderr
    assert (told.returncode, told.stderr) == (0, "")
    assert '"parcel:sent"' in tidings("describe", "--json").stdout


def test_an_app_that_cannot_be_loaded_says_why(tidings: Tidings, folder: Path) -> None:
    (folder / "broken.py").write_text("import nothing_of_that_name")

    assert "No module named 'nothing_of_that_name'" in tidings("groups", "--app", "broken:app").stderr
    assert "shop has shop:app" in tidings("groups", "--app", "shop:application").stderr


def test_a_log_in_memory_is_refused_because_no_other_process_sees_it(tidings: Tidings) -> None:
    told = tidings("tail", "--url", "memory:")

    assert told.returncode == 1
    assert "lives inside its own process" in told.stderr


def test_what_cannot_be_imported_is_told_with_the_line_that_failed(tidings: Tidings, folder: Path) -> None:
    (folder / "settings.py").write_text("PRICES = {}\nVAT = PRICES['vat']\n")
    (folder / "books.py").write_text(f"import settings\n{APP}")

    told = tidings("groups", "--app", "books:app")

    assert told.returncode == 1
    assert "books could not be imported (KeyError: 'vat', in settings.py, line 2): correct it" in told.stderr


def test_a_file_that_is_no_python_is_told_with_its_one_line(tidings: Tidings, folder: Path) -> None:
    (folder / "settings.py").write_text("PRICES = {}\nVAT = (\n")
    (folder / "books.py").write_text(f"import settings\n{APP}")

    told = tidings("groups", "--app", "books:app")

    assert "'(' was never closed (settings.py, line 2)): correct it" in told.stderr
