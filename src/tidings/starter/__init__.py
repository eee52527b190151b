"""Floor 8. The files of a small new application: two events, two handlers, a test, and how to go on."""

import keyword
import re
import sys
from importlib.resources import files
from pathlib import Path

from tidings.errors import ConfigurationError

_FILES = {  # template -> where it goes, NAME standing for the application's
    "app.py.txt": "NAME.py",
    "test.py.txt": "tests/test_NAME.py",
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "gitignore.txt": ".gitignore",
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


def write_app(name: str, folder: Path) -> list[Path]:
    """Write an application called `name` into `folder`, which is made; the files, in the order to read them in.

    Raises:
        ConfigurationError: the name suits no application, or there is something in the folder already.
    """
    check_name(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(f"{folder} is there already and nothing is overwritten: name another --directory")
    written = []
    for template, target in _FILES.items():
        path = folder / target.replace("NAME", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_text(template).replace("NAME", name), "utf-8")
        written.append(path)
    return written


def check_name(name: str) -> None:
    """See that a name can be that of an application and of its module.

    Raises:
        ConfigurationError: it cannot, and one that could.
    """
    if not _NAME.fullmatch(name):
        better = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        advice = f", as in {better}" if _NAME.fullmatch(better) else ", as in shop"
        raise ConfigurationError(f"{name!r} is no name for an application: use a-z, 0-9 and _, a letter first{advice}")
    if keyword.iskeyword(name) or name in sys.stdlib_module_names or name in ("test", "tests", "tidings", "pytest"):
        raise ConfigurationError(f"{name!r} is a word of Python or of a library: as a module it would hide that one")


def _text(template: str) -> str:
    return files("tidings.starter").joinpath("files", template).read_text("utf-8")
