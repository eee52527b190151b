"""What an application does before its handlers run."""

from pathlib import Path

import pytest

from tidings import App, Transaction, event
from tidings.errors import ConfigurationError


@event("sale:made", key="number")
class SaleMade:
    number: int


async def test_a_start_function_makes_the_table_that_a_handler_writes_to(tmp_path: Path) -> None:
    app = App("shop", f"sqlite:///{tmp_path}/log.db", contracts=[SaleMade])

    @app.on_start
    async def tables() -> None:
        async with app.transaction() as tx:
            tx.execute("CREATE TABLE IF NOT EXISTS sales(number INTEGER)")

    @app.on(SaleMade)
    def keep(sale: SaleMade, tx: Transaction) -> None:
        tx.execute("INSERT INTO sales VALUES (?)", (sale.number,))

    for _ in range(2):  # it runs at every start, so it says IF NOT EXISTS
        async with app.running(), app.transaction() as tx:
            assert await tx.fetch("SELECT number FROM sales") == []


async def test_a_plain_start_function_runs_too_and_in_the_order_of_registration() -> None:
    app, ran = App("shop"), []

    @app.on_start
    def first() -> None:
        ran.append("first")

    @app.on_start
    async def second() -> None:
        ran.append("second")

    async with app.running():
        assert ran == ["first", "second"]


async def test_handlers_do_not_start_when_a_start_function_fails() -> None:
    app, heard = App("shop", contracts=[SaleMade]), []

    @app.on(SaleMade)
    async def hear(sale: SaleMade) -> None:
        heard.append(sale)

    @app.on_start
    def broken() -> None:
        raise OSError("no such printer")

    async with app:
        await app.publish(SaleMade(1))
        with pytest.raises(OSError, match="no such printer"):
            async with app.running():
                pytest.fail("it ran")

    assert heard == []


async def test_a_refused_start_leaves_nothing_behind_and_is_refused_alike_the_next_time() -> None:
    app = App("shop", log="memory:", broker="memory:starting", contracts=[SaleMade])

    @app.on(SaleMade, direct=True, rate="5/s")
    async def hear(sale: SaleMade) -> None: ...

    async with app:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="rate needs a log"):
                async with app.running():
                    pytest.fail("it ran")
            assert not (await app.health()).running


async def test_a_handler_with_tx_is_refused_at_start_on_a_log_without_sql() -> None:
    app = App("shop", contracts=[SaleMade])

    @app.on(SaleMade)
    def keep(sale: SaleMade, tx: Transaction) -> None:
        tx.execute("INSERT INTO sales VALUES (?)", (sale.number,))

    with pytest.raises(ConfigurationError, match=r"shop\.keep takes tx"):
        async with app.running():
            pytest.fail("it ran")
