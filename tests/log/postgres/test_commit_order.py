"""Transactions commit in another order than they began, and a reader of the log misses none of their events."""

import random
import threading
import time
from asyncio import create_task, timeout, to_thread
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import psycopg
import pytest

from tidings.log import START, Log
from tidings.log.record import restore
from tidings.testing.log_conformance.words import closable, new_drafts, new_event

_WRITERS = 6
_LIMIT = 60.0  # seconds


@pytest.fixture
def connect(postgres_url: str) -> Callable[[], "psycopg.Connection[Any]"]:
    return lambda: psycopg.connect(postgres_url.partition("&schema=")[0])


class Writers:
    """Threads whose transactions pause between their events and their end, and are often rolled back."""

    def __init__(self, log: Log, connect: Callable[[], Any], chance: random.Random, rounds: int) -> None:
        self._log = log
        self._connect = connect
        self._seeds = [chance.random() for _ in range(_WRITERS)]
        self._rounds = rounds
        self.committed: set[str] = set()
        self.are_done = threading.Event()

    def run(self) -> None:
        threads = [threading.Thread(target=self._write, args=(number,)) for number in range(_WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_LIMIT)
        self.are_done.set()

    def _write(self, writer: int) -> None:
        chance = random.Random(self._seeds[writer])
        with self._connect() as connection:
            for round_ in range(self._rounds):
                drafts = new_drafts(number := (writer * self._rounds + round_) * 3, number + chance.randint(1, 3))
                with self._log.existing(self._began(connection)) as tx:
                    tx.append(drafts)
                time.sleep(chance.random() * 0.01)  # the pause is the fault: somebody else commits meanwhile
                if chance.random() < 0.3:
                    connection.rollback()
                else:
                    connection.commit()
                    self.committed.update(draft.id for draft in drafts)

    @staticmethod
    def _began(connection: Any) -> Any:
        connection.execute("SELECT 1")
        return connection


class NaiveReader:
    """Reads on from the highest position it has seen, as most readers of tables do."""

    def __init__(self, connect: Callable[[], Any], schema: str, writers: Writers) -> None:
        self._connect = connect
        self._sql = f"SELECT position, id FROM {schema}.events WHERE position > %s ORDER BY position"
        self._writers = writers
        self.seen: set[str] = set()

    def run(self) -> None:
        after, is_last = 0, False
        with self._connect() as connection:
            connection.autocommit = True
            while not is_last:
                is_last = self._writers.are_done.is_set()
                for position, event_id in connection.execute(self._sql.encode(), (after,)).fetchall():
                    after = position
                    self.seen.add(event_id)


@contextmanager
def threads_of(*works: Callable[[], None]) -> Iterator[None]:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(_LIMIT)


async def test_nothing_is_skipped_however_writers_overlap_and_a_naive_reader_skips(
    log: Log, connect: Callable[[], Any], seed: int, postgres_url: str, trials: Callable[[int], int]
) -> None:
    writers = Writers(log, connect, random.Random(seed), trials(60))
    naive = NaiveReader(connect, postgres_url.partition("&schema=")[2], writers)
    seen: list[str] = []
    positions: list[str] = []

    async def end() -> None:
        await to_thread(writers.are_done.wait, _LIMIT)
        await log.append([new_event("last")])

    with threads_of(writers.run, naive.run):
        ending = create_task(end())
        async with timeout(_LIMIT), aclosing(closable(log.tail(batch=7))) as slices:
            async for found in slices:
                seen += [restore(record, "").id for record in found.records]
                positions += [found.position(record) for record in found.records]
                if seen[-1] == "id-last":
                    break
        await ending

    assert positions == sorted(set(positions))
    assert set(seen) - {"id-last"} == writers.committed
    assert len(seen) == len(set(seen))
    skipped = writers.committed - naive.seen
    print(f"{len(writers.committed)} committed, a naive reader skipped {len(skipped)}")
    assert skipped  # else this test could not fail


async def test_an_open_transaction_holds_readers_back_and_its_end_sets_them_free(
    log: Log, connect: Callable[[], Any]
) -> None:
    before = await log.append([new_event(0)])
    holder = await to_thread(connect)
    await to_thread(holder.execute, "CREATE TABLE held(n integer)")

    after = await log.append([new_event(1)])
    held = (await log.scan(START), await log.head(), await log.tip())
    waiting = log.tail(after=before.last)
    next_one = anext(waiting)
    await to_thread(holder.rollback)
    found = await next_one

    assert (held[0].upto, held[0].at_head, len(held[0].records)) == (before.last, True, 1)
    assert (held[1], held[2]) == (before.last, after.last)
    assert found.upto == after.last
    await closable(waiting).aclose()
    await to_thread(holder.close)


async def test_a_reader_goes_on_within_50_ms_when_the_holder_ends(
    log: Log, connect: Callable[[], Any], trials: Callable[[int], int]
) -> None:
    holder = await to_thread(connect)
    await to_thread(holder.execute, "CREATE TABLE held(n integer)")
    await to_thread(holder.commit)
    delays: list[float] = []

    async with aclosing(closable(log.tail())) as slices:
        for number in range(trials(30)):
            await to_thread(holder.execute, "INSERT INTO held VALUES (1)")
            await log.append([new_event(number)])
            next_one = anext(slices)
            ended: list[float] = []

            def end() -> None:
                holder.rollback()
                ended.append(time.monotonic())  # noqa: B023  # used in this round only

            await to_thread(end)
            await next_one
            delays.append(time.monotonic() - ended[0])
    await to_thread(holder.close)

    print(f"median {sorted(delays)[len(delays) // 2] * 1000:.1f} ms, longest {max(delays) * 1000:.1f} ms")
    assert sorted(delays)[len(delays) * 9 // 10] < 0.05
