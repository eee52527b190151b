"""A doctor harms nobody, and finds nothing where nothing is."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.doctor.conftest import OrderCreated, Patient, files_of, settled
from tidings.doctor import CHECKS


def test_nothing_is_found_in_an_application_that_is_well(patient: Patient) -> None:
    assert patient.findings() == []


def test_nothing_is_found_before_the_first_start(tmp_path: Path) -> None:
    assert Patient(tmp_path).findings() == []


async def test_nothing_is_found_and_nobody_is_disturbed_while_it_runs(tmp_path: Path) -> None:
    patient = await asyncio.to_thread(Patient, tmp_path)

    async with patient.app.running(), asyncio.timeout(60):
        await patient.app.publish(OrderCreated("ada"))
        for _ in range(5):
            await settled(patient.app)
            assert await asyncio.to_thread(patient.findings) == []
            await patient.app.publish(OrderCreated("ada"))


def test_looking_changes_no_file_and_leaves_none_behind(patient: Patient) -> None:
    before = files_of(patient.folder)

    patient.findings()

    assert files_of(patient.folder) == before


async def test_what_a_killed_process_left_in_the_wal_is_seen_and_stays_there(tmp_path: Path) -> None:
    await asyncio.to_thread((tmp_path / "lives").mkdir)
    patient = Patient(tmp_path / "lives")
    async with patient.app:
        for _ in range(3):
            await patient.app.publish(OrderCreated("ada"))
        await asyncio.to_thread(shutil.copytree, tmp_path / "lives", tmp_path / "killed")
    killed = Patient(tmp_path / "killed")
    before = await asyncio.to_thread(files_of, killed.folder)

    found = await asyncio.to_thread(killed.findings)

    after = await asyncio.to_thread(files_of, killed.folder)
    assert found == []
    assert before["orders.db-wal"][0]
    assert {name: file for name, file in after.items() if not name.endswith("-shm")} == {
        name: file for name, file in before.items() if not name.endswith("-shm")
    }


def test_every_check_says_what_it_looks_for_and_has_a_name_of_its_own() -> None:
    assert all(check.__doc__ for check in CHECKS)
    assert len({check.__name__ for check in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize("check", CHECKS)
def test_no_check_fails_where_there_is_no_application(check: object) -> None:
    from tidings.doctor import gather

    assert list(check(gather(variables={}))) == []  # type: ignore[operator]  # its type is lost in the parameter
