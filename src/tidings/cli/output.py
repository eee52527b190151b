"""How results are told: a table on a terminal, lines of tab-separated fields in a pipe, JSON when asked for."""

import sys
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec


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
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in filter(lambda column: column.is_shown, columns):
        side: Literal["right", "left"] = "right" if column.is_number else "left"
        table.add_column(column.name, justify=side, overflow="fold", no_wrap=column.is_whole)
    for row in rows:
        cells = [cell for cell, column in zip(row, columns, strict=True) if column.is_shown]
        table.add_row(*[Text(plain(cell)) for cell in cells])
    Console().print(table)


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
