"""Groups as operators have them in hand, from Python."""

from typing import Any

import pytest

from tests.handling.stage import Heard, OrderCreated, StockReserved, caught_up, parked, recorded, until
from tidings import App, Delivery, Retry
from tidings.clock import ManualClock
from tidings.errors import ConfigurationError


async def states(app: App) -> dict[str, str]:
    return {status.name: status.state for status in await app.log.ledger.groups()}


@pytest.fixture
def shop(app: App) -> App:
    """Two groups; `shop.show` fails for orders below zero."""

    @app.on(retry=Retry.never())
    async def show(order: OrderCreated) -> None:
        if order.order_id < 0:
            raise ValueError("below zero")

    @app.on()
    async def reserve(order: OrderCreated, delivery: Delivery) -> StockReserved:
        return StockReserved(order.order_id)

    return app


async def test_groups_are_paused_and_resumed_by_name_or_pattern(shop: App) -> None:
    async with shop.running():
        one = await shop.groups.pause("shop.show")
        after_one = await states(shop)
        both = await shop.groups.pause("shop.*", why="the gateway is moved")
        (sight, _) = await shop.groups.list()
        resumed = await shop.groups.resume("shop.show", "shop.*")

        assert (one, both) == (["shop.show"], ["shop.reserve", "shop.show"])
        assert after_one == {"shop.show": "paused", "shop.reserve": "live"}
        assert sight.reason == "paused: the gateway is moved"
        assert sorted(resumed) == both
        assert set((await states(shop)).values()) == {"live"}


async def test_an_unknown_name_is_refused_with_those_that_are_close(shop: App) -> None:
    async with shop.running():
        with pytest.raises(ConfigurationError, match=r"no group 'shop\.shwo': did you mean shop\.show"):
            await shop.groups.pause("shop.reserve", "shop.shwo")
        with pytest.raises(ConfigurationError, match=r"no group 'bank\.\*'"):
            await shop.groups.resume("bank.*")
        with pytest.raises(ConfigurationError, match="no group was named"):
            await shop.groups.delete()

        assert set((await states(shop)).values()) == {"live"}


async def test_a_reset_says_what_it_means_and_then_does_it(shop: App) -> None:
    async with shop:
        async with shop.running():
            await shop.publish_many([OrderCreated(1), OrderCreated(-1)])
            await parked(shop, "dead", group="shop.show")
            await caught_up(shop)
        reserve, show = await shop.groups.plan("shop.*", to="earliest")
        moved = await shop.groups.reset("shop.show", to="earliest")
        (sight,) = await shop.groups.list("shop.show")

    assert (show.events, show.forward, show.forgotten, show.is_run) == (2, False, 1, False)
    assert show.effects == ("calls to the outside are made again, without a key to tell by: it takes no Delivery",)
    assert [effect.split(",")[0] for effect in reserve.effects] == [
        "events it returns keep their ids and are not recorded again",
        "calls to the outside are made again",
    ]
    assert list(moved) == [show]
    assert (sight.backlog.events, sight.status.dead, sight.status.position) == (2, 0, "")


async def test_a_handlers_writes_are_said_to_be_made_again(sqlite_url: str) -> None:
    app = App("shop", sqlite_url)

    @app.on()
    def count(order: OrderCreated, tx: Any) -> None: ...

    async with app.running():
        await app.publish(OrderCreated(1))
        await caught_up(app)
        (again,) = await app.groups.plan("shop.count", to="earliest")
        (forward,) = await app.groups.plan("shop.count", to="latest")

    assert any("tx is written again" in effect for effect in again.effects)
    assert (again.events, again.is_run, forward.events, forward.effects) == (1, True, 0, again.effects)


async def test_what_is_heard_again_is_returned_with_the_same_ids(shop: App) -> None:
    async with shop.running():
        await shop.publish(OrderCreated(1))
        await caught_up(shop)
        await shop.groups.reset("shop.reserve", to="earliest")
        await caught_up(shop)

        assert len(await recorded(shop.log, "stock:reserved")) == 1


async def test_a_group_is_deleted_when_nobody_runs_it_or_by_force(shop: App) -> None:
    async with shop:
        async with shop.running():
            await shop.publish(OrderCreated(1))
            await caught_up(shop)
            with pytest.raises(ConfigurationError, match=r"shop\.\w+ is run by .*: stop its application first"):
                await shop.groups.delete("shop.*")
            before = len(await states(shop))
            await shop.groups.delete("shop.reserve", force=True)
            forced = list(await states(shop))
        await shop.groups.delete("shop.*")

        assert (before, forced) == (2, ["shop.show"])
        assert await states(shop) == {}


async def test_a_list_says_how_far_behind_a_group_is_and_why(app: App, clock: ManualClock) -> None:
    heard = Heard[int]()

    @app.on()
    async def show(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with app:
        async with app.running():
            pass
        await app.publish(OrderCreated(1))
        await app.publish("other:thing", {})
        clock.advance(7200.0)
        (behind,) = await app.groups.list()
        async with app.running():
            await heard.reach(1)
            await caught_up(app)
            (done,) = await app.groups.list()

    assert (behind.status.lag, behind.backlog.events, behind.seconds) == (2, 1, 7200.0)
    assert behind.reason == "nobody runs it: last seen 2 h ago"
    assert (done.backlog.events, done.seconds, done.reason) == (0, 0.0, None)


async def test_the_dead_letter_that_blocks_is_found_among_others(app: App) -> None:
    @app.on(retry=Retry.never())
    async def show(order: OrderCreated) -> None:
        if order.order_id < 0:
            raise ValueError("below zero")

    async with app.running():
        await app.publish(OrderCreated(-1))
        culprit = await app.publish(OrderCreated(-2))
        await app.publish_many([OrderCreated(-2), OrderCreated(-3)])
        await parked(app, "dead", "dead", "blocked", "dead")
        (sight,) = await app.groups.list()
        health = await app.health()

    assert sight.reason == f"key -2 blocked by dead letter {culprit.id} (order:created): tidings dead show {culprit.id}"
    assert health.groups[0].reason == sight.reason


async def test_a_retry_to_come_is_the_reason_when_nothing_blocks(app: App, clock: ManualClock) -> None:
    @app.on("note:taken", retry=Retry(inline=0, wait=12.0, jitter=0.0))
    async def show(note: Any) -> None:
        raise ConnectionError("the gateway is away")

    async with app.running():
        event = await app.publish("note:taken", {})
        await parked(app, "retry")
        (sight,) = await app.groups.list()

    assert sight.reason == f"retrying {event.id} (note:taken): ConnectionError, next in 12 s"


async def test_a_group_that_a_process_left_says_so_in_another(app: App, new_app: Any) -> None:
    @app.on()
    async def show(order: OrderCreated) -> None: ...

    async with new_app("other") as other:
        async with app.running():

            async def is_run() -> bool:
                return bool([each for each in await other.groups.list() if each.status.members])

            await until(is_run, other.log)
            running = [each.reason for each in await other.groups.list()]
        left = [each.reason for each in await other.groups.list()]

    assert (running, left) == ([None], ["nobody runs it: last seen 0 ms ago"])
