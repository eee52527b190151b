"""The examples for callers without an event loop, run as they stand: state and events agree, also after a refusal."""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from tests.handling.stage import caught_up
from tidings import App

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> ModuleType:
    spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(file: Path, sql: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return connection.execute(sql).fetchall()


def placed(file: Path) -> list[Any]:
    return [
        tuple(msgspec.json.decode(data).values())
        for (data,) in rows(file, "SELECT data FROM tidings_events WHERE type = 'order:placed' ORDER BY position")
    ]


async def handle_all(app: App) -> None:
    """Run the handlers until they have heard all there is."""
    async with app.running():
        await caught_up(app)


def test_the_flask_view_keeps_its_order_and_tells_of_it_or_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shop = example("flask_shop")
    client = shop.web.test_client()

    answers = [client.post("/orders", data={"item": item}) for item in ("lamp", "unicorn", "table")]
    asyncio.run(handle_all(shop.app))
    shop.app.sync.close()

    assert [answer.status_code for answer in answers] == [201, 409, 201]
    assert answers[0].json == {"order_id": 1}
    assert placed(tmp_path / "shop.db") == [(1, "lamp"), (2, "table")]
    assert rows(tmp_path / "shop.db", "SELECT id, item, packed FROM orders") == [(1, "lamp", 1), (2, "table", 1)]


DJANGO = """
import asyncio, json
import django_shop as shop
from django.test import Client
from tests.examples.test_sync import handle_all
shop.make_tables()
client = Client()
answers = [client.post("/orders", {"item": item}) for item in ("lamp", "unicorn", "table")]
asyncio.run(handle_all(shop.app))
print(json.dumps([[answer.status_code for answer in answers], answers[0].json()]))
"""


def test_the_django_view_keeps_its_order_and_tells_of_it_or_neither(tmp_path: Path) -> None:
    said = run(tmp_path, "-W", "error", "-c", DJANGO)  # its settings are global to a process: in one of its own

    assert msgspec.json.decode(said) == [[201, 404, 201], {"order_id": 1}]
    assert placed(tmp_path / "shop.db") == [(1, "lamp"), (2, "table")]
    assert rows(tmp_path / "shop.db", "SELECT id, item, packed FROM orders") == [(1, "lamp", 1), (2, "table", 1)]


def test_the_script_keeps_its_counts_and_tells_of_them(tmp_path: Path) -> None:
    said = [run(tmp_path, str(EXAMPLES / "script.py"), *words) for words in (["a", "b", "a"], ["b", "c"])]

    assert said == ["3 words, 2 of them new\n", "2 words, 1 of them new\n"]
    assert rows(tmp_path / "words.db", "SELECT * FROM words ORDER BY word") == [("a", 2), ("b", 2), ("c", 1)]
    assert rows(tmp_path / "words.db", "SELECT type FROM tidings_events") == [
        ("words:counted",),
        ("words:done",),
        ("words:counted",),
        ("words:done",),
    ]


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(EXAMPLES)])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.replace("Not Found: /orders\n", "")) == (0, "")
    return done.stdout
