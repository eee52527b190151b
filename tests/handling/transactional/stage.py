"""What handlers with `tx` have written, and waiting for them."""

from typing import Any

from tests.handling.stage import until
from tidings import App, Retry
from tidings.clock import ManualClock
from tidings.log import Log

LATER = Retry(inline=0, attempts=3, wait=10.0, jitter=0.0)


async def rows(log: Log) -> list[tuple[Any, ...]]:
    async with log.transaction() as tx:
        found: list[tuple[Any, ...]] = await tx.fetch("SELECT order_id, count FROM stock ORDER BY order_id")
    return found


def count_settlements(app: App) -> Any:
    class Counted:
        with_work = 0

    settle = app.log.ledger.settle

    async def counted(settlement: Any) -> Any:
        Counted.with_work += settlement.work is not None
        return await settle(settlement)

    app.log.ledger.settle = counted  # type: ignore[method-assign]
    return Counted


async def asleep(app: App) -> None:
    """Return when somebody waits for the manual clock."""
    clock = app.clock
    assert isinstance(clock, ManualClock)

    async def is_so() -> bool:
        return clock.sleepers > 0

    await until(is_so, app.log)
