"""The tables are made once, by one of those who want them; and a log that comes to another server begins anew."""

import asyncio
import os
import subprocess
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.servers.postgres import PostgresServer, binaries
from tidings.errors import ConfigurationError, LogReadOnly, LogTruncated, NewerSchema
from tidings.log import START, look_into, open_log
from tidings.log.group import Group
from tidings.testing.log_conformance.words import new_event, new_events, read_ids


async def test_many_who_open_a_new_log_at_once_make_one(postgres_url: str) -> None:
    logs = await asyncio.gather(*(open_log(postgres_url) for _ in range(6)))

    await asyncio.gather(*(log.append([new_event(number)]) for number, log in enumerate(logs)))
    ids = [sorted(await read_ids(log)) for log in logs]

    assert ids == [[f"id-{number}" for number in range(6)]] * 6
    await asyncio.gather(*(log.close() for log in logs))


async def test_who_only_looks_makes_and_changes_nothing(postgres_url: str) -> None:
    with pytest.raises(ConfigurationError, match="there is no log"):
        await look_into(postgres_url)
    log = await open_log(postgres_url)
    await log.append([new_event(0)])

    looking = await look_into(postgres_url)
    with pytest.raises(LogReadOnly):
        await looking.append([new_event(1)])

    assert await read_ids(looking) == ["id-0"]
    assert await looking.ledger.groups() == []
    await looking.close()
    await log.close()


async def test_a_newer_schema_is_refused(postgres_url: str, connect: Callable[[], Any]) -> None:
    await (await open_log(postgres_url)).close()
    schema = postgres_url.partition("&schema=")[2]

    def age() -> None:
        with connect() as connection:
            connection.execute(f"UPDATE {schema}.meta SET value = '99' WHERE name = 'schema'")

    await asyncio.to_thread(age)

    with pytest.raises(NewerSchema) as refused:
        await open_log(postgres_url)
    assert refused.value.found == 99


async def test_a_schema_of_somebody_else_is_left_alone(postgres_url: str, connect: Callable[[], Any]) -> None:
    schema = postgres_url.partition("&schema=")[2]

    def take() -> None:
        with connect() as connection:
            connection.execute(f"CREATE SCHEMA {schema} CREATE TABLE mine(n integer)")

    await asyncio.to_thread(take)

    with pytest.raises(ConfigurationError, match="somebody else"):
        await open_log(postgres_url)


@pytest.mark.parametrize("schema", ["Mine", "a b", 'x"; DROP TABLE y', "pg_mine", "", "1st"])
async def test_only_a_plain_name_is_taken_for_a_schema(schema: str) -> None:
    with pytest.raises(ConfigurationError, match="plain name"):
        await open_log("postgresql://127.0.0.1:1/shop", schema=schema)


async def test_a_dump_restored_on_another_server_begins_another_epoch(
    postgres_server: PostgresServer, own_server: PostgresServer
) -> None:
    there, here = own_server.url, postgres_server.database()
    log = await open_log(there)
    for number in range(5):  # so that its transactions have higher numbers than are possible in the other at first
        await log.append([new_event(number)])
    await log.ledger.join(Group("g"))
    before = await log.head()
    dumped = await asyncio.to_thread(run, "pg_dump", "--schema=tidings", f"--dbname={there}")
    later = await log.append([new_event("lost")])
    await log.close()
    await asyncio.to_thread(run, "psql", "--quiet", f"--dbname={here}", input=dumped)

    restored = await open_log(here)
    appended = await restored.append(new_events(10, 12))
    seen = await restored.scan(before)

    assert appended.first > before
    assert seen.upto == appended.last
    assert len(seen.records) == 2
    assert await read_ids(restored) == [*(f"id-{number}" for number in range(5)), "id-10", "id-11"]
    with pytest.raises(LogTruncated):
        await restored.scan(later.last)
    await restored.close()


async def test_transactions_older_than_the_log_can_record_in_it(postgres_url: str, connect: Callable[[], Any]) -> None:
    old = await asyncio.to_thread(connect)
    await asyncio.to_thread(old.execute, "CREATE TABLE early(n integer)")
    log = await open_log(postgres_url)

    def publish() -> None:
        from tidings.testing.log_conformance.words import new_drafts

        with log.existing(old) as tx:
            tx.append(new_drafts(0, 1))
        old.commit()
        old.close()

    await asyncio.to_thread(publish)
    await log.append([new_event(1)])

    found = await log.scan(START)
    assert await read_ids(log) == ["id-0", "id-1"]
    assert found.records[0].order > 0
    await log.close()


def run(program: str, *arguments: str, input: str = "") -> str:
    folder = binaries()
    assert folder is not None
    environment = os.environ | {"PGOPTIONS": "--client-min-messages=warning"}
    done = subprocess.run(
        [str(folder / program), *arguments],
        input=input,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environment,
    )
    return done.stdout


def test_a_password_is_shown_nowhere(postgres_url: str) -> None:
    secret = postgres_url.replace("tidings@", "tidings:hunter2@")

    async def look() -> str:
        log = await open_log(secret)
        try:
            with pytest.raises(ConfigurationError) as refused:
                await log.shrink()
            return f"{log.url} {log!r} {refused.value} {log.threads.schema}"  # type: ignore[attr-defined]  # ours
        finally:
            await log.close()

    assert "hunter2" not in asyncio.run(look())
    with pytest.raises(ConfigurationError) as wrong:
        asyncio.run(open_log(f"{secret}&lease=soon"))
    assert "hunter2" not in str(wrong.value)


def test_psycopg_is_told_how_to_get(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from tidings.errors import MissingExtra

    for name in [name for name in sys.modules if name.startswith("tidings.log.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(MissingExtra, match=r"pip install 'tidings\[postgres\]'"):
        asyncio.run(open_log("postgresql://127.0.0.1:1/shop"))
    assert psycopg
