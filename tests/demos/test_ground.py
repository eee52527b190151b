"""Where a play stands: names of its own on a broker, a database of its own, and what is refused before it begins."""

from asyncio import to_thread
from pathlib import Path

import psycopg
import pytest

from tests.servers.postgres import PostgresServer
from tidings.demos.shop.ground import ground
from tidings.errors import ConfigurationError, LogUnreachable


async def prefix_in(folder: Path, broker: str) -> str:
    async with ground(folder, broker, None) as place:
        assert place.broker.startswith(broker)
        return place.prefix


async def test_each_play_has_names_of_its_own_and_one_that_is_continued_has_those_it_had(tmp_path: Path) -> None:
    await to_thread((tmp_path / "other").mkdir)
    first = await prefix_in(tmp_path, "redis://host")

    assert first.startswith("shop")
    assert await prefix_in(tmp_path, "redis://host") == first
    assert await prefix_in(tmp_path / "other", "redis://host") != first
    assert await prefix_in(tmp_path, "redis://host?prefix=mine") == "mine"


@pytest.mark.parametrize("is_bus", [True, False], ids=["bus", "logs"])
async def test_a_database_is_the_plays_own_and_goes_with_it(
    postgres_server: PostgresServer, tmp_path: Path, *, is_bus: bool
) -> None:
    url = f"{postgres_server.url}?connect_timeout=5"

    async with ground(tmp_path, url if is_bus else None, None if is_bus else url) as place:
        own = place.broker or place.logs
        [name] = await to_thread(databases, postgres_server)
        assert own == url.replace("/postgres?", f"/{name}?")
    assert await to_thread(databases, postgres_server) == []


def databases(server: PostgresServer) -> list[str]:
    with psycopg.connect(server.url) as connection:
        return [
            name for (name,) in connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'tidings_%'")
        ]


@pytest.mark.parametrize(
    ("broker", "logs", "is_begun", "told"),
    [
        ("memory:bus", None, False, "lives in one process"),
        (None, "sqlite:///logs.db", False, "--log sqlite:///logs.db: .* Postgres server"),
        (None, "redis://ann:secret@host", False, r"--log redis://ann:\*\*\*@host: .* given with --broker"),
        (None, "postgresql://host/db", True, "cannot be continued: give another --dir"),
        ("postgresql://host/db", None, True, "cannot be continued: give another --dir"),
        ("sqlite:///{folder}/bus.db", None, False, "is there already"),
        ("pigeon://loft", None, False, "is not the URL of a broker"),
    ],
)
async def test_what_would_not_end_well_is_refused(
    broker: str | None, logs: str | None, told: str, tmp_path: Path, *, is_begun: bool
) -> None:
    await to_thread((tmp_path / ("gateway.db" if is_begun else "bus.db")).touch)

    with pytest.raises(ConfigurationError, match=told):
        async with ground(tmp_path, broker and broker.replace("{folder}", str(tmp_path)), logs):
            pass


async def test_a_database_server_that_is_away_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(LogUnreachable, match="Connection refused"):
        async with ground(tmp_path, None, "postgresql://127.0.0.1:1/db"):
            pass
