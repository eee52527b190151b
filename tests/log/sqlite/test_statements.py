"""The caller's own SQL in a log's transactions: it commits with the events, or not at all."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.log.sqlite.stage import effect, event, lease_of, recorded
from tidings.errors import Conflict
from tidings.log import START, Settlement
from tidings.log.sqlite import SqliteLog


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the log says; pytest's own handlers would block the event loop with their files."""
    lines: list[str] = []
    handler, logger = logging.Handler(), logging.getLogger("tidings")
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]  # that is all it does
    logger.addHandler(handler)
    logger.propagate = False
    yield lines
    logger.propagate = True
    logger.removeHandler(handler)


async def test_a_transactions_statements_and_events_commit_together(log: SqliteLog) -> None:
    async with log.transaction() as tx:
        tx.execute("CREATE TABLE stock(item TEXT PRIMARY KEY, count INTEGER)")

    async with log.transaction() as tx:
        tx.execute("INSERT INTO stock VALUES ('cd', 3)", rows=1)
        await log.append([event(1)], tx=tx)

    async def sell_what_is_not_there() -> None:
        async with log.transaction() as tx:
            tx.execute("UPDATE stock SET count = 2 WHERE item = 'cd'", rows=1)
            await log.append([event(2)], tx=tx)
            tx.execute("UPDATE stock SET count = 0 WHERE item = 'lp'", rows=1)

    with pytest.raises(Conflict):
        await sell_what_is_not_there()

    assert await tx.fetch("SELECT item, count FROM stock") == [("cd", 3)]
    assert await recorded(log) == ["id-1"]


async def test_a_transaction_again_runs_none_of_its_statements_and_says_so(log: SqliteLog, said: list[str]) -> None:
    async with log.transaction() as tx:
        tx.execute("CREATE TABLE stock(item TEXT, count INTEGER)")

    for _ in range(2):
        async with log.transaction() as tx:
            tx.execute("INSERT INTO stock VALUES ('cd', 3)", rows=1)
            await log.append([event(1)], tx=tx)
    async with log.transaction() as tx:
        await log.append([event(1)], tx=tx)  # nothing else is in it: an event that is recorded once

    assert await tx.fetch("SELECT item, count FROM stock") == [("cd", 3)]
    assert [line[:58] for line in said] == ["transaction passed over events=id-1 statements=1 timers=0:"]


async def test_a_settlements_writes_commit_with_it_or_not_at_all(log: SqliteLog) -> None:
    await log.append([event(0)])
    lease, upto = await lease_of(log), await log.head()
    make: Any = ("CREATE TABLE stock(item TEXT)", (), None)
    await log.ledger.settle(Settlement(lease, writes=[make]))
    wrong: Any = [("INSERT INTO stock VALUES ('cd')", (), 1), ("DELETE FROM stock WHERE item = 'lp'", (), 1)]

    with pytest.raises(Conflict):
        await log.ledger.settle(Settlement(lease, upto=upto, events=[effect(1)], writes=wrong))

    assert await recorded(log) == ["id-0"]
    assert (await log.ledger.groups())[0].position == START
    assert await log.recorder().fetch("SELECT * FROM stock") == []
