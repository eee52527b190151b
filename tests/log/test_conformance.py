"""Every log keeps the promises of the seam. A new log needs one more row here."""

import itertools
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tidings.clock import ManualClock
from tidings.log import Log, open_log
from tidings.testing.log_conformance import *  # noqa: F403  # the suite is this file's content

DURABLE = {"memory": False, "sqlite": True, "postgres": True}
_names = itertools.count()


@pytest.fixture(params=sorted(DURABLE))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    if kind == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return {"memory": f"memory:conformance-{next(_names)}", "sqlite": f"sqlite:///{tmp_path}/log.db"}[kind]


@pytest.fixture
def durable(kind: str) -> bool:
    return DURABLE[kind]


@pytest.fixture
def connect(kind: str, url: str) -> Callable[[], Any]:
    if kind == "postgres":
        return lambda: psycopg.connect(url.partition("&schema=")[0])
    return lambda: sqlite3.connect(url.removeprefix("sqlite:///"))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def reopen(url: str, clock: ManualClock) -> Callable[[], Awaitable[Log]]:
    return lambda: open_log(url, clock=clock)


@pytest.fixture
async def log(reopen: Callable[[], Awaitable[Log]]) -> AsyncIterator[Log]:
    log = await reopen()
    yield log
    await log.close()
