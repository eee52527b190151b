"""The floors of ARCHITECTURE.md hold: imports only go down, and nowhere in a ring.

Every import counts, those for types only and those inside a function included: a reader follows them all the same.
"""

import ast
import graphlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "tidings"
ON_THE_FLOOR_OF = {"__main__": "cli"}
WALL_CLOCKS = {"time.time", "time.time_ns", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today"}

Floors = Mapping[str, int]
Tree = Mapping[str, ast.Module]


def read_floors(page: str) -> Floors:
    """Part -> height, from the table whose highest row stands first."""
    table = re.search(r"^\| *floor *\| *parts *\|.*\n\|[-| ]+\n((?:\|.*\n)+)", page, re.MULTILINE)
    assert table, "ARCHITECTURE.md has no table of floors"
    rows = [row.split("|")[2] for row in reversed(table[1].splitlines())]
    parts = [(part.strip(" `"), height) for height, row in enumerate(rows) for part in row.split("·")]
    assert len(parts) == len(dict(parts)), "a part stands on two floors"
    return dict(parts)


def read_modules(source: Path) -> Tree:
    """Dotted name -> syntax tree, of every module under `source`; a folder's `__init__` has the folder's name."""
    names = {path: (source.name, *path.relative_to(source).with_suffix("").parts) for path in source.rglob("*.py")}
    return {
        ".".join(name[:-1] if name[-1] == "__init__" else name): ast.parse(path.read_text("utf-8"), str(path))
        for path, name in sorted(names.items())
    }


def part_of(module: str) -> str:
    part = module.split(".")[1] if "." in module else "__init__"
    return ON_THE_FLOOR_OF.get(part, part)


def imports_of(tree: ast.Module, modules: Tree, floors: Floors) -> set[str]:
    """The modules of ours that `tree` names in an import."""
    return {known(name, modules, floors) for name in imported_names(tree) if name.split(".")[0] == "tidings"}


def imported_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                yield from (f"{module}.{alias.name}" for alias in node.names)
            case ast.Call(
                func=ast.Name("import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(str(name)), *_],
            ):
                yield name


def known(name: str, modules: Tree, floors: Floors) -> str:
    """`tidings.log.sqlite.Log` is reached through `tidings.log.sqlite`; a part is known before it has a file."""
    while name not in modules and "." in name and not (name.count(".") == 1 and part_of(name) in floors):
        name = name.rpartition(".")[0]
    return name


def parts_too_high(module: str, modules: Tree, floors: Floors) -> set[str]:
    """The parts that `module` imports although they stand on its own floor or above."""
    own = part_of(module)
    others = {part_of(name) for name in imports_of(modules[module], modules, floors)} - {own}
    return {other for other in others if floors[other] >= floors[own]}


def relative_imports(tree: ast.Module) -> list[int]:
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]


def rings(modules: Tree, floors: Floors) -> list[str]:
    """One ring of imports, if there is any: `TopologicalSorter` stops at the first."""
    graph = {name: imports_of(tree, modules, floors) - {name} for name, tree in modules.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def wall_clock_readings(tree: ast.Module) -> list[str]:
    """`time.time` and its like by whatever name they were imported: called, or handed on to be called."""
    full_names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            full_names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            full_names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    dotted = (ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name))
    read = (".".join([full_names.get(head, head), *rest]) for head, *rest in (name.split(".") for name in dotted))
    return sorted(WALL_CLOCKS.intersection(read))


FLOORS = read_floors((ROOT / "ARCHITECTURE.md").read_text("utf-8"))
MODULES = read_modules(SOURCE)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_lower_floors(module: str) -> None:
    assert part_of(module) in FLOORS, f"{part_of(module)} has no floor in ARCHITECTURE.md"
    assert not relative_imports(MODULES[module]), "relative imports hide which floor they reach"

    too_high = parts_too_high(module, MODULES, FLOORS)

    assert not too_high, f"{module} is part of {part_of(module)} and reaches up or sideways to {sorted(too_high)}"


@pytest.mark.parametrize("module", [name for name in MODULES if name != "tidings.clock"])
def test_only_the_clock_reads_the_time_of_day(module: str) -> None:
    assert not wall_clock_readings(MODULES[module]), "ask the Clock that is handed in, so that a test can move it"


def test_no_modules_import_each_other_in_a_ring() -> None:
    assert not rings(MODULES, FLOORS)


# A check that cannot fail proves nothing: the same functions on made-up trees.

TABLE = """
| floor | parts | what it knows |
|---|---|---|
| 2 | app | |
| 1 | emitter · `log` | |
| 0 | clock | |
"""


def made_up(folder: Path, **files: str) -> Tree:
    for name, text in files.items():
        path = folder / "tidings" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_modules(folder / "tidings")


@pytest.mark.parametrize(
    ("line", "reached"),
    [
        ("from tidings.app import App", "app"),
        ("from tidings import app", "app"),
        ("import tidings.app as higher", "app"),
        ("if TYPE_CHECKING:\n    from tidings.app import App", "app"),
        ("def late():\n    from tidings.app import App", "app"),
        ("importlib.import_module('tidings.app')", "app"),
        ("from tidings.emitter import Emitter", "emitter"),
        ("from tidings.clock import Clock", None),
        ("import tidings_of_another_house", None),
    ],
)
def test_the_check_reports_an_import_upward_or_sideways(line: str, reached: str | None, tmp_path: Path) -> None:
    modules = made_up(tmp_path, log__sqlite=line, app="", emitter="", clock="")

    too_high = parts_too_high("tidings.log.sqlite", modules, read_floors(TABLE))

    assert too_high == ({reached} if reached else set())


def test_the_check_reports_a_ring_inside_a_part(tmp_path: Path) -> None:
    modules = made_up(tmp_path, log__a="from tidings.log.b import B", log__b="def f():\n    import tidings.log.a")

    assert set(rings(modules, read_floors(TABLE))) == {"tidings.log.a", "tidings.log.b"}


def test_the_check_reports_a_relative_import() -> None:
    assert relative_imports(ast.parse("import os\nfrom . import b\nfrom .b import c")) == [2, 3]


@pytest.mark.parametrize(
    "code",
    [
        "import time\ntime.time()",
        "from time import time as now\nnow()",
        "import datetime as d\nd.datetime.now(d.UTC)",
        "from datetime import datetime\nfield(default_factory=datetime.now)",
    ],
)
def test_the_check_reports_a_reading_of_the_time_of_day(code: str) -> None:
    assert wall_clock_readings(ast.parse(code))
    assert not wall_clock_readings(ast.parse("import time\ntime.monotonic()\nevent.time"))
