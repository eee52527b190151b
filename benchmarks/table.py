"""The table that a run ends in, and the lines around it: on what machine, when, and how it was asked for."""

import os
import platform
import sqlite3
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.harness import Answer, Figure, Question, Row, Unit, disk
from benchmarks.orders import SEED

Line = tuple[str, ...]
HEADINGS: Line = ("question", "tidings (median, min–max)", "peer or limit (median)", "ratio", "goal", "holds")
_NOISE = 0.35  # cores


def lines_of(question: Question, answer: Answer) -> list[Line]:
    """A question's lines of the table."""
    return [_line(row, answer) for row in question.rows]


def markdown(lines: Sequence[Line]) -> str:
    """The table, aligned for people who read it as text."""
    widths = [max(map(len, column)) for column in zip(HEADINGS, *lines, strict=True)]
    rule = tuple("-" * width for width in widths)
    return "\n".join(_padded(line, widths) for line in (HEADINGS, rule, *lines))


def preamble(packages: Sequence[str]) -> str:
    """Where the table came about, and of what."""
    peers = ", ".join(f"{name} {version(name)}" for name in packages)
    return "\n".join(
        [
            f"- Machine: {os.cpu_count()} × {_processor()}, {platform.platform()}, files in {disk()}",
            f"- Versions: Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {peers}",
            "- Method: the contenders of a question in turn, round by round, each in a process of its own;"
            f" synchronous=FULL; seed of the orders: {SEED}",
            f"- Flush: {_flush() * 1e6:.0f} µs for 4 KiB in place; where it is long, it hides what a library costs",
        ]
    )


def measured(name: str, size: int, rounds: int, foreign: float) -> str:
    """How a question came to its lines: when, how large, and what else the machine did."""
    noise = f"; noisy: other programs and the kernel used {foreign:.2f} cores" if foreign > _NOISE else ""
    return f"- {name}: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {_plural(rounds, 'round')} of {size:,}{noise}"


def _padded(line: Line, widths: Sequence[int]) -> str:
    cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
    return f"| {' | '.join(cells)} |"


def _line(row: Row, answer: Answer) -> Line:
    figure = answer.figure(row.of, row.figure, row.quantile)
    peer = _peer(row, answer)
    ratio = None if peer is None else figure.value / peer.value
    measured = figure.value if ratio is None else ratio
    return (
        row.asks,
        f"{_shown(figure.value, row.unit)} ({_plain(figure.least, row.unit)}–{_plain(figure.most, row.unit)})",
        "" if peer is None else f"{row.against_figure or row.against}: {_shown(peer.value, row.unit)}",
        "" if ratio is None else f"{ratio:.2f}",
        _goal(row),
        _holds(row, measured),
    )


def _peer(row: Row, answer: Answer) -> Figure | None:
    if row.against is None:
        return None
    return answer.figure(row.against, row.against_figure or row.figure, row.quantile)


def _goal(row: Row) -> str:
    unit: Unit | None = None if row.against else row.unit
    if row.at_least is not None:
        return f"≥ {_shown(row.at_least, unit)}"
    return "" if row.at_most is None else f"≤ {_shown(row.at_most, unit)}"


def _holds(row: Row, measured: float) -> str:
    if row.at_least is None and row.at_most is None:
        return ""
    is_enough = row.at_least is None or measured >= row.at_least
    is_little = row.at_most is None or measured <= row.at_most
    return "yes" if is_enough and is_little else "no"


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _shown(value: float, unit: Unit | None) -> str:
    return _plain(value, unit) if unit is None else f"{_plain(value, unit)} {unit}"


def _plain(value: float, unit: Unit | None) -> str:
    """Three digits that count, and all of a large rate's thousands."""
    return f"{value:,.0f}" if unit == "/s" and value >= 100 else f"{value:.3g}"


def _flush() -> float:
    """Seconds until 4 KiB written over others are on the disk."""
    with tempfile.NamedTemporaryFile(dir=disk()) as file:
        taken = []
        for _ in range(200):
            began = perf_counter()
            os.pwrite(file.fileno(), bytes(4096), 0)
            os.fsync(file.fileno())
            taken.append(perf_counter() - began)
    return median(taken)


def _processor() -> str:
    try:
        described = Path("/proc/cpuinfo").read_text().partition("model name")[2].partition("\n")[0]
    except OSError:
        described = ""
    return described.lstrip("\t :") or platform.processor() or platform.machine()
