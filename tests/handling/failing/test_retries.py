"""An event whose handler fails is tried again: on the spot, and later, until its attempts are used up."""

from tests.handling.conftest import NewApp
from tests.handling.failing.stage import LATER, Failing, attempted, impatient
from tests.handling.stage import Heard, OrderCreated, caught_up, parked, pass_time, until
from tidings import App, Retry
from tidings.log.record import restore


async def test_a_failure_is_repeated_on_the_spot_and_then_forgotten(new_app: NewApp, sync: bool) -> None:
    app, handler = impatient(new_app), Failing(order1=2)
    handler.on(app, sync=sync, retry=Retry())

    async with app.running():
        await app.publish(OrderCreated(1))
        await handler.done.reach(1)
        await caught_up(app)
        assert await app.log.ledger.parked() == []

    assert handler.calls == [(1, 1), (1, 2), (1, 3)]


async def test_after_four_calls_an_event_is_parked(new_app: NewApp, sync: bool) -> None:
    app, handler = impatient(new_app), Failing(order1=9)
    handler.on(app, sync=sync, retry=Retry())

    async with app.running():
        await app.publish(OrderCreated(1))
        [one] = await parked(app, "retry")

    assert (one.attempts, one.reason) == (4, "OSError: order 1 fails")
    assert handler.calls == [(1, 1), (1, 2), (1, 3), (1, 4)]


async def test_a_parked_event_is_tried_again_when_its_time_has_come(app: App, sync: bool) -> None:
    handler = Failing(order1=2)
    handler.on(app, sync=sync)

    async with app.running():
        await app.publish(OrderCreated(1))
        [one] = await parked(app, "retry")
        assert one.due == app.clock.now() + 10
        pass_time(app, 9)
        await app.publish(OrderCreated(2))
        await handler.done.reach(1)
        assert handler.calls == [(1, 1), (2, 1)]

        pass_time(app, 1)
        await handler.calls.reach(3)
        await until(lambda: _due_in(app, 20), app.log)
        pass_time(app, 20)
        await handler.done.reach(2)
        await parked(app)

    assert handler.calls == [(1, 1), (2, 1), (1, 2), (1, 3)]


async def test_chance_makes_a_parked_event_wait_longer_and_never_shorter(app: App) -> None:
    handler = Failing(**{f"order{number}": 1 for number in range(30)})
    handler.on(app, sync=False, retry=Retry(inline=0, wait=100.0, jitter=0.5))

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in range(30)])
        waits = [one.due - app.clock.now() for one in await parked(app, *["retry"] * 30)]

    assert all(100 <= wait <= 150 for wait in waits)
    assert len(set(waits)) > 1


async def test_an_event_whose_attempts_are_used_up_is_dead_with_all_that_is_known(app: App, sync: bool) -> None:
    handler = Failing(order1=9)
    handler.on(app, sync=sync)

    async with app.running():
        published = await app.publish(OrderCreated(1))
        for number in (1, 2):
            await until(lambda: attempted(app, number), app.log)  # noqa: B023
            pass_time(app, 20)
        [one] = await parked(app, "dead")

    assert (one.group, one.event_id, one.type, one.key) == ("g", published.id, "order:created", "1")
    assert (one.attempts, one.reason) == (3, "OSError: order 1 fails")
    assert "Traceback" in one.detail
    assert 'raise OSError(f"order {order.order_id} fails")' in one.detail
    assert one.record is not None
    assert restore(one.record, published.position or "").id == published.id


async def test_never_makes_a_dead_letter_at_once(app: App) -> None:
    handler = Failing(order1=9)
    handler.on(app, sync=False, retry=Retry.never(OSError))

    async with app.running():
        await app.publish(OrderCreated(1))
        await parked(app, "dead")

    assert handler.calls == [(1, 1)]


async def test_a_handler_that_awaits_what_was_cancelled_has_failed_and_its_group_goes_on(app: App) -> None:
    heard = Heard[int]()

    @app.on(retry=LATER)
    async def show(order: OrderCreated) -> None:
        if order.order_id == 1:
            gone = heard._loop.create_future()
            gone.cancel()
            await gone
        heard.note(order.order_id)

    async with app.running():
        await app.publish_many([OrderCreated(1), OrderCreated(2)])
        assert await heard.reach(1) == [2]
        [one] = await parked(app, "retry")
        assert "awaited something that was cancelled" in one.reason


async def _due_in(app: App, seconds: float) -> bool:
    return [one.due - app.clock.now() for one in await app.log.ledger.parked()] == [seconds]
