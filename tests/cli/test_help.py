"""Calls that make no sense, help, and what goes wrong before anything begins."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from tests.cli.conftest import SOURCE, Tidings
from tidings.cli.commands import cli


def names(group: Any, before: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command there is, as it is typed; a group too, when it does something alone."""
    for name, command in group.commands.items():
        if not getattr(command, "commands", {}) or command.invoke_without_command:
            yield " ".join((*before, name))
        yield from names(command, (*before, name)) if getattr(command, "commands", {}) else ()


COMMANDS = sorted(names(typer.main.get_command(cli)))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(command: str, tidings: Tidings) -> None:
    told = tidings(*command.split(), "--help")

    assert told.returncode == 0
    assert f"\nExamples\n  tidings {command}" in told.stdout


def test_commands_are_listed_without_importing_what_they_need() -> None:
    code = f"""
import sys
sys.path.insert(0, {str(SOURCE)!r})
import tidings.cli.commands
print(*[name for name in ("asyncio", "watchfiles", "sqlite3", "tidings.demos.shop") if name in sys.modules])
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert not {"watchfiles", "sqlite3", "tidings.demos.shop"} & set(told.stdout.split())


def test_without_the_extra_one_line_says_how_to_install_it() -> None:
    code = f"""
import sys
sys.path.insert(0, {str(SOURCE)!r})
sys.modules["typer"] = None
from tidings.cli import main
main(["groups"])
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert told.returncode == 1
    assert told.stderr == "tidings: the command line needs the 'cli' extra: pip install 'tidings[cli]'\n"


def test_a_wrong_call_exits_with_2(tidings: Tidings) -> None:
    assert tidings("publish", "--nonsense").returncode == 2
    assert tidings("nonsense").returncode == 2


def test_a_failure_is_one_sentence_and_a_traceback_only_with_debug(tidings: Tidings) -> None:
    plain = tidings("groups", "--url", "sqlite:///nowhere.db")
    debug = tidings("groups", "--url", "sqlite:///nowhere.db", "--debug")

    assert plain.returncode == 1
    assert plain.stderr.count("\n") == 1
    assert plain.stderr.startswith("tidings: no such log: sqlite:///nowhere.db")
    assert "Traceback" in debug.stderr
