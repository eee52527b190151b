"""Where a log may lie: who can read it, and which files and folders are refused."""

import asyncio
import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.log.sqlite.stage import event, made, refused_at_open
from tidings.errors import ConfigurationError, LogReadOnly
from tidings.log.sqlite import SqliteLog


async def test_only_its_owner_can_read_a_log(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        log = await SqliteLog.open(tmp_path / "log.db")
        await log.append([event(1)])
        await log.ledger.enter()
        kinds = await asyncio.to_thread(lambda: {it: stat.S_IMODE(it.stat().st_mode) for it in tmp_path.rglob("*")})
        await log.close()
    finally:
        os.umask(before)

    names = {it.name for it in kinds}
    assert {
        "log.db",
        "log.db-wal",
        "log.db-shm",
        "log.db-tidings",
        "lock",
        "turn",
        "bell",
        "reserve",
        "members",
    } <= names
    folders = {it for it in kinds if it.name in ("log.db-tidings", "members")}
    assert {oct(kinds[it]) for it in folders} == {"0o700"}
    assert {oct(kinds[it]) for it in kinds.keys() - folders} == {"0o600"}


async def test_a_relative_path_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.to_thread(monkeypatch.chdir, tmp_path)

    await made(Path("log.db"))

    assert await asyncio.to_thread((tmp_path / "log.db").exists)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    refused_at_open(tmp_path / "nowhere" / "log.db", ConfigurationError, "does not exist: create it first")


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")

    refused_at_open(tmp_path / "link.db", ConfigurationError, "symbolic link")

    assert not (tmp_path / "real.db").exists()


def test_a_folder_that_everybody_can_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    refused_at_open(tmp_path / "log.db", ConfigurationError, "writable by everybody")


def test_a_folder_that_cannot_be_written_is_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for mode in (0o555, 0o000):
            Path(folder).chmod(mode)

            with unprivileged():
                refused_at_open(Path(folder) / "log.db", LogReadOnly, "read-only")
        Path(folder).chmod(0o700)


def test_a_file_that_cannot_be_written_is_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.db"
        asyncio.run(made(path))
        path.chmod(0o400)
        Path(folder).chmod(0o755)

        with unprivileged():
            refused_at_open(path, LogReadOnly, "read-only")


def test_a_read_only_file_system_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir = Path.mkdir

    def refuse(folder: Path, *arguments: Any, **options: Any) -> None:
        if folder.name.endswith("-tidings"):
            raise OSError(30, "Read-only file system")
        mkdir(folder, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)

    refused_at_open(path, LogReadOnly, "read-only")


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write everywhere: be nobody for a while."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
