"""The face of the package: what `import tidings` offers, and what it costs."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import tidings

SOURCE = Path(__file__).parents[1] / "src"
IMPORT = f"""
import sys, time, json
sys.path.insert(0, {str(SOURCE)!r})
before, start = set(sys.modules), time.perf_counter()
import tidings
seconds = time.perf_counter() - start
for name in tidings.__all__:
    getattr(tidings, name)
print(json.dumps([seconds, sorted(set(sys.modules) - before)]))
"""


def test_tidings_and_all_its_public_names_bring_no_third_party_module_but_msgspec() -> None:
    bare = subprocess.run([sys.executable, "-I", "-c", IMPORT], check=True, capture_output=True, text=True, timeout=60)
    seconds, modules = json.loads(bare.stdout)
    print(f"import tidings: {seconds * 1000:.0f} ms, {len(modules)} modules")

    packages = {name.partition(".")[0] for name in modules}

    assert "tidings" in packages
    # msgspec looks for typing_extensions by itself, and finds it where our tools have installed it
    assert packages - sys.stdlib_module_names <= {"tidings", "msgspec", "typing_extensions"}


def test_all_is_sorted_as_the_linter_sorts_it() -> None:
    def constants_then_classes_then_functions(name: str) -> tuple[bool, bool, str]:
        return not name.isupper(), not name[0].isupper(), name

    assert list(tidings.__all__) == sorted(set(tidings.__all__), key=constants_then_classes_then_functions)


def test_all_names_everything_that_is_public() -> None:
    public = {name for name, it in vars(tidings).items() if not name.startswith("_") and not inspect.ismodule(it)}

    assert public <= set(tidings.__all__)


def test_every_public_name_is_explained() -> None:
    names = [name for name in tidings.__all__ if name != "__version__"]

    unexplained = [name for name in names if not inspect.getdoc(getattr(tidings, name))]

    assert inspect.getdoc(tidings)
    assert not unexplained
