"""What MkDocs calls while it builds: pages made from the program itself, and figures put where they are asked for."""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from mkdocs.structure.files import File, Files  # noqa: E402

from docs.making import changes, command_line, errors, figures, names  # noqa: E402

MADE = {
    "reference/command-line.md": command_line.page,
    "reference/errors.md": errors.page,
    "changes.md": changes.page,
    "measured.md": figures.page,
}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that nobody writes."""
    for path, page in MADE.items():
        files.append(File.generated(config, path, content=page()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put in the figures, and the names that are left."""
    return names.filled(figures.filled(markdown))
