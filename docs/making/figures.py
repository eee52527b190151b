"""The measured figures: `{{measured: an idle consumer}}` on a page becomes what benchmarks/results.md says of it."""

import re
from pathlib import Path

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results.md"
ASKED = re.compile(r"\{\{measured: ([^{}]+)\}\}")
_SPREAD = re.compile(r" \([^)]*–[^)]*\)")


def figures() -> dict[str, str]:
    """The median of each question; a line that begins "the same" is named with the question before it."""
    found: dict[str, str] = {}
    last = ""
    for line in RESULTS.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| ") or len(cells) < 6 or cells[0] == "question":
            continue
        name = cells[0]
        if name.startswith(("the same", "…")):
            name = f"{last} / {name}"
        else:
            last = name
        found.setdefault(name, _SPREAD.sub("", cells[1]))
    return found


def filled(text: str) -> str:
    """The text with its figures.

    Raises:
        KeyError: nothing of that name was measured.
    """
    known = figures()
    return ASKED.sub(lambda asked: known[asked[1]], text)


def page() -> str:
    """The page of all figures."""
    text = RESULTS.read_text().replace("# What `make bench` measured", "# Measured", 1)
    intro = (
        "Every figure in these pages comes from this table, which `make bench` makes on one machine in one run."
        " Ratios travel from machine to machine; figures do not. What falls short of its goal is shown as well.\n"
    )
    title, _, rest = text.partition("\n")
    return f"---\nhide: [toc]\n---\n\n{title}\n\n{intro}{rest}"
