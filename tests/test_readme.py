"""What the README shows is run as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
LIMIT = 60.0


ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("TIDINGS_")} | {
    "PYTHONPATH": str(ROOT / "src"),
    "NO_COLOR": "1",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def tidings(folder: Path, *arguments: str) -> str:
    return run(folder, "-m", "tidings", *arguments)


def test_runnable_code_stands_within_the_first_fifteen_lines() -> None:
    lines = README.splitlines()[:15]

    assert "```python" in lines
    assert "```" in lines


def test_the_emitter_says_what_the_readme_has_it_say(tmp_path: Path) -> None:
    assert run(tmp_path, "-c", blocks("python")[0]) == "new order 42\n"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(blocks("python")[1])
    return tmp_path


def test_the_shop_of_the_readme_publishes_and_shows_what_it_published(shop: Path) -> None:
    published = tidings(shop, "publish", "order:created", '{"order_id": 42, "total": "39.90"}')
    tailed = tidings(shop, "tail")
    groups = tidings(shop, "groups")

    assert "none yet" in published or "orders.reserve_stock" in published
    assert "order:created" in tailed
    assert "39.90" in tailed
    assert isinstance(groups, str)


def test_every_further_snippet_is_code_that_an_app_accepts(shop: Path) -> None:
    for block in blocks("python")[2:]:
        run(shop, "-c", block if "import" in block else f"from tidings import App\n{block}")


def test_the_test_of_the_readme_passes(shop: Path) -> None:
    [block] = [each for each in blocks("python") if "TestApp" in each]
    [name] = re.findall(r"^async def (\w+)", block, re.MULTILINE)

    run(shop, "-c", f"import asyncio\n{block}\nasyncio.run({name}())")


def test_every_command_of_the_table_exists(tmp_path: Path) -> None:
    known = tidings(tmp_path, "--help")

    for command in re.findall(r"^\| `tidings (\w+)", README, re.MULTILINE):
        assert command in known, f"the README promises 'tidings {command}'"
