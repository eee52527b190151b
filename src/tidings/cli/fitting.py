"""How a table is made to fit a terminal, a line a row: which columns give way, and how wide the others are.

What may be copied and numbers keep their width. Text is shortened, the longest first; where that is not enough, columns
go that say of themselves how soon they may.
"""

from collections.abc import Sequence
from typing import NamedTuple

GAP = 2  # between columns
_NOTHING = ("0", "-", "", "live")  # a column with no more than this in any row goes before others
_NARROWEST = 12  # characters, once nothing more can go


class Column(NamedTuple):
    """A column's heading, and how it is shown on a terminal."""

    name: str
    is_number: bool = False
    is_whole: bool = False  # never shortened: it is there to be copied
    is_shown: bool = True  # on a terminal, which has only so much room; a pipe gets every column
    goes: int = 0  # where the room does not suffice for all: 1 goes first; 0 stays
    least: int = 12  # characters to which its text is shortened before columns go

    @property
    def is_stiff(self) -> bool:
        """Would it be wrong when shortened?"""
        return self.is_number or self.is_whole


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> dict[int, int] | None:
    """The columns to show, by number, and how wide each is; None: the terminal is too narrow for a table."""
    wanted = {
        number: max([len(column.name), *(len(row[number]) for row in rows)])
        for number, column in enumerate(columns)
        if column.is_shown
    }
    silent = {number for number in wanted if all(row[number] in _NOTHING for row in rows)}
    leaving = [number for number in wanted if columns[number].goes]
    leaving.sort(key=lambda number: (number not in silent, columns[number].goes))
    for gone in leaving:
        if _total(_least(columns, wanted)) <= width:
            break
        del wanted[gone]
    least = _least(columns, wanted)
    if _total(least) > width:
        least = {number: min(each, max(_NARROWEST, len(columns[number].name))) for number, each in least.items()}
        least |= {number: wanted[number] for number in least if columns[number].is_stiff}
    return _shortened(wanted, least, width) if _total(least) <= width else None


def shortened(text: str, width: int) -> str:
    """The text, at most so wide; what is left out shows."""
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"


def _least(columns: Sequence[Column], wanted: dict[int, int]) -> dict[int, int]:
    """The widths below which columns had better go."""
    return {
        number: wide if columns[number].is_stiff else min(wide, max(columns[number].least, len(columns[number].name)))
        for number, wide in wanted.items()
    }


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)


def _shortened(wanted: dict[int, int], least: dict[int, int], width: int) -> dict[int, int]:
    """Take from the widest until all fit."""
    widths = dict(wanted)
    while (excess := _total(widths) - width) > 0:
        widest, *others = sorted(
            (each for each in widths if widths[each] > least[each]), key=lambda each: -widths[each]
        )
        floor = max([least[widest], *(widths[each] for each in others[:1])])
        widths[widest] = max(min(floor, widths[widest] - 1), widths[widest] - excess)
    return widths
