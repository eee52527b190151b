"""Mermaid flowcharts, written line by line: the one place that knows their grammar."""

from collections.abc import Mapping, Sequence
from typing import Literal

Shape = Literal["box", "round", "stadium", "cylinder"]
_SHAPES: dict[Shape, tuple[str, str]] = {
    "box": ("[", "]"),
    "round": ("(", ")"),
    "stadium": ("([", "])"),
    "cylinder": ("[(", ")]"),
}
_LONGEST = 60  # characters of a line in a node
# Mermaid writes characters that mean something to it as entities, with # in place of &.
_ENTITIES = str.maketrans(
    {'"': "#quot;", "#": "#35;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "`": "#96;", "\\": "#92;"}
)


class Chart:
    """Nodes and edges, from left to right, in the order in which they are given."""

    def __init__(self, styles: Mapping[str, str]) -> None:
        self._styles = dict(styles)
        self._used: dict[str, list[str]] = {}
        self._lines: list[str] = []

    def node(self, name: str, shape: Shape, label: Sequence[str], *, style: str | None = None) -> None:
        """A node called `name` (letters and digits), with a label of these lines."""
        opening, closing = _SHAPES[shape]
        text = "<br/>".join(_text(line) for line in label)
        self._lines.append(f'{name}{opening}"{text}"{closing}')
        if style is not None:
            self._used.setdefault(style, []).append(name)

    def edge(self, start: str, end: str, label: str = "", *, dotted: bool = False) -> None:
        """An arrow between two nodes."""
        arrow = "-.->" if dotted else "-->"
        self._lines.append(f'{start} {arrow}|"{_text(label)}"| {end}' if label else f"{start} {arrow} {end}")

    def source(self) -> str:
        """The whole flowchart."""
        styles = [f"classDef {name} {self._styles[name]}" for name in self._used]
        classes = [f"class {','.join(nodes)} {name}" for name, nodes in self._used.items()]
        return "\n".join(["flowchart LR", *(f"  {line}" for line in (*self._lines, *styles, *classes))])


def _text(line: str) -> str:
    line = " ".join(line.split())
    short = line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
    return short.translate(_ENTITIES)
