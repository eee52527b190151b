"""Who waits behind an event that failed: those of its key, until it is done with; and nobody else."""

import pytest

from tests.handling.conftest import NewApp
from tests.handling.failing.stage import LATER, Failing
from tests.handling.stage import Heard, OrderCreated, StockReserved, facts, parked, pass_time, until
from tidings import App, Delivery, Reject, Retry
from tidings.handling.form import Handler
from tidings.log.position import order_in


async def test_later_events_of_a_failing_key_wait_and_others_go_on(app: App, sync: bool) -> None:
    handler = Failing(order1=1)
    handler.on(app, sync=sync)

    async with app.running():
        await app.publish_many(
            [
                OrderCreated(1, "a"),
                OrderCreated(2, "a"),
                OrderCreated(1, "b"),
                OrderCreated(3, "a"),
                OrderCreated(1, "c"),
            ]
        )
        await handler.done.reach(2)
        waiting = await parked(app, "retry", "blocked", "blocked")
        assert [one.key for one in waiting] == ["1", "1", "1"]
        assert [(done.order_id, done.total) for done in handler.done] == [(2, "a"), (3, "a")]

        pass_time(app, 10)
        await handler.done.reach(5)
        await parked(app)

    assert [done.total for done in handler.done if done.order_id == 1] == ["a", "b", "c"]


async def test_events_without_a_key_block_nothing(app: App, sync: bool) -> None:
    heard = Heard[int]()

    def show(stock: StockReserved) -> None:
        if stock.order_id == 1:
            raise OSError
        heard.note(stock.order_id)

    async def show_later(stock: StockReserved) -> None:
        show(stock)

    app.on(group="g", retry=LATER)(show if sync else show_later)

    async with app.running():
        await app.publish_many([StockReserved(1), StockReserved(2), StockReserved(3)])
        assert await heard.reach(2) == [2, 3]
        [one] = await parked(app, "retry")
        assert one.key is None


async def test_a_rejected_event_is_dead_at_once_and_blocks_nothing(app: App, sync: bool) -> None:
    heard = Heard[str]()

    def show(order: OrderCreated) -> None:
        if order.total == "bad":
            raise Reject("no such order")
        heard.note(order.total)

    async def show_later(order: OrderCreated) -> None:
        show(order)

    app.on(group="g")(show if sync else show_later)

    async with app.running():
        await app.publish_many([OrderCreated(1, "bad"), OrderCreated(1, "good")])
        assert await heard.reach(1) == ["good"]
        [one] = await parked(app, "dead")

    assert (one.attempts, one.reason, one.blocks) == (1, "Reject: no such order", False)


async def test_a_rejected_retry_releases_what_waited_behind_it(app: App) -> None:
    heard = Heard[str]()

    @app.on(retry=LATER)
    async def show(order: OrderCreated, delivery: Delivery) -> None:
        if order.total == "bad":
            raise OSError if delivery.attempt == 1 else Reject
        heard.note(order.total)

    async with app.running():
        await app.publish_many([OrderCreated(1, "bad"), OrderCreated(1, "good")])
        await parked(app, "retry", "blocked")
        pass_time(app, 10)
        assert await heard.reach(1) == ["good"]
        await parked(app, "dead")


async def test_what_waits_is_still_known_by_the_next_process(new_app: NewApp, sync: bool) -> None:
    first, second, keeper = new_app(), new_app(), new_app("keeper")
    failing, handler = Failing(order1=1), Failing()
    failing.on(first, sync=sync)
    handler.on(second, sync=sync)

    async with keeper:
        async with first.running():
            await first.publish(OrderCreated(1, "a"))
            await parked(first, "retry")
        await keeper.publish(OrderCreated(1, "b"))
        async with second.running():
            await parked(second, "retry", "blocked")
            pass_time(second, 10)
            await handler.done.reach(2)

    assert [done.total for done in handler.done] == ["a", "b"]


async def test_a_dead_event_holds_its_key_until_an_operator_retries_it(app: App, sync: bool) -> None:
    handler = Failing(order1=1)
    handler.on(app, sync=sync, retry=Retry.never())

    async with app.running():
        await app.publish_many([OrderCreated(1, "a"), OrderCreated(1, "b"), OrderCreated(1, "c")])
        await parked(app, "dead", "blocked", "blocked")
        assert handler.done == []

        assert await app.log.ledger.retry("g") == 1
        await handler.done.reach(3)
        await parked(app)

    assert [done.total for done in handler.done] == ["a", "b", "c"]


async def test_a_dead_event_holds_its_key_until_an_operator_discards_it(app: App, sync: bool) -> None:
    handler = Failing(order1=1)
    handler.on(app, sync=sync, retry=Retry.never())

    async with app.running():
        dead = await app.publish(OrderCreated(1, "a"))
        await app.publish_many([OrderCreated(1, "b"), OrderCreated(1, "c")])
        await parked(app, "dead", "blocked", "blocked")

        assert await app.log.ledger.discard("g", [order_in(dead.position or "")]) == 1
        await handler.done.reach(2)
        await parked(app)

    assert [done.total for done in handler.done] == ["b", "c"]


async def test_when_one_that_waited_fails_too_those_behind_it_go_on_waiting(app: App, sync: bool) -> None:
    handler = Failing(order1=2)
    handler.on(app, sync=sync, retry=Retry(inline=0, attempts=2, wait=10.0, jitter=0.0))

    async with app.running():
        await app.publish_many([OrderCreated(1, "a"), OrderCreated(1, "b")])
        await parked(app, "retry", "blocked")
        pass_time(app, 10)
        await parked(app, "dead", "blocked")
        handler.left[1] = 1
        assert await app.log.ledger.discard("g") == 1
        await parked(app, "retry")
        await app.publish(OrderCreated(1, "c"))
        await parked(app, "retry", "blocked")
        pass_time(app, 10)
        await handler.done.reach(2)

    assert [done.total for done in handler.done] == ["b", "c"]


async def test_with_pass_a_dead_event_holds_nobody(app: App, sync: bool) -> None:
    handler = Failing(order1=1)
    handler.on(app, sync=sync, retry=Retry.never(), on_dead="pass")

    async with app.running():
        await app.publish_many([OrderCreated(1, "a"), OrderCreated(1, "b")])
        await handler.done.reach(1)
        [one] = await parked(app, "dead")

    assert [done.total for done in handler.done] == ["b"]
    assert not one.blocks


async def test_with_pass_a_retry_still_holds_its_key(app: App) -> None:
    handler = Failing(order1=1)
    handler.on(app, sync=False, on_dead="pass")

    async with app.running():
        await app.publish_many([OrderCreated(1, "a"), OrderCreated(1, "b")])
        await parked(app, "retry", "blocked")
        pass_time(app, 10)
        await handler.done.reach(2)

    assert [done.total for done in handler.done] == ["a", "b"]


async def test_too_many_blocked_events_pause_the_group_which_says_so(
    app: App, reports: pytest.LogCaptureFixture
) -> None:
    handler = Failing(order1=1)
    app.on(group="g", retry=Retry.never(), blocked_limit=3)(_awaited(handler))

    async with app.running():
        await app.publish_many([OrderCreated(1, str(number)) for number in range(6)])
        await until(lambda: _is(app, "g", "paused"), app.log)
        await app.publish(OrderCreated(2, "other"))

        [said] = facts(reports, "pause")
        assert (said["group"], said["blocked"], said["reason"]) == ("g", 5, "blocked_limit")
        assert handler.calls == [(1, 1)]

        await app.log.ledger.retry("g")
        await app.log.ledger.set_state("g", "live")
        await handler.done.reach(7)
        await parked(app)
        assert (await app.health()).groups[0].state == "live"

    assert [done.total for done in handler.done if done.order_id == 1] == ["0", "1", "2", "3", "4", "5"]


def _awaited(handler: Failing) -> Handler:
    async def awaited(order: OrderCreated, delivery: Delivery) -> None:
        handler(order, delivery)

    return awaited


async def _is(app: App, group: str, state: str) -> bool:
    return any(each.name == group and each.state == state for each in await app.log.ledger.groups())
