"""A group over several members: shared by lanes, rebalanced, fenced; and what it does when the log itself fails."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.handling.conftest import NewApp
from tests.handling.stage import Heard, OrderCreated, caught_up, facts, parked, pass_time, until
from tidings import App, Event, Retry
from tidings.errors import DiskFull
from tidings.log.group import LANES
from tidings.log.record import slot_of


def listening(app: App, **settings: Any) -> Heard[OrderCreated]:
    heard = Heard[OrderCreated]()

    @app.on(group="g", **settings)
    async def show(order: OrderCreated) -> None:
        heard.note(order)

    return heard


async def shares(*apps: App) -> None:
    """Return when the members have the lanes in fair shares."""

    async def is_so() -> bool:
        owned = [group.lanes for app in apps for group in (await app.health()).groups if group.name == "g"]
        return sum(owned) == LANES and max(owned) - min(owned) <= 1

    await until(is_so, apps[0].log)


async def test_two_members_share_the_events_and_each_is_handled_once(new_app: NewApp) -> None:
    first, second = new_app(), new_app()
    one, other = listening(first), listening(second)

    async with first.running(), second.running():
        await shares(first, second)
        await first.publish_many([OrderCreated(number % 50, str(number)) for number in range(500)])
        await until(_all(500, one, other), first.log)
        await caught_up(first)

    assert sorted(int(order.total) for order in one + other) == list(range(500))
    assert {order.order_id for order in one} & {order.order_id for order in other} == set()
    assert one
    assert other
    for heard in (one, other):
        for key in {order.order_id for order in heard}:
            totals = [int(order.total) for order in heard if order.order_id == key]
            assert totals == sorted(totals)


async def test_a_member_that_joins_and_leaves_gets_and_returns_its_lanes(new_app: NewApp) -> None:
    first, second = new_app(), new_app()
    one, other = listening(first), listening(second)

    async with first.running():
        await first.publish_many([OrderCreated(number, "a") for number in range(100)])
        await one.reach(100)
        async with second.running():
            await shares(first, second)
            await first.publish_many([OrderCreated(number, "b") for number in range(100)])
            await until(_all(200, one, other), first.log)
            assert other
            await caught_up(first)
        await shares(first)
        before = len(one)
        await first.publish_many([OrderCreated(number, "c") for number in range(100)])
        await one.reach(before + 100)
        await caught_up(first)

    assert len(one) + len(other) == 300
    assert all(order.total == "b" for order in other)


async def test_a_member_in_the_middle_of_a_long_batch_gives_lanes_away_before_its_end(new_app: NewApp) -> None:
    first, second = new_app(), new_app()
    gate, heard = asyncio.Event(), Heard[int]()
    other = listening(second)

    @first.on(group="g")
    async def slow(order: OrderCreated) -> None:
        heard.note(order.order_id)
        if len(heard) == 2:
            await gate.wait()

    async with first.running():
        await first.publish_many([OrderCreated(number) for number in range(900)])
        await heard.reach(2)
        async with second.running():
            asyncio.get_running_loop().call_later(0.3, gate.set)  # after the time that a batch is given
            await other.reach(100)
            await until(_all(900, heard, other), first.log)
            await caught_up(first)

    assert sorted([*heard, *(order.order_id for order in other)]) == list(range(900))


async def test_lanes_taken_over_go_on_where_each_was(new_app: NewApp) -> None:
    first, second = new_app(), new_app(drain=0.05)
    one, began = listening(first), Heard[int]()

    @second.on(group="g")
    async def hang(order: OrderCreated) -> None:
        began.note(order.order_id)
        await asyncio.Event().wait()

    async with first.running():
        async with second.running():
            await shares(first, second)
            await first.publish_many([OrderCreated(number) for number in range(200)])
            await began.reach(1)
            running: Any = first._running
            lanes = running.readers[0].settling.held.lanes
            await one.reach(sum(slot_of(str(number)) % LANES in lanes for number in range(200)))
            assert len(one) < 200
        await one.reach(200)
        await caught_up(first)

    assert sorted(order.order_id for order in one) == list(range(200))


async def test_a_paused_group_handles_nothing_until_it_is_resumed(app: App) -> None:
    heard = listening(app)

    async with app.running():
        await app.publish(OrderCreated(1))
        await heard.reach(1)
        await app.log.ledger.set_state("g", "paused")
        await app.publish(OrderCreated(2))
        await until(lambda: _lag(app, 1), app.log)
        assert len(heard) == 1
        await app.log.ledger.set_state("g", "live")
        await heard.reach(2)


async def test_a_group_set_back_hears_everything_again(app: App) -> None:
    heard = listening(app)

    async with app.running():
        await app.publish_many([OrderCreated(1), OrderCreated(2)])
        await heard.reach(2)
        await app.log.ledger.reset("g", "")
        await heard.reach(4)

    assert [order.order_id for order in heard] == [1, 2, 1, 2]


async def test_an_owner_that_was_replaced_settles_nothing_and_says_so(
    new_app: NewApp, reports: pytest.LogCaptureFixture
) -> None:
    app, began, gate, calls = new_app(), asyncio.Event(), asyncio.Event(), Heard[int]()

    @app.on(group="g")
    async def show(order: OrderCreated) -> OrderCreated | None:
        began.set()
        await gate.wait()
        calls.note(order.order_id)
        return None

    async with app.running():
        await app.publish(OrderCreated(1))
        await began.wait()
        await app.log.ledger.reset("g", "")  # a new fence, while the handler works under the old one
        gate.set()
        await calls.reach(2)
        await caught_up(app)

    assert calls == [1, 1]
    [said] = facts(reports, "fence")
    assert (said["group"], said["reason"]) == ("g", "another member owns the lanes")


async def test_when_the_log_fails_a_reader_says_so_waits_and_goes_on(
    app: App, reports: pytest.LogCaptureFixture
) -> None:
    heard = listening(app)

    async with app.running():
        await caught_up(app)
        fixed = break_scan(app, DiskFull("log.db"))
        await app.publish(OrderCreated(1))
        await until(lambda: _is_healthy(app, False), app.log)
        health = await app.health()
        assert health.groups[0].trouble is not None
        assert health.groups[0].trouble.startswith("DiskFull")
        assert health.troubles == (health.groups[0].trouble,)

        fixed()
        await heard.reach(1)
        await until(lambda: _is_healthy(app, True), app.log)

    assert facts(reports, "trouble")[0]["group"] == "g"


@pytest.mark.parametrize("error", [ZeroDivisionError("ours"), GeneratorExit("odd")])
async def test_even_a_mistake_of_our_own_does_not_silence_a_group(app: App, error: BaseException) -> None:
    heard = listening(app)

    async with app.running():
        await caught_up(app)
        fixed = break_scan(app, error)
        await app.publish(OrderCreated(1))
        await until(lambda: _is_healthy(app, False), app.log)
        fixed()
        await heard.reach(1)
        await until(lambda: _is_healthy(app, True), app.log)


async def test_while_the_log_fails_news_do_not_shorten_the_waits(app: App, reports: pytest.LogCaptureFixture) -> None:
    heard = listening(app)

    async with app.running():
        await caught_up(app)
        fixed = break_scan(app, DiskFull("log.db"))
        await app.publish(OrderCreated(0))
        await until(lambda: _is_healthy(app, False), app.log)
        for number in range(1, 100):
            await app.publish(OrderCreated(number))
        assert len(facts(reports, "trouble")) <= 5
        fixed()
        await heard.reach(100)


async def test_a_settlement_that_fails_is_made_again_with_everything_in_it(app: App) -> None:
    calls = Heard[int]()

    @app.on(group="g", retry=Retry(inline=0, wait=10.0, jitter=0.0))
    async def show(order: OrderCreated) -> list[Event]:
        calls.note(order.order_id)
        if order.order_id == 2 and calls.count(2) < 3:
            raise OSError
        return [Event(source="shop", type="order:seen", data=order.order_id)]

    async with app.running():
        await caught_up(app)
        settle, failures = app.log.ledger.settle, iter([DiskFull("log.db")])

        async def failing(settlement: Any) -> Any:
            for failure in failures:
                raise failure
            return await settle(settlement)

        app.log.ledger.settle = failing  # type: ignore[method-assign]
        await app.publish_many([OrderCreated(1), OrderCreated(2)])
        await calls.reach(4)
        await parked(app, "retry")
        pass_time(app, 20)
        await calls.reach(5)
        await parked(app)
        found = await app.log.scan("")

    assert [record.type for record in found.records].count("order:seen") == 2


async def test_the_claim_is_reported(app: App, reports: pytest.LogCaptureFixture) -> None:
    listening(app)

    async with app.running():
        await caught_up(app)

    [said] = facts(reports, "claim")
    assert (said["group"], said["lanes"]) == ("g", LANES)
    assert {"member", "fence"} <= said.keys()


def break_scan(app: App, error: BaseException) -> Callable[[], None]:
    """Have the log fail until the function returned is called."""
    log: Any = app.log
    working = log.scan

    async def failing(*args: Any) -> Any:
        raise error

    log.scan = failing

    def fixed() -> None:
        log.scan = working

    return fixed


def _all(count: int, *heard: list[Any]) -> Any:
    async def is_so() -> bool:
        return sum(map(len, heard)) >= count

    return is_so


async def _lag(app: App, lag: int) -> bool:
    return [each.lag for each in await app.log.ledger.groups()] == [lag]


async def _is_healthy(app: App, healthy: bool) -> bool:
    return (await app.health()).healthy == healthy
