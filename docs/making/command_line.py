"""The page of the command line, made from the commands themselves, so that neither can be wrong about the other."""

from collections.abc import Iterator
from typing import Any

import typer.main

from tidings.cli.commands import cli


def page() -> str:
    """Every command: what it does, what it takes, an example."""
    root = typer.main.get_command(cli)
    lines = ["# Command line", "", *_paragraphs(root.help), ""]
    lines += ["| command | what it does |", "|---|---|"]
    lines += [f"| [`{name}`](#{_anchor(name)}) | {_first(command)} |" for name, command in commands()]
    for name, command in commands():
        lines += ["", f"## {name}", "", *_paragraphs(command.help), "", *_parameters(command), *_example(command)]
    return "\n".join(lines) + "\n"


def commands() -> list[tuple[str, Any]]:
    """Each command by the words that call it."""
    return list(_walk("tidings", typer.main.get_command(cli)))


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", {})
    if not below or getattr(command, "invoke_without_command", False):
        yield name, command
    for word, each in below.items():
        if not each.hidden:
            yield from _walk(f"{name} {word}", each)


def _parameters(command: Any) -> list[str]:
    """What it takes, but for --help."""
    rows = [_row(each) for each in command.params if not getattr(each, "hidden", False) and each.name != "help"]
    return ["| takes | what it is |", "|---|---|", *rows, ""] if rows else []


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        spoken = f"`{parameter.metavar or parameter.name.upper()}`"
    else:
        shown = "" if getattr(parameter, "is_flag", False) else f" {parameter.metavar or parameter.name.upper()}"
        spoken = ", ".join(f"`{option}{shown}`" for option in parameter.opts)
    said = (getattr(parameter, "help", "") or "").replace("|", "\\|")
    default = parameter.default if isinstance(parameter.default, (str, int, float)) else None
    return f"| {spoken} | {said}{f' Default: `{default}`.' if default not in (None, False, '') else ''} |"


def _example(command: Any) -> list[str]:
    examples = [" ".join(each.split()) for each in (command.epilog or "").split("Example:")[1:]]
    return ["```console", *(f"$ {example}" for example in examples), "```", ""] if examples else []


def _paragraphs(text: str | None) -> list[str]:
    return [line.strip() for line in (text or "").replace("\b", "").strip().splitlines()]


def _first(command: Any) -> str:
    first: str = _paragraphs(command.help)[0]
    return first.replace("|", "\\|")


def _anchor(name: str) -> str:
    return name.replace(" ", "-")
