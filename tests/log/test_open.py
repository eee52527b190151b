"""What a URL may say of its log."""

from pathlib import Path

import pytest

from tidings.errors import ConfigurationError, LogError
from tidings.log import open_log
from tidings.log.sqlite import SqliteLog


async def test_settings_stand_in_the_url(tmp_path: Path) -> None:
    log = await open_log(f"sqlite:///{tmp_path}/log.db?synchronous=NORMAL&lock_timeout=2")

    assert isinstance(log, SqliteLog)
    assert log.path == tmp_path / "log.db"
    assert log.threads.writer.lock_timeout == 2.0
    assert await log.threads.read(lambda connection: connection.execute("PRAGMA synchronous").fetchone()) == (1,)
    await log.close()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sync=off", "has no setting 'sync': it has synchronous, lock_timeout, lease"),
        ("lock_timeout=soon", "lock_timeout='soon' is no number"),
        ("synchronous=OFF", "synchronous='OFF' is not a way to keep events"),
    ],
)
async def test_a_setting_that_is_none_is_refused(tmp_path: Path, query: str, said: str) -> None:
    with pytest.raises((ConfigurationError, LogError), match=said):
        await open_log(f"sqlite:///{tmp_path}/log.db?{query}")


async def test_a_log_in_memory_takes_the_lease_that_suits_the_file_of_tomorrow() -> None:
    await (await open_log("memory:?lease=2")).close()
    with pytest.raises(ConfigurationError, match="has no setting 'synchronous': it has lease"):
        await open_log("memory:?synchronous=FULL")
