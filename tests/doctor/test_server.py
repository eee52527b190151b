"""Seeded faults of a Postgres server, each found, with its cure."""

import asyncio
from typing import Any

import msgspec
import psycopg
import pytest

from tests.brokers.words import own_name
from tests.servers.fixtures import require
from tests.servers.postgres import PostgresServer
from tidings import App
from tidings.doctor import Finding, examine, gather
from tidings.doctor.facts import Facts
from tidings.log import open_log
from tidings.log.postgres import inspection


@pytest.fixture
def url(postgres_server: PostgresServer) -> str:
    url = postgres_server.database()

    async def make() -> None:
        await (await open_log(url)).close()

    asyncio.run(make())
    return url


def found(url: str, **facts: Any) -> list[Finding]:
    return [each for each in examine(looked_at(url, **facts)) if each.subject.startswith("postgresql:")]


def looked_at(url: str, **facts: Any) -> Facts:
    known = gather(App("orders", url))
    (server,) = known.servers
    return msgspec.structs.replace(known, servers=(msgspec.structs.replace(server, **facts),))


def test_a_sound_server_is_no_finding(url: str) -> None:
    assert found(url, holders=(), settings={"fsync": "on"}) == []


def test_the_session_that_holds_readers_back_is_named(url: str) -> None:
    with psycopg.connect(url, application_name="nightly report") as holder:
        holder.execute("CREATE TABLE report(n integer)")
        pid = holder.info.backend_pid
        server = looked_at(url).servers[0]
        (own,) = [each for each in server.holders if each.pid == pid]

        (finding,) = found(url, holders=(msgspec.structs.replace(own, age=90.0),), settings={})
        holder.rollback()

    assert finding.severity == "warning"
    assert f"session {pid} (nightly report) of tidings" in finding.what
    assert "open for 90 s" in finding.what
    assert "idle in transaction: CREATE TABLE report" in finding.what
    assert f"pg_terminate_backend({pid})" in finding.cure


def test_a_transaction_that_is_short_is_no_finding(url: str) -> None:
    with psycopg.connect(url) as holder:
        holder.execute("CREATE TABLE report(n integer)")

        assert [each for each in found(url) if "transaction open" in each.what] == []
        holder.rollback()


def test_a_server_that_does_not_flush_is_an_error() -> None:
    require(PostgresServer)
    with PostgresServer(fsync="off", synchronous_commit="off") as server:
        findings = found(server.url)

    assert [(each.severity, each.cure) for each in findings] == [
        ("error", "set fsync = on in postgresql.conf"),
        ("warning", "set synchronous_commit = on for this database or role"),
    ]


def test_standbys_that_nobody_waits_for(url: str) -> None:
    settings = {"synchronous_standby_names": "s1", "synchronous_commit": "local"}

    (finding,) = found(url, holders=(), settings=settings)

    assert "a failover loses events" in finding.what


def test_a_server_that_is_not_there(url: str) -> None:
    (finding,) = examine_unreachable()

    assert finding.severity == "error"
    assert "cannot be reached" in finding.what
    assert "secret" not in f"{finding}"


def examine_unreachable() -> list[Finding]:
    facts = gather(App("orders", "postgresql://me:secret@127.0.0.1:1/shop"))
    return [each for each in examine(facts) if each.subject.startswith("postgresql:")]


def test_a_newer_schema(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE tidings.meta SET value = '99' WHERE name = 'schema'")

    (finding,) = found(url, holders=(), settings={})

    assert "its schema is version 99" in finding.what


def test_who_may_not_read_the_tables_is_told_so(url: str, postgres_server: PostgresServer) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(f"CREATE ROLE {(stranger := own_name())} LOGIN")

    (finding,) = [
        each
        for each in examine(gather(App("orders", url.replace("tidings@", f"{stranger}@"))))
        if each.subject != "orders"
    ]

    assert finding.severity == "error"
    assert "permission denied" in finding.what


def test_a_setting_that_is_no_number_is_told(url: str) -> None:
    findings = examine(gather(App("orders", f"{url}?lease=soon")))

    assert any("soon" in each.what for each in findings)


def test_a_lock_on_the_tables_is_no_end_of_the_doctor(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "_ANSWER_WITHIN", 0.3)
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE tidings.groups IN ACCESS EXCLUSIVE MODE")

        findings = examine(gather(App("orders", url)))

    assert any("the server has not answered for 0.3 s" in each.what for each in findings)
