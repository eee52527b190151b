"""A handler's own SQL may mark its parameters as for SQLite, so that one handler serves both."""

import pytest

from tidings.log import Log
from tidings.log.postgres.language import portable


@pytest.mark.parametrize(
    ("sql", "count", "said"),
    [
        ("INSERT INTO t VALUES (?, ?)", 2, "INSERT INTO t VALUES (%s, %s)"),
        ("SELECT 7 % ?", 1, "SELECT 7 %% %s"),
        ("SELECT data ? 'key'", 0, "SELECT data ? 'key'"),
        ("SELECT data ? %s", 1, "SELECT data ? %s"),
        ("SELECT data ? 'key' WHERE a = ?", 1, "SELECT data ? 'key' WHERE a = ?"),
    ],
)
def test_marks_are_told_from_operators(sql: str, count: int, said: str) -> None:
    assert portable(sql, count) == said


async def test_both_marks_serve_in_a_transaction(log: Log) -> None:
    async with log.transaction() as tx:
        tx.execute("CREATE TABLE marked (n integer, word text)")
    async with log.transaction() as tx:
        tx.execute("INSERT INTO marked VALUES (?, ?)", (1, "a%"))
        tx.execute("INSERT INTO marked VALUES (%s, %s)", (2, "b?"))
        tx.executemany("INSERT INTO marked VALUES (?, ?)", [(3, "c"), (4, "d")])
    async with log.transaction() as tx:
        rows = await tx.fetch("SELECT word FROM marked WHERE n > ? ORDER BY n", (0,))

    assert [row[0] for row in rows] == ["a%", "b?", "c", "d"]
