"""What a transaction of the user's own promises: their commit keeps the events, and their rollback leaves no trace.

A log without SQL refuses every connection, and that is all that is asked of it here.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from tidings.clock import ManualClock
from tidings.errors import ConfigurationError, IdReused, LogError, PartialDuplicate
from tidings.log.interface import Log
from tidings.log.position import START, order_in
from tidings.testing.log_conformance.words import LIMIT, Connect, new_drafts, new_event, raises, read_ids

Work = Callable[[Any], None]


async def test_a_connection_is_taken_if_and_only_if_the_log_has_sql(log: Log, connect: Connect) -> None:
    taken = await on_connection(log, connect, lambda connection: publish(log, connection, 0, 1))

    assert taken == log.has_sql
    assert await read_ids(log) == (["id-0"] if log.has_sql else [])


async def test_a_users_commit_keeps_events_and_writes_and_a_rollback_neither(log: Log, connect: Connect) -> None:
    def write(connection: Any) -> None:
        for number, end in enumerate([connection.commit, connection.rollback, connection.commit]):
            connection.execute(f"INSERT INTO own VALUES ({number})")
            publish(log, connection, number, number + 1)
            end()

    if await on_connection(log, connect, write):
        found = await log.scan(START)
        assert await read_ids(log) == ["id-0", "id-2"]
        assert [record.order for record in found.records] == sorted(record.order for record in found.records)
        assert await own(log, connect) == [0, 2]


async def test_a_block_without_a_transaction_commits_at_its_end_and_rolls_back_when_it_raises(
    log: Log, connect: Connect
) -> None:
    def write(connection: Any) -> None:
        for number in range(3):
            with contextlib.suppress(ZeroDivisionError), log.existing(connection) as tx:
                tx.execute(f"INSERT INTO own VALUES ({number})")
                tx.append(new_drafts(number, number + 1))
                assert tx.fetch(f"SELECT n FROM own WHERE n = {number}") == [(number,)]
                _ = 1 / (number - 1)

    if await on_connection(log, connect, write):
        assert await read_ids(log) == ["id-0", "id-2"]
        assert await own(log, connect) == [0, 2]


async def test_ids_that_are_recorded_are_recorded_once_and_refusals_leave_the_transaction_as_it_was(
    log: Log, connect: Connect
) -> None:
    await log.append([new_event(0)])

    def write(connection: Any) -> None:
        with log.existing(connection) as tx:
            tx.execute("INSERT INTO own VALUES (1)")
            assert tx.append(new_drafts(0, 1)).duplicate
            with raises(PartialDuplicate):
                tx.append(new_drafts(0, 2))
            with raises(IdReused):
                tx.append([*new_drafts(5, 6), *new_drafts(5, 6)])
            first = tx.append(new_drafts(1, 3))
            assert order_in(START) < order_in(first.first) < order_in(first.last)
            assert not first.duplicate
            assert tx.append(new_drafts(1, 3)).duplicate

    if await on_connection(log, connect, write):
        assert await read_ids(log) == ["id-0", "id-1", "id-2"]
        assert await own(log, connect) == [1]


async def test_log_time_never_falls_between_the_logs_writers_and_the_users(
    log: Log, connect: Connect, clock: ManualClock
) -> None:
    await log.append([new_event(0)])
    clock.set(clock.now() - 100)

    if await on_connection(log, connect, lambda connection: publish(log, connection, 1, 2)):
        clock.advance(300)
        assert await on_connection(log, connect, lambda connection: publish(log, connection, 2, 3))
        clock.set(clock.now() - 200)
        await log.append([new_event(3)])
        times = [record.recorded_at for record in (await log.scan(START)).records]
        assert times == sorted(times)
        assert times[0] == times[1] < times[2] == times[3]


async def test_a_reader_hears_of_a_users_commit_when_it_is_rung_for_and_soon_without(
    log: Log, connect: Connect
) -> None:
    slices = log.tail()
    waiting = asyncio.ensure_future(anext(slices))
    await asyncio.sleep(0)
    if not await on_connection(log, connect, lambda connection: publish_joined(log, connection, 0)):
        waiting.cancel()
        return

    first = await asyncio.wait_for(waiting, LIMIT)
    waiting = asyncio.ensure_future(anext(slices))
    assert await on_connection(log, connect, lambda connection: publish_joined(log, connection, 1))
    await log.ring()
    assert log.bell.tip == await log.head()
    second = await asyncio.wait_for(waiting, LIMIT)

    assert [len(each.records) for each in (first, second)] == [1, 1]


async def test_a_block_that_commits_rings_by_itself(log: Log, connect: Connect) -> None:
    if await on_connection(log, connect, lambda connection: publish(log, connection, 0, 1)):
        assert log.bell.tip == await log.head()


async def test_an_event_after_the_transaction_is_refused(log: Log, connect: Connect) -> None:
    def write(connection: Any) -> None:
        with log.existing(connection) as tx:
            tx.append(new_drafts(0, 1))
            connection.commit()
            with raises(LogError):
                tx.append(new_drafts(1, 2))
        connection.execute("INSERT INTO own VALUES (1)")
        with raises(LogError):
            tx.append(new_drafts(1, 2))
        connection.rollback()

    if await on_connection(log, connect, write):
        assert await read_ids(log) == ["id-0"]


async def on_connection(log: Log, connect: Connect, work: Work) -> bool:
    """Do `work` with a connection of the user's own, and a table of theirs; False when the log refuses them all."""
    if not log.has_sql:
        with raises(ConfigurationError), log.existing(object()):
            pass
        return False

    def on_thread() -> None:
        with opened(connect) as connection:
            work(connection)

    await asyncio.to_thread(on_thread)
    return True


async def own(log: Log, connect: Connect) -> list[int]:
    """What the user's own table holds."""
    found: list[int] = []

    def read(connection: Any) -> None:
        found.extend(row[0] for row in connection.execute("SELECT n FROM own ORDER BY n").fetchall())

    await on_connection(log, connect, read)
    return found


@contextlib.contextmanager
def opened(connect: Connect) -> Iterator[Any]:
    """A connection as the fixture makes it, closed afterwards."""
    connection = connect()
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS own(n INTEGER)")
        connection.commit()
        yield connection
    finally:
        connection.close()


def publish(log: Log, connection: Any, first: int, end: int) -> None:
    """Events in the connection's transaction, or in one of the block's."""
    with log.existing(connection) as tx:
        tx.append(new_drafts(first, end))


def publish_joined(log: Log, connection: Any, number: int) -> None:
    """An event in a transaction that is committed by the user."""
    connection.execute(f"INSERT INTO own VALUES ({number})")
    publish(log, connection, number, number + 1)
    connection.commit()
