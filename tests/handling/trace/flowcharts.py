"""A reader of the part of Mermaid's flowchart grammar that is written here: it refuses what Mermaid would refuse."""

import re
from dataclasses import dataclass, field

_TEXT = r'"((?:[^"&<>`\\#]|#[a-z0-9]+;|<br/>)+)"'
_SHAPES = (("([", "])"), ("[(", ")]"), ("[", "]"), ("(", ")"))
_NODE = re.compile(rf"  ([A-Za-z][A-Za-z0-9]*)(?:{'|'.join(re.escape(o) + _TEXT + re.escape(c) for o, c in _SHAPES)})$")
_EDGE = re.compile(rf"  ([A-Za-z][A-Za-z0-9]*) (-->|-\.->)(?:\|{_TEXT}\|)? ([A-Za-z][A-Za-z0-9]*)$")
_CLASS_DEF = re.compile(r"  classDef ([a-z]+) [a-z-]+:[#a-z0-9]+(?:,[a-z-]+:[#a-z0-9]+)*$")
_CLASS = re.compile(r"  class ([A-Za-z0-9]+(?:,[A-Za-z0-9]+)*) ([a-z]+)$")


@dataclass
class Flowchart:
    """Nodes by name with their labels' lines; edges as (start, end); classes by node."""

    nodes: dict[str, list[str]] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    classes: dict[str, str] = field(default_factory=dict)

    def label(self, name: str) -> str:
        """The first line of a node."""
        return self.nodes[name][0]

    def arrows(self) -> set[tuple[str, str]]:
        """The edges, by the first lines of their nodes."""
        return {(self.label(start), self.label(end)) for start, end in self.edges}

    def called(self, text: str) -> str:
        """The one node with this line in its label."""
        (name,) = [name for name, lines in self.nodes.items() if text in lines]
        return name


def read(source: str) -> Flowchart:
    """A flowchart's source as what it says; every line must be one that Mermaid takes, every name be defined once."""
    first, *lines = source.split("\n")
    assert first == "flowchart LR"
    chart = Flowchart()
    defined: set[str] = set()
    for line in lines:
        if node := _NODE.match(line):
            assert node[1] not in chart.nodes, f"defined twice: {line}"
            assert node[1] != "end", "Mermaid takes this for its own word"
            chart.nodes[node[1]] = next(text for text in node.groups()[1:] if text).split("<br/>")
        elif edge := _EDGE.match(line):
            chart.edges.append((edge[1], edge[4]))
        elif class_def := _CLASS_DEF.match(line):
            defined.add(class_def[1])
        elif marked := _CLASS.match(line):
            chart.classes |= dict.fromkeys(marked[1].split(","), marked[2])
        else:
            raise AssertionError(f"Mermaid would not take {line!r}")
    assert {name for edge in chart.edges for name in edge} <= chart.nodes.keys(), "an edge to nowhere"
    assert chart.classes.keys() <= chart.nodes.keys()
    assert set(chart.classes.values()) <= defined
    return chart
