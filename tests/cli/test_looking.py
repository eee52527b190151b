"""Who looks needs to read only, makes nothing, and changes nothing."""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from tests.cli.conftest import Tidings, names, until

ORDER = '{"order_id": 1, "customer": "ada"}'
LOOKS = ("groups", "tail", "verify", "dead list", "dead list --retry", "timers", "trim --dry-run", "describe", "export")
_DROP_CAPABILITY, _DAC_OVERRIDE, _DAC_READ_SEARCH = 24, 1, 2


def without_override() -> None:
    """Root writes where it likes: give that up, in the child."""
    if os.geteuid() == 0:
        kernel = ctypes.CDLL(None)
        for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH):
            assert kernel.prctl(_DROP_CAPABILITY, capability, 0, 0, 0) == 0


@pytest.fixture
def bound(folder: Path, environment: dict[str, str], tidings: Tidings) -> Iterator[Tidings]:
    """`tidings` where neither the folder nor the log in it can be written to."""
    tidings("publish", "order:created", ORDER)

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-B", "-m", "tidings", *words]
        return subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            preexec_fn=without_override,
        )

    for path in (folder / "orders.db", folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield call
    folder.chmod(0o755)


def content(folder: Path) -> dict[str, bytes]:
    skipped = ("__pycache__",)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not set(path.parts) & set(skipped)
    }


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="how root gives up its rights is Linux's own")
def test_a_log_that_cannot_be_written_is_looked_at_all_the_same(bound: Tidings, folder: Path) -> None:
    event = json.loads(bound("tail", "--json").stdout)
    before = content(folder)

    for words in (*LOOKS, f"show {event['id']}", f"trace {event['id']}"):
        told = bound(*words.split())
        assert (told.returncode, told.stderr) == (0, ""), words

    assert "this user may not write to it" in bound("doctor").stdout
    assert "is read-only" in bound("publish", "order:created", ORDER).stderr
    assert "is read-only" in bound("groups", "pause", "orders.ship").stderr
    assert content(folder) == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="how root gives up its rights is Linux's own")
def test_running_where_nothing_can_be_written_ends_with_the_reason(bound: Tidings) -> None:
    told = bound("run", "--workers", "2")

    assert told.returncode == 1
    assert "is read-only: grant write access to the file and its folder" in told.stderr
    assert "starts again" not in told.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="how root gives up its rights is Linux's own")
def test_a_log_that_may_not_be_read_is_told_so(bound: Tidings, folder: Path) -> None:
    (folder / "orders.db").chmod(0o000)

    told = bound("tail")

    assert (told.returncode, told.stdout) == (1, "")
    assert "may not be read by this user" in told.stderr


@pytest.mark.parametrize("url", ["sqlite:zz.db", "sqlite:///zz.db", "sqlite:///zz.db?synchronous=NORMAL"])
def test_where_there_is_no_log_none_is_made(url: str, tidings: Tidings, folder: Path) -> None:
    for words in ("groups", "tail", "dead list", "groups pause x", "publish a:b 1"):
        told = tidings(*words.split(), "--url", url)

        assert told.returncode == 1
        assert told.stderr.startswith(f"tidings: no such log: {url}; check the path, which starts at {folder}")
    assert not list(folder.glob("*.db*"))


def test_the_log_of_an_application_that_never_ran_is_not_made_by_a_look(tidings: Tidings, folder: Path) -> None:
    for words in (*LOOKS[:7], "show x", "trace x"):
        told = tidings(*words.split())

        assert (told.returncode, told.stdout) == (1, ""), words
        assert f"no such log: {folder / 'orders.db'}" in told.stderr
        assert "'tidings run' and 'tidings publish' make one" in told.stderr
    assert not list(folder.glob("*.db*"))


def test_a_file_that_is_no_log_is_not_made_one(tidings: Tidings, folder: Path) -> None:
    (folder / "empty.db").touch()
    (folder / "notes.db").write_text("no database")

    assert "the file is empty" in tidings("groups", "--url", "sqlite:///empty.db").stderr
    assert tidings("groups", "--url", "sqlite:///notes.db").returncode == 1
    assert sorted(path.name for path in folder.glob("*.db*")) == ["empty.db", "notes.db"]


def test_a_log_at_rest_is_followed_when_somebody_writes_to_it(
    tidings: Tidings, begin: Callable[..., Popen[str]], folder: Path
) -> None:
    tidings("publish", "a:old", "1")
    process = begin("tail", "-f", "-n", "1", "--limit", "3")
    until(lambda: "a:old" in (folder / "output").read_text(), "the old event is shown")

    for number in range(2):
        tidings("publish", "a:new", str(number))

    assert process.wait(20) == 0
    assert [line.split("\t")[2] for line in (folder / "output").read_text().splitlines()[1:]] == [
        "a:old",
        "a:new",
        "a:new",
    ]


def test_the_last_events_are_chosen_by_number_and_pattern(tidings: Tidings) -> None:
    for name in ("order:a", "stock:b", "order:c", "stock:d"):
        tidings("publish", name, "1")

    assert names(tidings, "-n", "1") == ["stock:d"]
    assert names(tidings, "-n", "2", "order:*") == ["order:a", "order:c"]
    assert names(tidings, "-n", "9") == ["order:a", "stock:b", "order:c", "stock:d"]
    assert tidings("tail", "-n", "1", "--from", "earliest").returncode == 2
    assert tidings("tail", "-n", "1", "--no-header").stdout.count("\n") == 1
