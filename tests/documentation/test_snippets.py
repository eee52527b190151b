"""Every snippet of the pages is run as a reader would run it, page by page, in a folder of the page's own."""

import ast
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from tests.documentation.blocks import DOCS, ROOT, Block, blocks, pages
from tests.documentation.comparing import difference
from tests.documentation.session import commands

LIMIT = 90.0
READERS = 3  # at a time
MOST_NOT_RUN = 12  # of all blocks; a block that is only shown may rot
PLUGINS = "-p no:cacheprovider -p tidings.testing.plugin -p pytest_asyncio.plugin"  # found by entry points otherwise
RUN = ("python", "console")
DRAWN = ("flowchart", "sequenceDiagram", "stateDiagram-v2")
PARSED: dict[str, Callable[[str], object]] = {
    "python": ast.parse,
    "toml": tomllib.loads,
    "json": json.loads,
    "console": commands,
    "text": str,
    "mermaid": str,
}
TUTORIAL = [
    DOCS / "tutorial" / f"{name}.md" for name in ("emitter", "app", "failures", "transactions", "services", "testing")
]


def sessions() -> list[list[Path]]:
    """The tutorial is read in one go; every other page stands alone."""
    alone = [[page] for page in pages() if page not in TUTORIAL and any(each.language in RUN for each in blocks(page))]
    return [TUTORIAL, *alone]


def environment(folder: Path) -> dict[str, str]:
    """As on a reader's machine, where `tidings`, `python` and `pytest` are at hand."""
    programs = folder / "programs"
    programs.mkdir()
    for name, module in (("tidings", "-m tidings"), ("pytest", f"-m pytest -q {PLUGINS}"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        (programs / name).chmod(0o755)
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("TIDINGS_", "PYTEST_"))}
    return clean | {
        "PATH": f"{programs}{os.pathsep}{clean['PATH']}",
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "NO_COLOR": "1",
        "COLUMNS": "120",
    }


def follow(run: list[Block], folder: Path) -> "subprocess.CompletedProcess[str]":
    """A reader with a folder of their own goes through these blocks."""
    (folder / "blocks.json").write_bytes(msgspec.json.encode(run))
    (folder / "reader").mkdir()
    return subprocess.run(
        [sys.executable, "-m", "tests.documentation.session", str(folder / "blocks.json")],
        cwd=folder / "reader",
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


Followed = dict[str, "Future[subprocess.CompletedProcess[str]]"]


@pytest.fixture(scope="module")
def followed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    """The chosen sessions by their first page, several read at a time, as most of that is waiting."""
    parameters = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    chosen: list[list[Path]] = [each["session"] for each in parameters if "session" in each]
    with ThreadPoolExecutor(READERS) as pool:
        yield {
            str(session[0]): pool.submit(follow, to_run(session), tmp_path_factory.mktemp(session[0].stem))
            for session in chosen
        }
        pool.shutdown(cancel_futures=True)


def to_run(session: list[Path]) -> list[Block]:
    """What a reader of these pages does."""
    return [block for page in session for block in blocks(page) if not block.not_run and block.language != "mermaid"]


@pytest.mark.parametrize("session", sessions(), ids=lambda session: str(session[0].relative_to(DOCS)))
def test_a_page_does_what_it_shows(session: list[Path], followed: Followed) -> None:
    done = followed[str(session[0])].result()

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(DOCS)))
def test_every_block_can_be_read_in_its_language(page: Path) -> None:
    for block in blocks(page):
        assert block.language in PARSED, f"{block.place}: a block in {block.language or 'no language'}"
        try:
            PARSED[block.language](block.text)
        except ValueError as error:
            pytest.fail(f"{block.place}: {error}")
        assert block.language != "mermaid" or block.text.startswith(DRAWN), f"{block.place}: no diagram"
        assert block.language != "text" or block.follows or block.not_run, f"{block.place}: the output of nothing"


def test_few_blocks_are_only_shown() -> None:
    shown = [f"{block.place}: {block.not_run}" for page in pages() for block in blocks(page) if block.not_run]

    assert len(shown) <= MOST_NOT_RUN, "\n".join(shown)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", "raise ValueError('no')\n"),
        ("console", "$ tidings nonsense\n"),
        ("console", "$ echo one\ntwo\n"),
        ("console", "$ curl localhost\n"),
    ],
)
def test_a_block_that_does_something_else_is_named_by_page_and_line(language: str, text: str, tmp_path: Path) -> None:
    done = follow([Block("docs/page.md", 7, language, "", text)], tmp_path)

    assert done.returncode == 1
    assert done.stdout.startswith("docs/page.md:7: this block does not do what the page shows")


def test_what_changes_from_run_to_run_makes_no_difference() -> None:
    assert not difference("12:30:01  a ...\n", "12:59:59.123  a b c\n")
    assert difference("12:30:01  a\n", "12:59:59  b\n")
    assert difference("one\ntwo\n", "two\none\n")
