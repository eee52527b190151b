"""The shop, from the first purchase to the books."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tidings.demos.shop.purchases import lines, totals

SOURCE = Path(__file__).parents[2] / "src"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE)}


def shop(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tidings", "demo", "shop", "--headless", *words]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=100)


def test_the_data_adds_up_to_what_is_known_of_it() -> None:
    every = totals(lines())

    assert (every.orders, every.cds, every.cents) == (6919, 16479, 24409194)


def test_sixty_orders_go_through_a_kill_and_all_books_agree(tmp_path: Path) -> None:
    told = shop("--orders", "60", "--dir", str(tmp_path))

    assert told.returncode == 0, told.stdout + told.stderr
    assert re.search(r"payment, process \d+, was killed with SIGKILL after \d+ of 60 orders", told.stdout)
    assert re.search(r"payment is back as process \d+", told.stdout)
    assert "ok\torders captured by payment\t60\t60" in told.stdout
    assert "ok\tdead letter, of order 13\t1\t1" in told.stdout
    assert "All books agree" in told.stdout


@pytest.mark.parametrize(
    ("service", "sql", "wrong"),
    [
        ("payment", "UPDATE captured SET cents = cents + 1 WHERE order_id = 5", "WRONG\ttheir dollars"),
        ("inventory", "INSERT INTO reserved SELECT * FROM reserved LIMIT 1", "WRONG\tdone twice, in any service\t1\t0"),
    ],
)
def test_a_broken_total_is_found_out(service: str, sql: str, wrong: str, tmp_path: Path) -> None:
    assert shop("--orders", "20", "--dir", str(tmp_path)).returncode == 0
    with closing(sqlite3.connect(tmp_path / f"{service}.db")) as connection:
        connection.execute(sql)
        connection.commit()

    told = shop("--orders", "20", "--dir", str(tmp_path))

    assert told.returncode == 1
    assert wrong in told.stdout
    assert "The books do not agree" in told.stdout


def test_interrupted_it_ends_its_services_and_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tidings", "demo", "shop", "--headless"]
    environment = ENVIRONMENT | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        back = next(line for line in process.stdout if "is back as process" in line)

        process.send_signal(signal.SIGINT)

        assert process.wait(60) == 130
    [pid] = re.findall(r"process (\d+)", back)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
    # SQLite unlinks a temporary file just after it has made it; who is killed between the two leaves it.
    assert not [left.name for left in tmp_path.iterdir() if not left.name.startswith("etilqs_")]


def test_too_few_orders_are_refused() -> None:
    told = shop("--orders", "5")

    assert told.returncode == 1
    assert "take 20 or more" in told.stderr
