"""The public names that no page of the reference has a place for: `{{others: tidings}}` becomes an entry for each."""

import importlib
import re
from pathlib import Path

REFERENCE = Path(__file__).parents[1] / "reference"
ASKED = re.compile(r"\{\{others: ([\w.]+)\}\}")


def written() -> list[str]:
    """What the pages name by themselves, in their order."""
    return [
        name for page in sorted(REFERENCE.glob("*.md")) for name in re.findall(r"^::: (\S+)$", page.read_text(), re.M)
    ]


def others(module: str) -> list[str]:
    """The public names of a module that are left."""
    known = set(written())
    names = [f"{module}.{name}" for name in importlib.import_module(module).__all__ if not name.startswith("__")]
    return [name for name in names if name not in known]


def filled(text: str) -> str:
    """The text with an entry for each name that is left."""
    return ASKED.sub(lambda asked: "\n\n".join(f"::: {name}" for name in others(asked[1])), text)
