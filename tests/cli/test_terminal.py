"""What a person sees: tables that fit the terminal, colour where it means something, progress beside the results."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import SOURCE, Tidings

Terminal = Callable[..., str]
TABLE = """
from tidings.cli.output import Column, print_rows
columns = [Column("group"), Column("state"), Column("lag", True), Column("dead", True), Column("reason")]
rows = [["orders.ship", "live", 1234567, 0, "nobody runs it"], ["orders.bill", "paused", 8, 3, "x" * 60]]
print_rows(columns, rows, nothing="None.")
"""
PROGRESS = """
import sys, time
from tidings.cli.progress import progress
with progress("Reading") as tell:
    for number in range(1, 11):
        tell(number * 100, 1000)
        time.sleep(0.02)
print("done")
"""
COLOUR = re.compile(r"\x1b\[[0-9;]*3\d")


@pytest.fixture
def terminal(folder: Path, environment: dict[str, str]) -> Terminal:
    """What a terminal of so many columns shows of a Python program or of a call of `tidings`."""

    def show(*words: str, columns: int = 80, code: str | None = None, **variables: str) -> str:
        command = [sys.executable, *(["-c", code] if code is not None else ["-m", "tidings", *words])]
        plain = {name: value for name, value in environment.items() if name not in ("COLUMNS", "NO_COLOR")}
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(
            command, cwd=folder, env={**plain, "TERM": "xterm", **variables}, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        shown = _all_of(ours)
        os.close(ours)
        process.wait(30)
        return shown.replace("\r\n", "\n")

    return show


def _all_of(descriptor: int) -> str:
    shown = b""
    while select.select([descriptor], [], [], 60)[0]:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        shown += part
    return shown.decode()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def test_a_table_has_aligned_numbers_and_fits(terminal: Terminal) -> None:
    lines = plain(terminal(code=TABLE)).splitlines()

    assert all(len(line) <= 80 for line in lines)
    assert lines[0].split() == ["group", "state", "lag", "dead", "reason"]
    ends = [line.index(number) + len(number) for line, number in zip(lines[1:3], ("1,234,567", "     8"), strict=True)]
    assert ends[0] == ends[1]


@pytest.mark.parametrize("columns", [40, 30])
def test_a_table_that_does_not_fit_is_told_row_by_row(terminal: Terminal, columns: int) -> None:
    lines = plain(terminal(code=TABLE, columns=columns)).splitlines()

    assert all(len(line) <= columns for line in lines)
    assert re.split(r"\s+", lines[0].strip()) == ["group", "orders.ship"]
    assert re.split(r"\s+", lines[2].strip()) == ["lag", "1,234,567"]


def test_colour_marks_only_what_wants_a_look_and_none_is_shown_when_unwanted(terminal: Terminal) -> None:
    coloured = terminal(code=TABLE)

    assert [re.sub(r"\x1b\[\d*m?", "", each[0]) for each in re.findall(r"(\x1b\[3[13]m *[a-z0-9]+)", coloured)] != []
    assert "\x1b[31m" in coloured.split("orders.bill")[1]
    assert not COLOUR.search(coloured.split("orders.ship")[1].split("orders.bill")[0])
    assert not COLOUR.search(terminal(code=TABLE, NO_COLOR="1"))


def test_a_pipe_gets_every_number_as_it_is(folder: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n{TABLE}"],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert told.stdout.splitlines()[:2] == [
        "group\tstate\tlag\tdead\treason",
        "orders.ship\tlive\t1234567\t0\tnobody runs it",
    ]


def test_progress_shows_count_rate_and_time_left_and_goes_away(terminal: Terminal) -> None:
    shown = terminal(code=PROGRESS)

    assert "Reading" in shown
    assert "1000/1000" in plain(shown)
    assert "/s" in shown
    assert plain(shown).rstrip().endswith("done")


def test_progress_is_silent_in_a_pipe(folder: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n{PROGRESS}"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert (told.stdout, told.stderr) == ("done\n", "")


@pytest.mark.parametrize("columns", [80, 60, 40])
def test_every_page_of_help_fits(terminal: Terminal, columns: int) -> None:
    for words in ([], ["tail"], ["groups"], ["doctor"]):
        lines = plain(terminal(*words, "--help", columns=columns)).splitlines()

        assert not [line for line in lines if len(line) > columns and not line.startswith("  tidings ")]


def test_the_first_page_lists_commands_by_what_they_are_for(tidings: Tidings) -> None:
    page = tidings("--help", COLUMNS="80").stdout

    titles = [line for line in page.splitlines() if line and not line.startswith(" ")]

    assert titles.index("Begin") < titles.index("Run and publish") < titles.index("Look")
    assert "Exit codes" in titles
    assert re.search(r"\n  130  interrupted", page)
    assert "More" not in titles, "a command without a panel: give it one in help.py"


def test_replay_shows_progress_on_a_terminal(terminal: Terminal, tidings: Tidings, folder: Path) -> None:
    from tests.cli.test_groups_and_dead import WORK

    tidings("publish", "order:created", '{"order_id": 1, "customer": "ada"}')
    assert "Traceback" not in terminal(code=WORK.replace("sys.argv[1]", "'0'"))

    shown = terminal("replay", "orders.ship", "--to", "earliest", "--yes")

    assert "counting" in shown
    assert "hear 1 event again" in plain(shown)


def test_rows_of_a_narrow_terminal_are_a_line_each(terminal: Terminal, tidings: Tidings) -> None:
    from tests.cli.test_groups_and_dead import WORK

    tidings("publish", "order:created", '{"order_id": 1, "customer": "ada", "total": "-1"}', "--id", "o" * 36)
    assert "Traceback" not in terminal(code=WORK.replace("sys.argv[1]", "'0'"))

    for words in (["groups"], ["dead", "list"], ["tail"], ["describe"], ["trim", "--dry-run"]):
        lines = plain(terminal(*words, columns=80)).splitlines()
        assert all(len(line) <= 80 for line in lines), words
    heading, row = plain(terminal("dead", "list")).splitlines()
    assert heading.split()[-1] == "reason"
    assert "o" * 36 in row
    assert len(plain(terminal("tail")).splitlines()) == 1


def test_groups_are_watched_until_ctrl_c(tidings: Tidings, folder: Path, environment: dict[str, str]) -> None:
    tidings("publish", "order:created", '{"order_id": 1, "customer": "ada"}')
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tidings", "groups", "--watch"],
        cwd=folder,
        env={**environment, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=lambda: os.login_tty(0),
    )
    os.close(theirs)
    shown = b""
    while shown.count(b"every 2 s; Ctrl-C ends it") < 2:
        assert select.select([ours], [], [], 60)[0], shown
        shown += os.read(ours, 65536)

    os.write(ours, b"\x03")
    shown += _all_of(ours).encode()

    assert process.wait(20) == 130
    assert b"No groups yet" in shown
    assert shown.rstrip().endswith(b"\x1b[?1049l")
    os.close(ours)


def test_watching_is_for_a_terminal(tidings: Tidings) -> None:
    told = tidings("groups", "--watch")

    assert (told.returncode, told.stdout) == (1, "")
    assert "--watch is for a terminal" in told.stderr
