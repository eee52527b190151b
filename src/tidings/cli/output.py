"""How results are told: a table on a terminal, lines of tab-separated fields in a pipe, JSON when asked for.

Colour marks only what somebody should look at, and none is used under NO_COLOR. On a terminal a row is a line, and a
time is the clock's here; a table that cannot be made to fit is told row by row. A pipe gets everything, below a line
with the columns' names, and times in UTC.
"""

import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from tidings.cli.fitting import GAP, Column, fitted, shortened
from tidings.clock import SystemClock

__all__ = [
    "Column",
    "counted",
    "instant",
    "is_terminal",
    "plain",
    "print_facts",
    "print_header",
    "print_json",
    "print_rows",
    "print_text",
]

_TONES: dict[str, Callable[[Any], str]] = {  # by the heading, a word of the glossary: what is worth a colour
    "dead": lambda count: "red" if count else "",
    "blocked": lambda count: "yellow" if count else "",
    "retry": lambda count: "yellow" if count else "",
    "state": lambda state: "" if state == "live" else "yellow",
    "severity": lambda severity: {"error": "red", "warning": "yellow"}.get(severity, ""),
}


def is_terminal() -> bool:
    """Does a person look at the output?"""
    return sys.stdout.isatty()


def print_rows(
    columns: Sequence[Column], rows: Sequence[Sequence[Any]], *, nothing: str = "", header: bool = True
) -> None:
    """A table, or plain lines below their `header`; without rows, `nothing` for the person, no row for the program."""
    if not is_terminal():
        if header:
            print_header(columns)
        for row in rows:
            print("\t".join(map(plain, row)))
        return
    if not rows:
        print(nothing)
        return
    from rich.console import Console

    console = Console(highlight=False)
    widths = fitted(columns, [[_shown(cell) for cell in row] for row in rows], console.width)
    if widths is None:
        for row in rows:
            console.print(_card(columns, row))
    else:
        console.print(_table(columns, rows, widths))


def print_header(columns: Sequence[Column]) -> None:
    """The first line of what a pipe gets: the names of the columns."""
    print("\t".join(column.name.replace(" ", "_") for column in columns), flush=True)


def print_facts(facts: dict[str, Any]) -> None:
    """Names and what they are, a line each."""
    if not is_terminal():
        for name, value in facts.items():
            print(f"{name.replace(' ', '_')}\t{plain(value)}")
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        shown = value.astimezone().isoformat(" ", "milliseconds") if isinstance(value, datetime) else _shown(value)
        print(f"{name:<{width}}  {shown}")


def print_text(text: str, indent: str = "") -> None:
    """A sentence, on as many lines as the terminal takes; in a pipe on one."""
    if is_terminal():
        width = shutil.get_terminal_size().columns
        text = textwrap.fill(text, width, subsequent_indent=f"{indent}  ", initial_indent=indent)
        print(text)
    else:
        print(f"{indent}{text}")


def print_json(document: Any) -> None:
    """One document on one line."""
    print(msgspec.json.encode(document).decode())


def plain(cell: Any) -> str:
    """A cell as text on one line, for programs."""
    if isinstance(cell, datetime):
        return instant(cell)
    return " ".join(str(cell).split()) if cell is not None else "-"


def instant(time: datetime) -> str:
    """A time for programs: RFC 3339, in UTC."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def counted(number: int, noun: str) -> str:
    """`1 event`, `2 events`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _table(columns: Sequence[Column], rows: Sequence[Sequence[Any]], widths: dict[int, int]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for number, width in widths.items():
        column = columns[number]
        table.add_column(column.name, justify="right" if column.is_number else "left", no_wrap=True, width=width)
    for row in rows:
        table.add_row(*[_text(row[number], columns[number], width) for number, width in widths.items()])
    return table


def _card(columns: Sequence[Column], row: Sequence[Any]) -> Any:
    """One row, a line a cell."""
    from rich.table import Table

    grid = Table.grid(padding=(0, GAP, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for column, cell in zip(columns, row, strict=True):
        if column.is_shown:
            grid.add_row(column.name, _text(cell, column))
    grid.add_row("", "")
    return grid


def _text(cell: Any, column: Column, width: int | None = None) -> Any:
    from rich.text import Text

    shown = _shown(cell)
    return Text(shown if width is None else shortened(shown, width), _TONES.get(column.name, lambda _: "")(cell))


def _shown(cell: Any) -> str:
    """A cell for people: numbers with their thousands apart, times as the clock here says them."""
    if isinstance(cell, datetime):
        here = cell.astimezone()
        is_today = here.date() == datetime.fromtimestamp(SystemClock().now(), UTC).astimezone().date()
        return here.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M")
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else plain(cell)
