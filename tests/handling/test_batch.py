"""What becomes of an event whose handler fails: tried again, parked, dead; and who waits behind it."""

import pytest

from tests.handling.conftest import NewApp
from tests.handling.stage import (
    Heard,
    OrderCreated,
    StockReserved,
    caught_up,
    facts,
    parked,
    pass_time,
    recorded,
    until,
)
from tidings import App, Delivery, Event, Reject, Retry, event
from tidings.handling.form import Handler
from tidings.log.position import order_in
from tidings.log.record import restore

LATER = Retry(inline=0, attempts=3, wait=10.0, jitter=0.0)


class Failing:
    """A handler that fails for an order as often as it is told, and notes what succeeds."""

    def __init__(self, **times: int) -> None:
        self.left = {int(order.removeprefix("order")): count for order, count in times.items()}
        self.calls = Heard[tuple[int, int]]()  # order, attempt
        self.done = Heard[OrderCreated]()

    def __call__(self, order: OrderCreated, delivery: Delivery) -> None:
        self.calls.note((order.order_id, delivery.attempt))
        if self.left.get(order.order_id, 0):
            self.left[order.order_id] -= 1
            raise OSError(f"order {order.order_id} fails")
        self.done.note(order)

    def on(self, app: App, *, sync: bool, retry: Retry = LATER, on_dead: str = "block") -> None:
        async def awaited(order: OrderCreated, delivery: Delivery) -> None:
            self(order, delivery)

        def called(order: OrderCreated, delivery: Delivery) -> None:
            self(order, delivery)

        app.on(group="g", retry=retry, on_dead=on_dead)(called if sync else awaited)  # type: ignore[arg-type]


@pytest.fixture(params=[False, True], ids=["async", "sync"])
def sync(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def test_a_failure_is_repeated_on_the_spot_and_then_forgotten(new_app: NewApp, sync: bool) -> None:
    app, handler = _impatient(new_app), Failing(order1=2)
    handler.on(app, sync=sync, retry=Retry())

    async with app.running():
        await app.publish(OrderCreated(1))
        await handler.done.reach(1)
        await caught_up(app)
        assert await app.log.ledger.parked() == []

    assert handler.calls == [(1, 1), (1, 2), (1, 3)]


async def test_after_four_calls_an_event_is_parked(new_app: NewApp, sync: bool) -> None:
    app, handler = _impatient(new_app), Failing(order1=9)
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
            await until(lambda: _attempted(app, number), app.log)  # noqa: B023
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


async def test_later_events_of_a_failing_key_wait_and_others_go_on(app: App, sync: bool) -> None:
    handler = Failing(order1=1)
    handler.on(app, sync=sync)

    async with app.running():
        await app.publish_many([_order(1, "a"), _order(2, "a"), _order(1, "b"), _order(3, "a"), _order(1, "c")])
        await handler.done.reach(2)
        waiting = await parked(app, "retry", "blocked", "blocked")
        assert [one.key for one in waiting] == ["1", "1", "1"]
        assert [(done.order_id, done.total) for done in handler.done] == [(2, "a"), (3, "a")]

        pass_time(app, 10)
        await handler.done.reach(5)
        await parked(app)

    assert [done.total for done in handler.done if done.order_id == 1] == ["a", "b", "c"]


async def test_what_waits_is_still_known_by_the_next_process(new_app: NewApp, sync: bool) -> None:
    first, second, keeper = new_app(), new_app(), new_app("keeper")
    failing, handler = Failing(order1=1), Failing()
    failing.on(first, sync=sync)
    handler.on(second, sync=sync)

    async with keeper:
        async with first.running():
            await first.publish(_order(1, "a"))
            await parked(first, "retry")
        await keeper.publish(_order(1, "b"))
        async with second.running():
            await parked(second, "retry", "blocked")
            pass_time(second, 10)
            await handler.done.reach(2)

    assert [done.total for done in handler.done] == ["a", "b"]


async def test_a_dead_event_holds_its_key_until_an_operator_retries_it(app: App, sync: bool) -> None:
    handler = Failing(order1=1)
    handler.on(app, sync=sync, retry=Retry.never())

    async with app.running():
        await app.publish_many([_order(1, "a"), _order(1, "b"), _order(1, "c")])
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
        dead = await app.publish(_order(1, "a"))
        await app.publish_many([_order(1, "b"), _order(1, "c")])
        await parked(app, "dead", "blocked", "blocked")

        assert await app.log.ledger.discard("g", [order_in(dead.position or "")]) == 1
        await handler.done.reach(2)
        await parked(app)

    assert [done.total for done in handler.done] == ["b", "c"]


async def test_when_one_that_waited_fails_too_those_behind_it_go_on_waiting(app: App, sync: bool) -> None:
    handler = Failing(order1=2)
    handler.on(app, sync=sync, retry=Retry(inline=0, attempts=2, wait=10.0, jitter=0.0))

    async with app.running():
        await app.publish_many([_order(1, "a"), _order(1, "b")])
        await parked(app, "retry", "blocked")
        pass_time(app, 10)
        await parked(app, "dead", "blocked")
        handler.left[1] = 1
        assert await app.log.ledger.discard("g") == 1
        await parked(app, "retry")
        await app.publish(_order(1, "c"))
        await parked(app, "retry", "blocked")
        pass_time(app, 10)
        await handler.done.reach(2)

    assert [done.total for done in handler.done] == ["b", "c"]


async def test_with_pass_a_dead_event_holds_nobody(app: App, sync: bool) -> None:
    handler = Failing(order1=1)
    handler.on(app, sync=sync, retry=Retry.never(), on_dead="pass")

    async with app.running():
        await app.publish_many([_order(1, "a"), _order(1, "b")])
        await handler.done.reach(1)
        [one] = await parked(app, "dead")

    assert [done.total for done in handler.done] == ["b"]
    assert not one.blocks


async def test_with_pass_a_retry_still_holds_its_key(app: App) -> None:
    handler = Failing(order1=1)
    handler.on(app, sync=False, on_dead="pass")

    async with app.running():
        await app.publish_many([_order(1, "a"), _order(1, "b")])
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
        await app.publish_many([_order(1, str(number)) for number in range(6)])
        await until(lambda: _is(app, "g", "paused"), app.log)
        await app.publish(_order(2, "other"))

        [said] = facts(reports, "pause")
        assert (said["group"], said["blocked"], said["reason"]) == ("g", 5, "blocked_limit")
        assert handler.calls == [(1, 1)]

        await app.log.ledger.retry("g")
        await app.log.ledger.set_state("g", "live")
        await handler.done.reach(7)
        await parked(app)
        assert (await app.health()).groups[0].state == "live"

    assert [done.total for done in handler.done if done.order_id == 1] == ["0", "1", "2", "3", "4", "5"]


async def test_bytes_that_cannot_be_decoded_are_dead_letters_as_they_are(app: App, sync: bool) -> None:
    handler = Failing()
    handler.on(app, sync=sync, retry=Retry(attempts=9))

    async with app.running():
        broken = Event(source="x", type="order:created", data=b"\xff\x00{", content_type="text/plain")
        misfit = Event(source="x", type="order:created", data={"order_id": "many"}, key="7")
        await app.log.append([broken, misfit])
        await app.publish_many([_order(2, "a")])
        await handler.done.reach(1)
        first, second = await parked(app, "dead", "dead")

    assert first.record is not None
    assert first.record.data == b"\xff\x00{"
    assert "ContractError" in first.reason
    assert "$.order_id" in second.reason
    assert (first.attempts, handler.calls) == (1, [(2, 1)])


async def test_an_undecodable_event_stays_behind_those_of_its_key_before_it(app: App, sync: bool) -> None:
    handler = Failing(order1=1)
    handler.on(app, sync=sync)

    async with app.running():
        misfit = Event(source="x", type="order:created", data={"order_id": "many"}, key="1")
        good = Event(source="x", type="order:created", data={"order_id": 1}, key="1")
        await app.log.append([good, misfit])
        await parked(app, "retry", "blocked")
        pass_time(app, 10)
        await parked(app, "dead")

    assert [done.order_id for done in handler.done] == [1]


async def test_a_newer_version_waits_for_the_process_that_knows_it(new_app: NewApp, sync: bool) -> None:
    @event("order:paid", version=2, key="order_id")
    class OrderPaid:
        order_id: int
        method: str

    @event("order:paid", version=1, key="order_id")
    class OldOrderPaid:
        order_id: int
        cash: bool

    old, new, keeper = new_app(), new_app(), new_app("keeper")
    heard, calls = Heard[OrderPaid](), Heard[object]()

    def of_old(paid: OldOrderPaid) -> None:
        calls.note(paid)

    async def of_old_later(paid: OldOrderPaid) -> None:
        calls.note(paid)

    old.on(group="g", retry=Retry.never())(of_old if sync else of_old_later)

    @new.on(group="g")
    async def show(paid: OrderPaid) -> None:
        heard.note(paid)

    async with keeper:
        await keeper.publish(Event(source="x", type="order:paid", version=2, data={"order_id": 1, "method": "cash"}))
        async with old.running():
            for _ in range(12):
                [one] = await parked(old, "retry")
                attempts = one.attempts
                pass_time(old, 400)
                await until(lambda: _attempted(old, attempts + 1), old.log)  # noqa: B023
            assert "newer than this process" in one.reason
        async with new.running():
            pass_time(new, 400)
            assert await heard.reach(1) == [OrderPaid(1, "cash")]
            await parked(new)
    assert calls == []


async def test_what_a_handler_raises_is_kept_though_it_cannot_be_shown_or_written(app: App) -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise ValueError

    @app.on(retry=Retry.never())
    async def show(order: OrderCreated) -> None:
        raise Unspeakable if order.order_id == 1 else OSError("file \udcff is not there")

    async with app.running():
        await app.publish_many([OrderCreated(1), OrderCreated(2)])
        first, second = await parked(app, "dead", "dead")

    assert first.reason == "Unspeakable, which cannot be shown: ValueError"
    assert second.reason == r"OSError: file \udcff is not there"


async def test_a_very_long_error_is_cut(app: App) -> None:
    @app.on(retry=Retry.never())
    async def show(order: OrderCreated) -> None:
        raise OSError("x" * 100_000)

    async with app.running():
        await app.publish(OrderCreated(1))
        [one] = await parked(app, "dead")

    assert len(one.reason) == 2000
    assert len(one.detail) == 16_000


async def test_what_is_no_event_is_a_dead_letter_that_names_the_type(app: App, sync: bool) -> None:
    heard = Heard[int]()

    def reserve(order: OrderCreated) -> object:
        heard.note(order.order_id)
        return {"order_id": 1} if order.order_id == 1 else StockReserved(order.order_id)

    async def reserve_later(order: OrderCreated) -> object:
        return reserve(order)

    app.on(group="g", retry=Retry(attempts=9))(reserve if sync else reserve_later)

    async with app.running():
        await app.publish_many([OrderCreated(1), OrderCreated(2)])
        [one] = await parked(app, "dead")
        await caught_up(app)
        assert [reserved.data for reserved in await recorded(app.log, "stock:reserved")] == [{"order_id": 2}]

    assert one.reason.startswith("ConfigurationError: dict is no event")
    assert heard == [1, 2]


async def test_an_event_that_does_not_fit_its_contract_is_a_dead_letter_and_not_recorded(app: App) -> None:
    @app.on()
    async def reserve(order: OrderCreated) -> StockReserved:
        return StockReserved("many")  # type: ignore[arg-type]

    async with app.running():
        await app.publish(OrderCreated(1))
        [one] = await parked(app, "dead")
        assert await recorded(app.log, "stock:reserved") == []

    assert "stock:reserved version 1 does not fit its contract at $.order_id" in one.reason


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


def _order(order_id: int, total: str) -> OrderCreated:
    return OrderCreated(order_id, total)


def _impatient(new_app: NewApp) -> App:
    """An application whose clock does not wait: repeats on the spot follow at once."""
    app = new_app()

    async def sleep(seconds: float) -> None: ...

    app.clock.sleep = sleep  # type: ignore[method-assign]
    return app


def _awaited(handler: Failing) -> Handler:
    async def awaited(order: OrderCreated, delivery: Delivery) -> None:
        handler(order, delivery)

    return awaited


async def _is(app: App, group: str, state: str) -> bool:
    return any(each.name == group and each.state == state for each in await app.log.ledger.groups())


async def _due_in(app: App, seconds: float) -> bool:
    return [one.due - app.clock.now() for one in await app.log.ledger.parked()] == [seconds]


async def _attempted(app: App, attempts: int) -> bool:
    return [one.attempts for one in await app.log.ledger.parked()] == [attempts]
