"""What the shell completes, asked of a real bash with the script that `--show-completion` prints."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Tidings

Complete = Callable[[str], list[str]]
ASK = r"""
source ./script
COMP_LINE={line}
COMP_POINT=${{#COMP_LINE}}
_tidings_completion ./bin/tidings
printf '%s\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def complete(folder: Path, environment: dict[str, str], tidings: Tidings) -> Complete:
    """The words that bash offers for a line typed so far."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "tidings"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tidings "$@"\n')
    program.chmod(0o755)
    (folder / "script").write_text(tidings("--show-completion", "bash").stdout)
    bash = shutil.which("bash") or pytest.skip("there is no bash")

    def ask(line: str) -> list[str]:
        script = ASK.format(line=shlex.quote(line))
        told = subprocess.run(
            [bash, "--norc", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
        )
        assert told.stderr == ""
        return told.stdout.split()

    return ask


def test_commands_and_options_are_completed(complete: Complete) -> None:
    assert complete("tidings gr") == ["groups"]
    assert complete("tidings groups pa") == ["pause"]
    assert complete("tidings publish --su") == ["--subject"]


def test_groups_are_completed_from_the_application_before_there_is_a_log(complete: Complete) -> None:
    assert complete("tidings groups pause ") == ["orders.ship"]
    assert complete("tidings dead list --group or") == ["orders.ship"]


def test_events_are_completed_from_contracts_and_from_the_log(complete: Complete, tidings: Tidings) -> None:
    tidings("publish", "customer:moved", "{}")

    assert complete("tidings tail ") == ["customer:moved", "order:created"]
    assert complete("tidings publish customer:m") == ["moved"]  # bash has taken the word apart at the colon


def test_an_application_that_cannot_be_loaded_completes_nothing(complete: Complete, folder: Path) -> None:
    (folder / "shop.py").write_text("from tidings import App\napp = App('orders')\nraise OSError\n")

    assert complete("tidings groups pause ") == []
    assert complete("tidings gr") == ["groups"]


@pytest.mark.parametrize(
    ("shell", "file"), [("bash", ".bashrc"), ("zsh", ".zshrc"), ("fish", ".config/fish/completions/tidings.fish")]
)
def test_it_is_installed_for_the_user_once(shell: str, file: str, tidings: Tidings, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()

    first = tidings("--install-completion", shell, HOME=str(home))
    once = (home / file).read_text()
    tidings("--install-completion", shell, HOME=str(home))

    assert first.returncode == 0
    assert once
    assert (home / file).read_text() == once


def test_a_shell_that_is_not_known_is_refused(tidings: Tidings) -> None:
    told = tidings("--show-completion", "tcsh")

    assert told.returncode == 1
    assert "completion is for bash, zsh, fish" in told.stderr
