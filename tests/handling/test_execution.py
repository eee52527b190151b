"""How `async def` handlers are called: in order, several keys at a time, within a limit, and never past a stop."""

import asyncio
import time
from collections import defaultdict

import pytest

from tests.handling.conftest import NewApp
from tests.handling.stage import BOUND, Heard, OrderCreated, parked, pass_time
from tidings import App, Delivery, Retry
from tidings.log.group import LANES
from tidings.log.record import slot_of

LATER = Retry(inline=0, attempts=3, wait=10.0, jitter=0.0)


async def test_events_are_handled_one_after_the_other_in_the_logs_order(app: App) -> None:
    heard, busy = Heard[int](), 0

    @app.on()
    async def show(order: OrderCreated) -> None:
        nonlocal busy
        busy += 1
        await asyncio.sleep(0)
        assert busy == 1
        busy -= 1
        heard.note(order.order_id)

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in range(50)])
        assert await heard.reach(50) == list(range(50))


async def test_with_concurrency_different_keys_overlap_and_one_key_stays_in_order(app: App) -> None:
    together = asyncio.Barrier(8)
    running: dict[int, int] = defaultdict(int)
    heard = Heard[tuple[int, str]]()

    @app.on(concurrency=8)
    async def show(order: OrderCreated) -> None:
        running[order.order_id] += 1
        assert running[order.order_id] == 1
        if order.total == "0":
            await together.wait()  # returns only when eight keys are here at a time
        await asyncio.sleep(0)
        running[order.order_id] -= 1
        heard.note((order.order_id, order.total))

    async with app.running():
        keys = range(8)
        await app.publish_many([OrderCreated(key, str(round_)) for round_ in range(5) for key in keys])
        await heard.reach(40)

    for key in keys:
        assert [total for order_id, total in heard if order_id == key] == ["0", "1", "2", "3", "4"]


async def test_with_concurrency_a_failing_key_holds_up_only_itself(app: App) -> None:
    heard = Heard[tuple[int, str]]()

    @app.on(concurrency=4, retry=LATER)
    async def show(order: OrderCreated, delivery: Delivery) -> None:
        if order.order_id == 1 and order.total == "0" and delivery.attempt == 1:
            raise OSError
        heard.note((order.order_id, order.total))

    async with app.running():
        await app.publish_many([OrderCreated(key, str(round_)) for round_ in range(3) for key in range(4)])
        await heard.reach(9)
        await parked(app, "retry", "blocked", "blocked")
        pass_time(app, 10)
        await heard.reach(12)

    assert [total for order_id, total in heard if order_id == 1] == ["0", "1", "2"]


async def test_a_handler_that_takes_too_long_is_cancelled_within_a_quarter_of_its_limit(app: App) -> None:
    limit, times = 0.2, Heard[float]()

    @app.on(timeout=limit, retry=LATER)
    async def show(order: OrderCreated) -> None:
        if order.order_id == 1:
            began = time.monotonic()
            try:
                await asyncio.Event().wait()
            finally:
                times.note(time.monotonic() - began)
        times.note(0.0)

    async with app.running():
        await app.publish_many([OrderCreated(1), OrderCreated(2)])
        [took, _] = await times.reach(2)
        [one] = await parked(app, "retry")

    assert limit <= took <= limit * 1.25 + 0.1  # and a little for a busy machine
    assert one.reason.startswith("HandlerTimeout: shop.show took longer than 0.2 s")
    assert one.attempts == 1


async def test_with_concurrency_only_the_call_that_takes_too_long_is_cancelled(app: App) -> None:
    heard = Heard[int]()

    @app.on(timeout=0.1, concurrency=2, retry=LATER)
    async def show(order: OrderCreated) -> None:
        if order.order_id == 1:
            await asyncio.Event().wait()
        heard.note(order.order_id)

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in range(1, 6)])
        assert sorted(await heard.reach(4)) == [2, 3, 4, 5]
        [one] = await parked(app, "retry")
    assert one.key == "1"


async def test_a_handler_that_outlives_its_cancellation_is_not_cancelled_for_it_later(app: App) -> None:
    heard = Heard[str]()

    @app.on(timeout=0.05, retry=LATER)
    async def show(order: OrderCreated) -> None:
        if order.order_id == 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                heard.note("cancelled")
                return
        if order.order_id == 3:
            await asyncio.Event().wait()
        async with asyncio.timeout(BOUND):  # keeps count of cancellations itself
            await asyncio.sleep(0)
        heard.note("done")

    async with app.running():
        await app.publish_many([OrderCreated(number) for number in (1, 2, 3, 4)])
        assert await heard.reach(3) == ["cancelled", "done", "done"]
        [one] = await parked(app, "retry")
        assert (one.key, one.reason[:14]) == ("3", "HandlerTimeout")


async def test_without_a_limit_nothing_is_cancelled(app: App) -> None:
    heard, gate = Heard[int](), asyncio.Event()

    @app.on(timeout=None)
    async def show(order: OrderCreated) -> None:
        await gate.wait()
        heard.note(order.order_id)

    async with app.running():
        await app.publish(OrderCreated(1))
        gate.set()
        assert await heard.reach(1) == [1]


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_stop_waits_for_the_event_in_hand_and_begins_no_other(new_app: NewApp, concurrency: int) -> None:
    app, began, gate, heard = new_app(), asyncio.Event(), asyncio.Event(), Heard[int]()

    @app.on(group="g", concurrency=concurrency)
    async def show(order: OrderCreated) -> None:
        began.set()
        await gate.wait()
        heard.note(order.order_id)

    async with new_app("keeper") as keeper:
        await keeper.publish_many([OrderCreated(7, str(number)) for number in range(10)])
        async with app.running():
            await began.wait()
            asyncio.get_running_loop().call_later(0.05, gate.set)
        [group] = await keeper.log.ledger.groups()

    assert heard == [7]
    assert group.lag == 9  # what was done is settled, the rest waits for the next process


@pytest.mark.parametrize("has_dead", [False, True], ids=["", "held"])
@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_stop_past_its_time_settles_what_is_done_and_leaves_the_event_in_hand_unanswered(
    new_app: NewApp, concurrency: int, has_dead: bool
) -> None:
    app, began, heard = new_app(drain=0.05), asyncio.Event(), Heard[int]()

    @app.on(group="g", concurrency=concurrency)
    async def show(order: OrderCreated) -> None:
        if order.order_id == 2:
            began.set()
            await asyncio.Event().wait()
        heard.note(order.order_id)

    async with new_app("keeper") as keeper:
        if has_dead:
            await make_dead_letter(keeper)
        await keeper.publish_many([OrderCreated(number) for number in (1, 2)])
        async with app.running():
            await heard.reach(1)
            await began.wait()
        [group] = await keeper.log.ledger.groups()
        assert len(await keeper.log.ledger.parked()) == has_dead

    assert heard == [1]
    assert (group.lag, group.members) == (1, ())


async def test_a_stop_gives_no_answer_to_what_comes_after_an_event_without_one(new_app: NewApp) -> None:
    app, again = new_app(), new_app()
    began, gate, heard = Heard[str](), asyncio.Event(), Heard[str]()
    other = next(key for key in range(2, 1000) if slot_of(str(key)) % LANES == slot_of("1") % LANES)

    @app.on(group="g", concurrency=2 * LANES, retry=LATER)
    async def show(order: OrderCreated) -> None:
        began.note(order.total)
        if order.order_id == other:
            raise OSError
        await gate.wait()

    @again.on(group="g")
    async def show_again(order: OrderCreated) -> None:
        heard.note(order.total)

    async with new_app("keeper") as keeper:
        await keeper.publish_many([OrderCreated(1, "a"), OrderCreated(1, "b"), OrderCreated(other, "c")])
        async with app.running():
            await began.reach(2)
            asyncio.get_running_loop().call_later(0.05, gate.set)
        assert began == ["a", "c"]
        assert await keeper.log.ledger.parked() == []  # "b" has no answer, so "c" comes again
        async with again.running():
            assert await heard.reach(2) == ["b", "c"]


async def make_dead_letter(app: App) -> None:
    """Something that is held, so that the group's events are looked at one by one."""

    @app.on("order:poison", group="g", retry=Retry.never())
    async def show(order: object) -> None:
        raise OSError

    async with app.running():
        await app.publish("order:poison", key="poison")
        await parked(app, "dead")
