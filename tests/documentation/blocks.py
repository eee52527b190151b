"""The fenced blocks of a page: what language, where, under which title, and whether they are to be run."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w+)?(?P<rest>.*)$")
_TITLE = re.compile(r'title="([^"]+)"')
_NOT_RUN = re.compile(r"^ *<!-- not run: (.+) -->$")


class Block(msgspec.Struct, frozen=True):
    """One fenced block."""

    page: str  # from the root of the project
    line: int  # of its first line of text, from 1
    language: str
    title: str  # the file it is, or empty
    text: str
    not_run: str = ""  # why it cannot be run here
    follows: bool = False  # nothing but empty lines stands between the block before and this one

    @property
    def place(self) -> str:
        """Where a reader of a failure finds it."""
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page that is written by hand."""
    return sorted(DOCS.rglob("*.md"))


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, from top to bottom."""
    return list(_blocks(str(page.relative_to(ROOT)), page.read_text().splitlines()))


def _blocks(page: str, lines: list[str]) -> Iterator[Block]:
    number, reason, alone = 0, "", False
    while number < len(lines):
        line = lines[number]
        number += 1
        if mark := _NOT_RUN.match(line):
            reason = mark[1]
        elif opening := _FENCE.match(line):
            first = number
            while lines[number].strip() != "```":
                number += 1
            text = textwrap.dedent("\n".join(lines[first:number])) + "\n"
            number += 1
            title = _TITLE.search(opening["rest"])
            language = opening["language"] or ""
            yield Block(page, first + 1, language, title[1] if title else "", text, reason, alone)
            reason, alone = "", True
        elif line.strip():
            reason, alone = "", False


def prose(page: Path) -> str:
    """The page with its fenced blocks left out, line for line."""
    kept, inside = [], False
    for line in page.read_text().splitlines():
        fence = line.strip().startswith("```")
        kept.append("" if fence or inside else line)
        inside ^= fence
    return "\n".join(kept)
