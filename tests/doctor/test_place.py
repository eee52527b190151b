"""Seeded faults of the place a log lies in, each found, with its cure."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.doctor.conftest import Patient

SOURCE = Path(__file__).parents[2] / "src"
AS_NOBODY = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tidings.doctor import examine, gather
os.setuid(65534)
for each in examine(gather(url=f"sqlite:///{sys.argv[2]}", variables={})):
    print(each.severity, each.what, each.cure, sep="|")
"""


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    found = Patient(tmp_path / "missing").finding()

    assert found.severity == "error"
    assert found.what == f"its folder {tmp_path / 'missing'} does not exist"
    assert found.cure == f"mkdir -p {tmp_path / 'missing'}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_that_this_user_may_not_write_to(patient: Patient) -> None:
    for each in (patient.folder, *patient.folder.parents):
        if each == patient.folder or each.name.startswith(("pytest-", "popen-")):  # made for this run of the tests
            each.chmod(0o755)
    patient.file.chmod(0o604)

    told = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(SOURCE), str(patient.file)], capture_output=True, text=True, timeout=60
    )

    assert told.stderr == ""
    assert "error|this user may not write to it, or not to its folder|chown the file and" in told.stdout


def test_a_folder_that_everybody_may_write_to(patient: Patient) -> None:
    patient.folder.chmod(0o777)

    found = patient.finding()

    assert found.severity == "error"
    assert "writable by everybody" in found.what
    assert found.cure == f"chmod o-w {patient.folder}"


def test_a_file_that_is_a_link(patient: Patient) -> None:
    real = patient.folder / "real.db"
    for suffix in ("", "-tidings"):
        Path(f"{patient.file}{suffix}").rename(f"{real}{suffix}")
    Path(f"{real}-tidings").rename(f"{patient.file}-tidings")
    patient.file.symlink_to(real)

    found = patient.finding()

    assert "symbolic link" in found.what
    assert found.cure == f"name the file itself, {real}"


def test_a_network_file_system(patient: Patient, tmp_path: Path) -> None:
    device = os.stat(patient.folder).st_dev
    mounts = tmp_path / "mountinfo"
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts.write_text(f"36 35 {number} / {patient.folder} rw,noatime - nfs4 server:/export rw\n")

    found = patient.finding(mounts=mounts)

    assert "network file system (nfs4)" in found.what
    assert "local disk" in found.cure


@pytest.mark.parametrize(
    ("free", "severity", "cure"),
    [(10 << 20, "error", "make room at once"), (900 << 20, "warning", "make room, or move")],
)
def test_a_disk_that_is_nearly_full(patient: Patient, free: int, severity: str, cure: str) -> None:
    found = patient.finding(usage=lambda folder: (100 << 30, (100 << 30) - free, free))

    assert found.severity == severity
    assert found.what == f"{free >> 20} MiB are left on its disk"
    assert found.cure.startswith(cure)


def test_a_file_that_others_may_read(patient: Patient) -> None:
    patient.file.chmod(0o644)

    found = patient.finding()

    assert found.what == "its rights are 644: others may read what is in it"
    assert found.cure == f"chmod 600 {patient.file}"


def test_a_process_that_ends_while_the_doctor_looks_who_has_the_file_open(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, asked = os.scandir, []

    def gone_for_one(place: Any = ".") -> Any:
        if str(place) == f"/proc/{os.getppid()}/fd":
            asked.append(place)
            raise FileNotFoundError(place)
        return scan(place)

    monkeypatch.setattr(os, "scandir", gone_for_one)

    assert patient.findings() == []
    assert asked
