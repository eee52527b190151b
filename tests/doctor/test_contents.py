"""Seeded faults of what is in a log's files, each found, with its cure."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doctor.conftest import Patient
from tidings import Event
from tidings.clock import ManualClock
from tidings.log import Log
from tidings.log.group import Group

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM tidings_events").fetchone()
print("held", flush=True)
sys.stdin.read()
"""


def change(file: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(statement)


@pytest.fixture
def reader(patient: Patient) -> Iterator[int]:
    """Another program that holds an old view of the file; its process."""
    command = [sys.executable, "-c", HOLD, str(patient.file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process.pid
        process.kill()


def test_a_file_that_is_no_database(patient: Patient) -> None:
    patient.file.write_bytes(b"these are the minutes of the meeting" * 200)

    found = patient.finding()

    assert found.severity == "error"
    assert "is damaged" in found.what
    assert "restore the file from a backup" in found.cure


def test_a_database_of_something_else(tmp_path: Path) -> None:
    patient = Patient(tmp_path)
    change(patient.file, "CREATE TABLE people(name TEXT)")
    patient.file.chmod(0o600)

    found = patient.finding()

    assert "has no log in it" in found.what
    assert found.cure.startswith("check the path")


def test_a_newer_schema(patient: Patient) -> None:
    change(patient.file, "UPDATE tidings_meta SET value = '999' WHERE name = 'schema'")

    found = patient.finding()

    assert found.severity == "error"
    assert found.what.startswith("it has schema 999, and this tidings knows ")
    assert "pip install --upgrade tidings" in found.cure


def test_an_older_schema(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    from tidings.log.sqlite import inspection, schema

    monkeypatch.setattr(inspection, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE tidings_later(x)"))

    found = patient.finding()

    assert found.severity == "note"
    assert "the next start brings it to" in found.what
    assert "back it up before" in found.cure


def test_a_file_that_lost_its_last_events(patient: Patient) -> None:
    copy = patient.folder / "copy"
    shutil.copy2(patient.file, copy)
    patient.run(4, 5)
    shutil.copy2(copy, patient.file)

    found = patient.finding()

    assert found.what.startswith("it ends 2 events before what was committed")
    assert f"remove {patient.file}-tidings" in found.cure


def test_a_record_that_is_not_what_was_written(patient: Patient) -> None:
    change(patient.file, "UPDATE tidings_events SET data = CAST('{}' AS BLOB) WHERE position = 2")

    found = patient.finding()

    assert found.what.startswith("1 of the records sampled are not what was written, at ")
    assert found.what.endswith("0000000000000002")
    assert "restore the file from a backup" in found.cure


def test_an_envelope_that_is_not_what_was_written(patient: Patient) -> None:
    change(patient.file, "UPDATE tidings_events SET envelope = CAST('[]' AS BLOB) WHERE position = 3")

    assert patient.finding().what.endswith("0000000000000003")


def test_a_log_without_its_folder(patient: Patient) -> None:
    shutil.rmtree(f"{patient.file}-tidings")

    found = patient.finding()

    assert "takes the file for a restored backup" in found.what
    assert "put orders.db-tidings back" in found.cure


def test_a_reserve_that_was_used_up(patient: Patient) -> None:
    Path(f"{patient.file}-tidings", "reserve").unlink()

    found = patient.finding()

    assert "its reserve was used up" in found.what
    assert "start the application again" in found.cure


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells who has a file open")
def test_a_wal_that_grows_because_somebody_reads_all_day(patient: Patient, reader: int) -> None:
    async def write(log: Log) -> None:
        for number in range(18):
            await log.append([Event(source="test", id=f"e{number}", type="order:created", data="x" * (4 << 20))])

    patient.with_log(write)

    found = next(each for each in patient.findings() if "-wal" in each.what)

    assert found.severity == "warning"
    assert "some reader keeps an old view of it open" in found.what
    assert f"process {reader}" in found.cure


def test_a_clock_that_is_behind_the_log(patient: Patient) -> None:
    now = os.stat(patient.file).st_mtime

    found = patient.finding(clock=ManualClock(now - 3600))

    assert found.severity == "warning"
    assert "after what this machine's clock says" in found.what
    assert "NTP" in found.cure


def test_a_large_file_names_the_group_that_holds_the_most_of_it(patient: Patient) -> None:
    patient.run(1, 2, 3)
    patient.with_log(lambda log: log.ledger.join(Group("orders.archive", ("order:created",))))
    os.truncate(patient.file, 11 << 30)

    told = [found.what for found in patient.findings() if "11.0 GiB" in found.what]

    assert len(told) == 1
    assert told[0].endswith("; orders.archive holds the most of it, with 6 events to come")


def test_a_file_of_many_gigabytes(patient: Patient) -> None:
    os.truncate(patient.file, 11 << 30)  # sparse: it has that size, and takes no room

    found = patient.finding()

    assert found.what.startswith("it has 11.0 GiB, and grows with every event")
    assert "'tidings trim --dry-run' says by rule who holds the disk" in found.cure
    assert found.severity == "note"
    assert "trim" in found.cure
