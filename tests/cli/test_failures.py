"""What goes wrong is told in a sentence, and in an exit code."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Tidings, until

BROKEN_APP = """
from tidings import App

class Careless(App):
    def catalog(self):
        return 1 / 0

app = Careless("orders", "sqlite:///orders.db")
"""


def test_an_error_of_ours_or_of_the_application_says_how_to_see_more(tidings: Tidings, folder: Path) -> None:
    (folder / "careless.py").write_text(BROKEN_APP)

    told = tidings("describe", "--app", "careless:app")
    before = tidings("--debug", "describe", "--app", "careless:app")
    after = tidings("describe", "--app", "careless:app", "--debug")

    assert told.returncode == before.returncode == after.returncode == 70
    assert told.stderr == ("tidings: ZeroDivisionError: division by zero; run again with --debug for the traceback\n")
    assert "Traceback" in before.stderr
    assert "Traceback" in after.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["grops"], "tidings: No such command 'grops'. Did you mean 'groups'? See 'tidings --help'.\n"),
        (["groups", "puase"], "Did you mean 'pause'? See 'tidings groups --help'.\n"),
        (["dead", "show"], "Missing argument 'event'. See 'tidings dead show --help'.\n"),
        (["tail", "--form", "x"], "(Possible options: --from). See 'tidings tail --help'.\n"),
        (["describe", "shop:app"], "if that is the application, say --app shop:app. See 'tidings describe --help'.\n"),
        (["describe", "shop"], "unexpected extra argument(s) (shop). See 'tidings describe --help'.\n"),
        (["run", "--workers", "0"], "See 'tidings run --help'.\n"),
    ],
)
def test_a_call_that_makes_no_sense_says_what_would(words: list[str], said: str, tidings: Tidings) -> None:
    told = tidings(*words)

    assert told.returncode == 2
    assert told.stderr.lower().endswith(said.lower())
    assert told.stderr.count("\n") == 1


def test_a_question_answered_with_no_changes_nothing(tidings: Tidings) -> None:
    tidings("publish", "a:b", "1")

    told = tidings("groups", "delete", "orders.ship", given="n\n")

    assert told.returncode == 1
    assert told.stderr == "tidings: stopped, and nothing was changed\n"


def test_a_pipe_that_is_closed_early_is_no_failure(tidings: Tidings, folder: Path, environment: dict[str, str]) -> None:
    for _ in range(3):
        tidings("publish", "order:created", '{"order_id": 1, "customer": "ada"}')
    command = f"{shlex.quote(sys.executable)} -m tidings tail | head -n 1"

    told = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)

    assert told.stderr == ""
    assert told.stdout.count("\n") == 1


def test_a_reader_that_has_gone_before_the_first_line_is_no_failure(
    tidings: Tidings, folder: Path, environment: dict[str, str]
) -> None:
    tidings("publish", "order:created", '{"order_id": 1, "customer": "ada"}')
    reading, writing = os.pipe()
    os.close(reading)

    told = subprocess.run(
        [sys.executable, "-m", "tidings", "tail"],
        cwd=folder,
        env=environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writing)

    assert (told.returncode, told.stderr) == (0, "")


def test_an_interrupt_ends_with_130(
    tidings: Tidings, begin: Callable[..., subprocess.Popen[str]], folder: Path
) -> None:
    tidings("publish", "order:created", '{"order_id": 1, "customer": "ada"}')
    process = begin("tail", "-f", "--from", "earliest")
    until(lambda: "order:created" in (folder / "output").read_text(), "it follows")

    process.send_signal(signal.SIGINT)

    assert process.wait(30) == 130
    assert "Traceback" not in (folder / "output").read_text()


def test_the_version_is_told(tidings: Tidings) -> None:
    from tidings import __version__

    assert tidings("--version").stdout == f"tidings {__version__}\n"
