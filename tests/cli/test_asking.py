"""Questions before something that cannot be taken back: Ctrl-C ends them, and without a terminal `--yes` is named."""

import os
import pty
import select
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.cli.conftest import Tidings, rows_of, until

ASKING = ("replay orders.ship --to earliest", "groups delete orders.ship", "trim other:* --size 1B", "dead drop --all")
GROUP = """
import asyncio
from shop import app

async def main():
    async with app.running():
        pass

asyncio.run(main())
"""


@pytest.fixture
def ran(tidings: Tidings, folder: Path, environment: dict[str, str]) -> Tidings:
    """An application that has run, and has four events."""
    subprocess.run([sys.executable, "-c", GROUP], cwd=folder, env=environment, check=True, timeout=60)
    for _ in range(2):
        tidings("publish", "order:created", '{"order_id": 1, "customer": "ada"}')
        tidings("publish", "other:event", "1")
    return tidings


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="whether a process waits is asked of /proc")
@pytest.mark.parametrize("words", ASKING)
def test_ctrl_c_at_a_question_ends_it_at_once(
    words: str, ran: Tidings, folder: Path, environment: dict[str, str]
) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tidings", *words.split()],
        cwd=folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=lambda: os.login_tty(0),
    )
    os.close(theirs)
    shown = read(ours, upto="[y/N]: ")
    until(partial(waits, process.pid, []), "it waits for the answer")

    os.write(ours, b"\x03")

    shown += read(ours)
    os.close(ours)
    assert process.wait(20) == 130
    assert "Traceback" not in shown
    assert shown.endswith("\n")
    assert len(rows_of(ran("tail"))) == 4


@pytest.mark.parametrize("words", ASKING)
def test_where_nobody_can_answer_the_option_is_named(words: str, ran: Tidings) -> None:
    told = ran(*words.split())

    assert told.returncode == 1
    assert "nobody is there to answer, and nothing was changed: --yes does it unasked" in told.stderr
    assert len(rows_of(ran("tail"))) == 4


def test_an_answer_may_come_by_a_pipe(ran: Tidings) -> None:
    refused = ran("groups", "delete", "orders.ship", given="n\n")
    done = ran("groups", "delete", "orders.ship", given="y\n")

    assert (refused.returncode, "nothing was changed" in refused.stderr) == (1, True)
    assert done.returncode == 0


def waits(pid: int, seen: list[str]) -> bool:
    """Has its main thread slept since the last time? Right after the question it may not be reading yet."""
    status = Path(f"/proc/{pid}/task/{pid}/status").read_text()
    seen.append("".join(line for line in status.splitlines() if "ctxt_switches" in line or line.startswith("State")))
    return "sleeping" in seen[-1] and seen[-3:] == [seen[-1]] * 3


def read(descriptor: int, upto: str | None = None) -> str:
    """What a terminal shows: up to some text, or to its end."""
    shown = b""
    while upto is None or not shown.decode().endswith(upto):
        assert select.select([descriptor], [], [], 60)[0], f"nothing more came after {shown!r}"
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        shown += part
    return shown.decode()
