"""Streams that several processes append to at once: each version once, and nobody waits for ever for another."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from tidings.errors import VersionConflict
from tidings.log import Log, open_log
from tidings.log.postgres.session import Overtaken, Session
from tidings.log.slices import Appended
from tidings.testing.log_conformance.words import new_drafts, new_event, new_events, read_stream, versions_of

_STREAMS = ("a", "b", "c")


@pytest.fixture
async def logs(postgres_url: str) -> AsyncIterator[list[Log]]:
    logs = [await open_log(postgres_url) for _ in range(3)]
    yield logs
    for log in logs:
        await log.close()


async def test_versions_are_dense_whoever_appends(logs: list[Log], seed: int) -> None:
    chance = random.Random(seed)
    appends = [
        chance.choice(logs).append(new_events(number * 3, number * 3 + chance.randint(1, 3)), stream=stream)
        for number in range(120)
        for stream in [chance.choice(_STREAMS)]
    ]

    outcomes = await asyncio.gather(*appends)

    for stream in _STREAMS:
        records = await read_stream(logs[0], stream)
        assert versions_of(records) == list(range(1, len(records) + 1))
        assert [record.order for record in records] == sorted(record.order for record in records)
    assert len({(outcome.first, outcome.last) for outcome in outcomes}) == len(outcomes)


async def test_versions_lie_in_the_log_as_they_rise_although_an_older_transaction_comes_later(logs: list[Log]) -> None:
    for stream in ("a", "b"):
        await logs[0].append([new_event(stream)], stream=stream)
    threads = logs[0].threads  # type: ignore[attr-defined]  # a PostgresLog
    connection = await asyncio.to_thread(threads.connect)
    session = Session(connection, threads.edge.life, None)

    await asyncio.to_thread(session.append, new_drafts(1, 2), "a")  # locks its row, so that it has its number
    await logs[1].append([new_event(2)], stream="b")
    await asyncio.to_thread(session.append, new_drafts(3, 4), "b")

    with pytest.raises(Overtaken):
        await asyncio.to_thread(session.finish)
    await asyncio.to_thread(connection.close)


async def test_one_of_the_processes_that_expect_a_version_wins(logs: list[Log]) -> None:
    for version in range(6):
        attempts = [
            log.append([new_event(f"{version}-{number}")], stream="a", expect=version)
            for number, log in enumerate(logs * 3)
        ]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)

        assert sum(isinstance(outcome, Appended) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, VersionConflict) for outcome in outcomes) == len(attempts) - 1
    assert versions_of(await read_stream(logs[1], "a")) == [1, 2, 3, 4, 5, 6]


async def test_the_same_batch_from_several_processes_is_recorded_once(logs: list[Log]) -> None:
    for batch in range(10):
        events = new_events(batch * 5, batch * 5 + 5)
        outcomes = await asyncio.gather(*(log.append(events) for log in logs))

        assert [outcome.duplicate for outcome in outcomes].count(False) == 1
        assert len({outcome.first for outcome in outcomes}) == 1
