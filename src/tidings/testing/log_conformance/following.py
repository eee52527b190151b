"""What a tail and the bell promise whoever waits for news."""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any

from tidings.log.group import Group
from tidings.log.interface import Log
from tidings.log.position import START
from tidings.log.slices import Where
from tidings.testing.log_conformance.words import LIMIT, Reopen, closable, ids_of, new_event, new_events, read_ids


async def test_a_tail_catches_up_and_then_follows(log: Log) -> None:
    await log.append(new_events(0, 30))
    tail = log.tail(batch=8)

    async def write() -> None:
        for number in range(30, 90):
            await log.append([new_event(number)])

    writing = asyncio.ensure_future(write())
    ids, positions = [], [START]
    async with asyncio.timeout(LIMIT):
        async with contextlib.aclosing(closable(tail)) as slices:
            async for found in slices:
                ids += ids_of(found)
                assert found.after == positions[-1]
                assert len(found.records) <= 8
                positions.append(found.upto)
                if len(ids) >= 90:
                    break
        await writing

    assert ids == [f"id-{number}" for number in range(90)]
    assert positions == sorted(set(positions))


async def test_a_tail_begins_where_it_is_told_and_shows_what_is_wanted(log: Log) -> None:
    after = (await log.append([new_event(0, type="news"), new_event(1)])).last
    await log.append([new_event(2), new_event(3, type="news")])
    tail = log.tail(after=after, where=Where(types=frozenset({"news"})))

    async with asyncio.timeout(LIMIT), contextlib.aclosing(closable(tail)) as slices:
        found = await anext(slices)

    assert ids_of(found) == ["id-3"]


async def test_a_tail_ends_when_it_is_cancelled_and_the_log_goes_on(log: Log) -> None:
    async def follow() -> None:
        async with contextlib.aclosing(closable(log.tail())) as slices:
            async for _ in slices:
                pass

    following = asyncio.ensure_future(follow())
    await log.append([new_event(0)])
    following.cancel()
    await asyncio.wait([following], timeout=LIMIT)

    assert following.cancelled()
    assert await read_ids(log) == ["id-0"]


async def test_the_bell_rings_for_events_and_for_operators(log: Log) -> None:
    ear = log.bell.listen()

    async def rings_for(change: Awaitable[Any]) -> bool:
        asking = asyncio.get_running_loop().time()
        await change
        await ear.wait(LIMIT)
        return asyncio.get_running_loop().time() - asking < LIMIT / 2

    assert await rings_for(log.append([new_event(0)]))
    assert await rings_for(log.ledger.join(Group("g")))
    assert await rings_for(log.ledger.set_state("g", "paused"))
    log.bell.forget(ear)


async def test_a_waiting_reader_is_woken_by_another_writer(log: Log, reopen: Reopen) -> None:
    other = await reopen()
    try:
        async with asyncio.timeout(LIMIT), contextlib.aclosing(closable(log.tail())) as slices:
            waiting = asyncio.ensure_future(anext(slices))
            await other.append([new_event(0)])

            assert ids_of(await waiting) == ["id-0"]
    finally:
        await other.close()
