"""The pages of `--help`: a summary, how it is called, its options, examples; the first one lists all commands.

Laid out here and not by rich, which takes longer to import than the page takes to read.
"""

import inspect
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

PANELS = {
    "Begin": ("new", "demo", "doctor"),
    "Run and publish": ("setup", "run", "publish", "timers"),
    "Look": ("describe", "tail", "show", "trace"),
    "Groups and dead letters": ("groups", "dead", "replay"),
    "Look after the log": ("verify", "backup", "trim", "export", "import"),
}
_OTHERS = "More"
_WIDEST = 100
_LONGEST_NAME = 28
Entry = tuple[str, str]


def page(command: Any, context: Any) -> str:
    """The page of one command."""
    parts = [_usage(command, context)]
    parts += [_paragraph(each) for each in _paragraphs(command)]
    if subcommands := getattr(command, "commands", {}):
        parts += _panels(subcommands) if context.parent is None else [_section("Commands", _summaries(subcommands))]
    for title, kind in (("Arguments", "argument"), ("Options", "option")):
        parts += [_section(title, entries)] if (entries := _entries(command, context, kind)) else []
    if examples := _examples(command):
        parts.append("\n".join([_heading("Examples"), *(f"  {each}" for each in examples)]))
    if context.parent is None:
        parts.append(_exit_codes())
    return "\n\n".join(parts)


def summary(command: Any) -> str:
    """The first sentence of a command's description."""
    first = next(iter(_paragraphs(command)), "")
    return first.partition(". ")[0].rstrip(".")


def _usage(command: Any, context: Any) -> str:
    pieces = ["[OPTIONS]"]
    for each in command.params:
        if each.param_type_name == "argument":
            piece = _word(each) if each.required else f"[{_word(each)}]"
            pieces.append(piece if each.nargs == 1 else f"{piece}...")
    if getattr(command, "commands", {}):
        pieces.append("[COMMAND]" if command.invoke_without_command else "COMMAND")
    call = f"Usage: {context.command_path} {' '.join(pieces)}"
    return textwrap.fill(call, _columns(), subsequent_indent=" " * 7, break_on_hyphens=False)


def _panels(commands: dict[str, Any]) -> list[str]:
    """The commands in the order of `PANELS`, and those it does not know below."""
    known = {name for names in PANELS.values() for name in names}
    others = {_OTHERS: tuple(name for name in commands if name not in known)}
    rows = {
        title: _summaries({name: commands[name] for name in names if name in commands})
        for title, names in (PANELS | others).items()
    }
    width = _width_of(entry for entries in rows.values() for entry in entries)
    return [_section(title, entries, width) for title, entries in rows.items() if entries]


def _summaries(commands: dict[str, Any]) -> list[Entry]:
    return [(name, summary(each)) for name, each in commands.items() if not each.hidden]


def _entries(command: Any, context: Any, kind: str) -> list[Entry]:
    found = [each for each in command.get_params(context) if each.param_type_name == kind]
    return [(_term(each), _described(each)) for each in found if not getattr(each, "hidden", False)]


def _described(parameter: Any) -> str:
    """What a parameter is for, its least value and what it is unless said."""
    told, default = [getattr(parameter, "help", None) or ""], parameter.default
    least = getattr(parameter, "min", getattr(getattr(parameter, "type", None), "min", None))
    if least is not None:
        told.append(f"At least {least}.")
    if isinstance(default, str | int | float) and not isinstance(default, bool) and default != "":
        told.append(f"[default: {default}]")
    if parameter.required and parameter.param_type_name == "option":
        told.append("[required]")
    return " ".join(told).strip()


def _term(parameter: Any) -> str:
    """How a parameter is written in a call."""
    if parameter.param_type_name == "argument":
        return _word(parameter)
    value = "" if parameter.is_flag else f" {_word(parameter)}"
    return ", ".join(sorted(parameter.opts, key=len)) + value


def _word(parameter: Any) -> str:
    """What stands for a parameter's value, such as GROUP."""
    return str(parameter.metavar or parameter.name.upper()).strip("[].")


def _examples(command: Any) -> list[str]:
    """What the epilog gives as `Example: ...`, a line each; a sentence without that word is shown as it is."""
    return [each.strip() for each in (command.epilog or "").split("Example:") if each.strip()]


def _exit_codes() -> str:
    from tidings.cli.failure import EXIT_CODES

    return _section("Exit codes", [(str(code), meaning) for code, meaning in EXIT_CODES.items()])


def _section(title: str, entries: Sequence[Entry], width: int | None = None) -> str:
    width = _width_of(entries) if width is None else width
    lines = [_heading(title)]
    for name, text in entries:
        lines += _entry(name, text, width)
    return "\n".join(lines)


def _entry(name: str, text: str, width: int) -> list[str]:
    """A name and what it is, the text in a column of its own; below the name when that is too long."""
    indent = " " * (width + 4)
    wrapped = textwrap.wrap(text, _columns(), initial_indent=indent, subsequent_indent=indent) or [""]
    if len(name) > width:
        return [f"  {_styled(name, _NAME)}", *wrapped]
    return [f"  {_styled(name, _NAME)}{' ' * (width - len(name))}  {wrapped[0].lstrip()}".rstrip(), *wrapped[1:]]


def _width_of(entries: Iterable[Entry]) -> int:
    most = min(_LONGEST_NAME, _columns() // 3)
    return max((len(name) for name, _ in entries if len(name) <= most), default=most)


def _paragraphs(command: Any) -> list[str]:
    text = inspect.cleandoc(command.help or "").partition("\f")[0]
    return [" ".join(each.split()) for each in text.split("\n\n") if each.strip()]


def _paragraph(text: str) -> str:
    return textwrap.fill(text, _columns())


def _columns() -> int:
    return max(min(shutil.get_terminal_size().columns, _WIDEST), 40)


_HEADING, _NAME = "1", "36"  # bold; cyan


def _heading(title: str) -> str:
    return _styled(title, _HEADING)


def _styled(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if _is_coloured() else text


def _is_coloured() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
