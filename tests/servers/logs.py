"""Logs in a private Postgres: a schema each in one database, which is far sooner made than a database each."""

import itertools
from collections.abc import Iterator

import psycopg
import pytest

from tests.servers.postgres import PostgresServer

_names = itertools.count()


@pytest.fixture(scope="session")
def quiet_postgres(postgres_server: PostgresServer) -> PostgresServer:
    """A Postgres in which nothing happens by itself: a vacuum of its own holds readers back for a moment.

    It need not survive the machine either; tests that kill a server have one of their own.
    """
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        for setting in ("autovacuum", "fsync"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off".encode())
        connection.execute("SELECT pg_reload_conf()")
    return postgres_server


@pytest.fixture(scope="session")
def postgres_database(quiet_postgres: PostgresServer) -> str:
    """One database for all: to make one takes longer than most tests."""
    return quiet_postgres.database()


@pytest.fixture
def postgres_url(postgres_database: str) -> Iterator[str]:
    """The URL of a new log, and of a place for tables of the user's own beside it."""
    name = f"user_{next(_names)}"
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
        yield f"{postgres_database}?options=-csearch_path%3D{name}&schema=log_{name}"
        _drop(connection, f"{name}, log_{name}")


def _drop(connection: psycopg.Connection, schemas: str) -> None:
    """A session that has just been closed may still hold a lock, and want one of those that this takes."""
    for is_last in (False, False, True):
        try:
            connection.execute(f"DROP SCHEMA IF EXISTS {schemas} CASCADE".encode())
        except psycopg.errors.DeadlockDetected:
            if is_last:
                raise
        else:
            return
