"""How results are told: a table on a terminal, lines of tab-separated fields in a pipe, JSON when asked for.

Colour marks only what somebody should look at, and none is used under NO_COLOR. A table that a narrow terminal would
fold into shreds is told row by row instead.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

__all__ = ["Column", "counted", "is_terminal", "plain", "print_facts", "print_json", "print_rows"]

_NARROWEST = 10  # characters a column may be folded to
_GAP = 2  # between columns
_TONES: dict[str, Callable[[Any], str]] = {  # by the heading, a word of the glossary: what is worth a colour
    "dead": lambda count: "red" if count else "",
    "blocked": lambda count: "yellow" if count else "",
    "retry": lambda count: "yellow" if count else "",
    "state": lambda state: "" if state == "live" else "yellow",
    "severity": lambda severity: {"error": "red", "warning": "yellow"}.get(severity, ""),
}


class Column(NamedTuple):
    """A column's heading, and how it is shown on a terminal."""

    name: str
    is_number: bool = False
    is_whole: bool = False  # never folded: it is there to be copied
    is_shown: bool = True  # on a terminal, which has only so much room; a pipe gets every column


def is_terminal() -> bool:
    """Does a person look at the output?"""
    return sys.stdout.isatty()


def print_rows(columns: Sequence[Column], rows: Sequence[Sequence[Any]], *, nothing: str) -> None:
    """A table, or plain lines; without rows, `nothing` for the person, and no line for the program."""
    if not is_terminal():
        for row in rows:
            print("\t".join(plain(cell) for cell in row))
        return
    if not rows:
        print(nothing)
        return
    from rich.console import Console

    console = Console(highlight=False)
    shown = [index for index, column in enumerate(columns) if column.is_shown]
    chosen = [columns[index] for index in shown]
    cells = [[row[index] for index in shown] for row in rows]
    if _least_width(chosen, cells) <= console.width:
        console.print(_table(chosen, cells))
    else:
        for row in cells:
            console.print(_card(chosen, row))


def print_facts(facts: dict[str, Any]) -> None:
    """Names and what they are, a line each."""
    width = max(map(len, facts)) if is_terminal() else 0
    for name, value in facts.items():
        print(f"{name:<{width}}  {plain(value)}" if width else f"{name}\t{plain(value)}")


def print_json(document: Any) -> None:
    """One document on one line."""
    print(msgspec.json.encode(document).decode())


def plain(cell: Any) -> str:
    """A cell as text on one line."""
    return " ".join(str(cell).split()) if cell is not None else "-"


def counted(number: int, noun: str) -> str:
    """`1 event`, `2 events`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _table(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        side: Literal["right", "left"] = "right" if column.is_number else "left"
        stiff = column.is_number or column.is_whole
        table.add_column(column.name, justify=side, overflow="fold", no_wrap=stiff, min_width=len(column.name))
    for row in rows:
        table.add_row(*[_text(cell, column) for cell, column in zip(row, columns, strict=True)])
    return table


def _card(columns: Sequence[Column], row: Sequence[Any]) -> Any:
    """One row, a line a cell."""
    from rich.table import Table

    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for column, cell in zip(columns, row, strict=True):
        grid.add_row(column.name, _text(cell, column))
    grid.add_row("", "")
    return grid


def _text(cell: Any, column: Column) -> Any:
    from rich.text import Text

    return Text(_shown(cell), _TONES.get(column.name, lambda _: "")(cell))


def _shown(cell: Any) -> str:
    """A cell for people: numbers with their thousands apart."""
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else plain(cell)


def _least_width(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> int:
    """The narrowest terminal on which the table can still be read."""
    width = 0
    for index, column in enumerate(columns):
        longest = max(len(column.name), *(len(_shown(row[index])) for row in rows))
        is_stiff = column.is_number or column.is_whole
        width += longest if is_stiff else min(longest, max(_NARROWEST, len(column.name)))
    return width + (len(columns) - 1) * (_GAP + 1)
