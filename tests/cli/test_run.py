"""Workers: started, started again, told to stop."""

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from tests.cli.conftest import APP, Tidings, until

Begin = Callable[..., Popen[str]]
SLOW = """
import asyncio
from tidings import App
app = App("slow", "sqlite:///slow.db", drain=60.0)

@app.on("a:b")
async def wait(event):
    print("handling")
    await asyncio.sleep(60)
"""


@pytest.fixture
def output(folder: Path) -> Callable[[], str]:
    return lambda: (folder / "output").read_text() if (folder / "output").exists() else ""


def members(tidings: Tidings) -> int:
    told = tidings("groups", "--json").stdout
    return len(json.loads(told)["members"]) if told else 0


def test_workers_share_a_group_and_stop_when_told(tidings: Tidings, begin: Begin, output: Callable[[], str]) -> None:
    process = begin("run", "shop:app", "--workers", "2")
    until(lambda: members(tidings) == 2, "both workers have lanes")

    process.send_signal(signal.SIGTERM)

    assert process.wait(20) == 0
    assert members(tidings) == 0
    assert "SIGTERM: the workers finish" in output()


def test_a_killed_worker_is_started_again(tidings: Tidings, begin: Begin, output: Callable[[], str]) -> None:
    process = begin("run", "shop:app")
    until(lambda: members(tidings) == 1, "the worker has its lanes")
    [pid] = re.findall(r"worker 1 is process (\d+)", output())

    os.kill(int(pid), signal.SIGKILL)

    until(lambda: len(re.findall(r"worker 1 is process", output())) == 2, "it is started again")
    assert f"worker 1 (process {pid}) was ended by SIGKILL; it starts again in 0.25 s" in output()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_what_a_handler_prints_is_seen_at_once(
    tidings: Tidings, begin: Begin, folder: Path, output: Callable[[], str]
) -> None:
    (folder / "slow.py").write_text(SLOW)
    begin("run", "slow:app")
    tidings("publish", "a:b", "{}", "--app", "slow:app")

    until(lambda: "handling" in output(), "the handler, which has not returned, has printed")


def test_a_second_signal_ends_all_now(tidings: Tidings, begin: Begin, folder: Path, output: Callable[[], str]) -> None:
    (folder / "slow.py").write_text(SLOW)
    tidings("publish", "a:b", "1", "--app", "slow:app")
    process = begin("run", "slow:app")
    until(lambda: "handling" in output(), "the handler is at work")
    process.send_signal(signal.SIGINT)
    until(lambda: "once more ends them now" in output(), "the first signal is heard")

    began = time.monotonic()
    process.send_signal(signal.SIGTERM)

    assert process.wait(20) == 1
    assert time.monotonic() - began < 10


def test_workers_end_with_a_supervisor_that_is_killed(tidings: Tidings, begin: Begin) -> None:
    process = begin("run", "shop:app")
    until(lambda: members(tidings) == 1, "the worker has its lanes")

    process.kill()

    until(lambda: members(tidings) == 0, "the worker has left")


def test_a_change_of_a_file_starts_the_workers_again(begin: Begin, folder: Path, output: Callable[[], str]) -> None:
    process = begin("run", "shop:app", "--reload")
    until(lambda: "claim group=orders.ship" in output(), "the worker is at work")

    def changed() -> bool:
        (folder / "shop.py").touch()
        return "shop.py changed: the workers start again" in output()

    until(changed, "the change is seen")
    until(lambda: len(re.findall(r"worker 1 is process", output())) >= 2, "it is started again")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def test_what_is_put_together_wrongly_is_said_once(tidings: Tidings, folder: Path) -> None:
    (folder / "empty.py").write_text('from tidings import App\napp = App("empty", "sqlite:///empty.db")\n')
    (folder / "memory.py").write_text('from tidings import App\napp = App("m")\n@app.on("a")\ndef h(e): ...\n')

    assert "empty:app has no handlers" in tidings("run", "empty:app").stderr
    assert "which 2 processes cannot share" in tidings("run", "memory:app", "--workers", "2").stderr


def test_a_handler_that_blocks_the_event_loop_is_named(tidings: Tidings, begin: Begin, folder: Path) -> None:
    blocking = (
        "\nimport time\n\n@app.on('door:opened')\nasync def ring(door: dict) -> None:\n"
        "    while 'blocked group=' not in open('output').read():\n        time.sleep(0.01)\n"
    )
    (folder / "shop.py").write_text(APP + blocking)
    tidings("publish", "door:opened", "{}")

    begin("run")

    until(lambda: "blocked group=orders.ring at" in (folder / "output").read_text(), "the handler is named")
    assert "write ring as a plain 'def'" in (folder / "output").read_text()
