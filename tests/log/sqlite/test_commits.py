"""What a commit takes with it: failures on either side of it, and the calls that share one."""

import asyncio
import itertools
import random
import sqlite3
import threading

import pytest

from tests.log.sqlite.stage import effect, event, lease_of, recorded
from tidings.errors import CommitUnknown, IdReused, VersionConflict
from tidings.log import ANY, START, Settlement
from tidings.log.slices import Appended
from tidings.log.sqlite import SqliteLog


class OnceAt:
    """A hook that fails the first time the writer comes to `point`, and counts."""

    def __init__(self, point: str, error: Exception) -> None:
        self.point = point
        self.error = error
        self.visits = 0

    def __call__(self, point: str) -> None:
        if point == self.point:
            self.visits += 1
            if self.visits == 1:
                raise self.error


async def test_an_unknown_commit_is_retried_as_one_event(log: SqliteLog) -> None:
    log.threads.writer.hook = OnceAt("committed", OSError("the disk has gone"))
    with pytest.raises(CommitUnknown, match="retry with the same ids"):
        await log.append([event(1), event(2)], stream="s")

    again = await log.append([event(1), event(2)], stream="s")

    assert again.duplicate
    assert again.stream_version == 2
    assert await recorded(log) == ["id-1", "id-2"]


async def test_an_error_behind_the_commit_of_an_event_that_came_alone_is_made_good(log: SqliteLog) -> None:
    log.threads.writer.hook = OnceAt("committed", OSError("the disk has gone"))

    appended = await log.append([event(1)])

    assert appended.duplicate
    assert await recorded(log) == ["id-1"]


async def test_an_unknown_settlement_is_retried_with_one_effect(log: SqliteLog) -> None:
    await log.append([event(0)])
    settlement = Settlement(await lease_of(log), upto=await log.head(), events=[effect(1), effect(2)])
    log.threads.writer.hook = OnceAt("committed", OSError("the disk has gone"))
    with pytest.raises(CommitUnknown):
        await log.ledger.settle(settlement)

    assert await log.ledger.settle(settlement) is None

    assert await recorded(log) == ["id-0", "id-1", "id-2"]


async def test_an_unknown_commit_of_a_transaction_names_its_events(log: SqliteLog) -> None:
    log.threads.writer.hook = OnceAt("committed", OSError("the disk has gone"))

    with pytest.raises(CommitUnknown) as unknown:
        async with log.transaction() as tx:
            await log.append([event(1), event(2)], tx=tx)

    assert unknown.value.ids == ("id-1", "id-2")


@pytest.mark.parametrize("count", [1, 2])  # one goes another way
@pytest.mark.parametrize("point", ["begun", "written"])
async def test_what_fails_before_the_commit_is_tried_again_by_itself(log: SqliteLog, point: str, count: int) -> None:
    log.threads.writer.hook = OnceAt(point, sqlite3.OperationalError("for a moment"))

    appended = await log.append([event(number) for number in range(count)])

    assert not appended.duplicate
    assert await recorded(log) == [f"id-{number}" for number in range(count)]


async def test_what_fails_twice_before_the_commit_is_reported_and_undone(log: SqliteLog) -> None:
    def fail(point: str) -> None:
        if point == "written":
            raise sqlite3.OperationalError("for good")

    log.threads.writer.hook = fail
    with pytest.raises(Exception, match="for good"):
        await log.append([event(1)])
    log.threads.writer.hook = lambda point: None

    assert await recorded(log) == []
    assert not (await log.append([event(1)])).duplicate


@pytest.mark.parametrize("bad", ["conflict", "reused"])
async def test_a_group_commit_fails_only_the_one_that_is_wrong(log: SqliteLog, bad: str, seed: int) -> None:
    await log.append([event(1000)], stream="s")
    commits = OnceAt("committed", OSError())
    commits.visits = 1  # it only counts
    log.threads.writer.hook = commits
    calls = [log.append([event(number)], stream="s" if number % 3 == 0 else None, expect=ANY) for number in range(100)]
    wrong = (
        log.append([event(2000)], stream="s", expect=0) if bad == "conflict" else log.append([event(1000, data="x")])
    )
    index = random.Random(seed).randrange(100)
    calls.insert(index, wrong)

    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    failed = outcomes.pop(index)
    assert isinstance(failed, VersionConflict if bad == "conflict" else IdReused)
    assert all(isinstance(outcome, Appended) for outcome in outcomes)
    assert sorted(await recorded(log)) == sorted(["id-1000", *(f"id-{number}" for number in range(100))])
    versions = [record.stream_version async for found in log.read("s") for record in found.records]
    assert versions == list(range(1, 36))
    if bad == "conflict":  # seen before anything was written: the others still share their commits
        assert commits.visits < 50


async def test_a_batch_on_either_side_of_a_chunk_is_written_whole(log: SqliteLog) -> None:
    numbers = itertools.count()
    sizes = (1, 9, 10, 11, 99, 100, 101, 110, 111, 999, 1000, 1001)

    for size in sizes:
        await log.append([event(next(numbers)) for _ in range(size)], stream="s")

    assert await recorded(log) == [f"id-{number}" for number in range(sum(sizes))]


async def test_positions_are_dense_when_nothing_fails(log: SqliteLog) -> None:
    await asyncio.gather(*[log.append([event(number)]) for number in range(200)])

    assert [record.order for record in (await log.scan(START)).records] == list(range(1, 201))


async def test_who_waits_for_a_commit_is_not_kept_waiting_for_the_checkpoint(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def checkpoint(mode: str) -> None:
        begun.set()
        assert may_end.wait(30), "nobody let the checkpoint end"

    monkeypatch.setattr(log.threads.writer._wal, "checkpoint", checkpoint)
    monkeypatch.setattr(log.threads.writer._sidecar, "add_weight", lambda weight, limit: True)
    try:
        async with asyncio.timeout(30):
            await log.append([event(number) for number in range(500)])
        assert await asyncio.to_thread(begun.wait, 30)
    finally:
        may_end.set()

    assert len(await recorded(log)) == 500
