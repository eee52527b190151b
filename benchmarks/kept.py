"""The table that is kept in a file, of which a run renews only what it has measured: a whole takes long.

Below the table a line a question says when and how it was measured. What was measured on another machine, or by
rows that are no more, is not kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.table import HEADINGS, Line, markdown

_MEASURED = "When each question was measured, and what else kept cores busy meanwhile:\n\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question's lines of the table, and how they were measured."""

    lines: Sequence[Line]
    measured: str  # "- services: 2026-11-22 ..."


def report(about: str, found: Iterable[Asked]) -> str:
    """The whole, as it is printed and kept."""
    found = list(found)
    table = markdown([line for each in found for line in each.lines])
    how = "".join(f"{each.measured}\n" for each in found)
    return f"{about}\n\n{table}\n\n{_MEASURED}{how}"


def kept_in(file: Path, about: str, rows: Mapping[str, Sequence[str]]) -> dict[str, Asked]:
    """What the file has of these questions, each given with what its rows ask."""
    text = file.read_text("utf-8") if file.exists() else ""
    if about.partition("\n")[0] not in text:
        return {}
    lines = [_cells(line) for line in text.splitlines() if line.startswith("| ")]
    said = {line[2:].partition(":")[0]: line for line in text.partition(_MEASURED)[2].splitlines()}
    found = {name: _run_of(asks, lines) for name, asks in rows.items() if name in said}
    return {name: Asked(those, said[name]) for name, those in found.items() if those}


def _run_of(asks: Sequence[str], lines: Sequence[Line]) -> Sequence[Line]:
    """The lines that answer these rows, which stand one behind the other."""
    for first, line in enumerate(lines):
        those = lines[first : first + len(asks)]
        if line[0] == asks[0] and [each[0] for each in those] == list(asks):
            return those
    return []


def _cells(line: str) -> Line:
    cells = tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
    return cells if len(cells) == len(HEADINGS) else ("",) * len(HEADINGS)
