"""Groups that come back: what they have missed for good is said aloud."""

from typing import Any

import pytest

from tests.handling.stage import Heard, OrderCreated, caught_up, facts, parked, until
from tests.log.test_backlog import delete
from tidings import App, Retry
from tidings.clock import ManualClock

_WEEK = 7 * 86_400.0


@pytest.fixture
def heard() -> list[int]:
    return []


@pytest.fixture
def shop(sqlite_url: str, clock: ManualClock, heard: list[int]) -> App:
    app = App("shop", sqlite_url, clock=clock, orphan_after=3600.0)

    @app.on()
    async def show(order: OrderCreated) -> None:
        heard.append(order.order_id)

    return app


async def leave_alone(app: App, clock: ManualClock, seconds: float) -> None:
    """The application runs, is stopped, and five orders come while nobody is there."""
    async with app.running():
        await app.publish(OrderCreated(0))
        await caught_up(app)
    await app.publish_many([OrderCreated(number) for number in range(1, 6)])
    clock.advance(seconds)


async def test_an_orphan_says_how_much_was_trimmed_before_it_came_back(
    shop: App, clock: ManualClock, heard: list[int], sqlite_url: str, caplog: Any
) -> None:
    async with shop:
        await leave_alone(shop, clock, 3601.0)
        (sight,) = await shop.groups.list()
        await delete(sqlite_url, 4)

        async with shop.running():
            await caught_up(shop)
            (again,) = await shop.groups.list()

    (said,) = facts(caplog, "orphan")
    assert (sight.status.state, again.status.state) == ("orphaned", "live")
    assert (said["group"], said["trimmed"]) == ("shop.show", 3)
    assert "not heard were trimmed" in said["reason"]
    assert heard == [0, 4, 5]


async def test_an_orphan_that_missed_nothing_says_so_quietly(
    shop: App, clock: ManualClock, heard: list[int], caplog: Any
) -> None:
    async with shop:
        await leave_alone(shop, clock, 3601.0)

        async with shop.running():
            await caught_up(shop)

    (said,) = facts(caplog, "orphan")
    assert said["trimmed"] == 0
    assert [record.levelname for record in caplog.records if record.message.startswith("orphan")] == ["INFO"]
    assert heard == [0, 1, 2, 3, 4, 5]


async def test_a_parked_event_that_was_trimmed_becomes_a_dead_letter_that_holds_nobody_up(
    sqlite_url: str, clock: ManualClock
) -> None:
    app, heard = App("shop", sqlite_url, clock=clock), Heard[str]()

    @app.on(retry=Retry(inline=0, wait=10.0))
    async def show(order: OrderCreated) -> None:
        if order.total == "bad":
            raise OSError("away")
        heard.note(order.total)

    async with app:
        async with app.running():
            await app.publish_many([OrderCreated(1, total) for total in ("bad", "good")])
            await parked(app, "retry", "blocked")
        await delete(sqlite_url, 1)
        clock.advance(100.0)
        async with app.running():
            assert await heard.reach(1) == ["good"]
            (dead,) = await parked(app, "dead")

    assert (dead.reason, dead.blocks) == ("trimmed from the log before it could be tried again", False)


async def test_a_group_that_was_away_for_less_is_no_orphan(shop: App, clock: ManualClock, caplog: Any) -> None:
    async with shop:
        await leave_alone(shop, clock, 3599.0)

        async with shop.running():
            await caught_up(shop)

    assert facts(caplog, "orphan") == []


async def test_one_that_runs_for_years_is_never_an_orphan(app: App, clock: ManualClock) -> None:
    heard = Heard[int]()

    @app.on()
    async def show(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with app.running():
        await app.publish(OrderCreated(1))
        await heard.reach(1)
        clock.advance(100 * _WEEK)

        async def is_live() -> bool:
            return [each.state for each in await app.log.ledger.groups()] == ["live"]

        await until(is_live, app.log)
