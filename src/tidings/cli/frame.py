"""What frames all commands alike: the pages of `--help`, and what the shell completes.

It is put around the finished tree of commands, so that a command says what it does and nothing about its frame.
"""

import os
from functools import partial
from typing import Any

import typer.main

from tidings.cli.completion import complete
from tidings.cli.help import page
from tidings.cli.shells import VARIABLE


def framed(cli: typer.Typer) -> Any:  # a command of typer, which has no public name for its type
    """The tree of commands, every page of help and every argument in the common frame."""
    if VARIABLE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]  # typer exports it nowhere

        completion_init()
    root = typer.main.get_command(cli)
    _frame(root)
    return root


def _frame(command: Any) -> None:
    command.get_help = partial(page, command)
    for parameter in command.params:
        complete(parameter)
    for each in getattr(command, "commands", {}).values():
        _frame(each)
