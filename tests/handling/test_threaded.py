"""Plain `def` handlers: in threads of their own, which the event loop does not wait for."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from tests.handling.conftest import NewApp
from tests.handling.stage import BOUND, Heard, OrderCreated, StockReserved, caught_up, parked, pass_time
from tidings import App, Delivery, Retry
from tidings.log.record import slot_of

LATER = Retry(inline=0, attempts=9, wait=10.0, jitter=0.0)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a handler hangs at; opened at the end, so that no thread outlives its test."""
    gate = threading.Event()
    yield gate
    gate.set()


async def test_a_blocking_handler_does_not_block_the_event_loop(app: App, gate: threading.Event) -> None:
    began, heard = Heard[str](), Heard[int]()

    @app.on()
    def slow(order: OrderCreated) -> None:
        began.note(threading.current_thread().name)
        gate.wait(BOUND)

    @app.on()
    async def quick(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with app.running():
        await app.publish_many([OrderCreated(1), OrderCreated(2)])
        assert await began.reach(1) == ["tidings-shop.slow-0"]
        assert await heard.reach(2) == [1, 2]
        gate.set()
        await began.reach(2)


async def test_handler_threads_end_with_the_process_and_with_the_application(app: App) -> None:
    threads = Heard[threading.Thread]()

    @app.on()
    def show(order: OrderCreated) -> None:
        threads.note(threading.current_thread())

    async with app.running():
        await app.publish(OrderCreated(1))
        [thread] = await threads.reach(1)
        assert thread.daemon
        assert thread is not threading.main_thread()

    await asyncio.to_thread(thread.join, BOUND)
    assert not thread.is_alive()


async def test_with_concurrency_keys_share_the_threads_and_one_key_stays_in_order(app: App) -> None:
    heard = Heard[tuple[int, str]]()
    both = threading.Barrier(2)

    @app.on(concurrency=2)
    def show(order: OrderCreated) -> None:
        if order.total == "0":
            both.wait(BOUND)  # passed only by two threads at a time
        heard.note((order.order_id, order.total))

    async with app.running():
        keys = _keys_of_two_threads()
        await app.publish_many([OrderCreated(key, str(round_)) for round_ in range(20) for key in keys])
        await heard.reach(40)

    for key in keys:
        assert [total for order_id, total in heard if order_id == key] == [str(round_) for round_ in range(20)]


async def test_a_call_that_takes_too_long_is_left_alone_and_other_keys_go_on(app: App, gate: threading.Event) -> None:
    heard = Heard[tuple[int, str]]()

    @app.on(timeout=0.1, retry=LATER)
    def show(order: OrderCreated, delivery: Delivery) -> None:
        if (order.order_id, order.total, delivery.attempt) == (1, "a", 1):
            gate.wait(BOUND)
        heard.note((order.order_id, order.total))

    async with app.running():
        await app.publish_many([OrderCreated(1, "a"), OrderCreated(2, "a"), OrderCreated(1, "b")])
        await heard.reach(1)
        first, _ = await parked(app, "retry", "blocked")
        assert first.reason.startswith("HandlerTimeout: shop.show took longer than 0.1 s")

        pass_time(app, 10)  # its retry is due, but the key is still in use
        for number in range(3, 6):
            await app.publish(OrderCreated(number, "a"))
        await heard.reach(4)
        assert [key for key, _ in heard] == [2, 3, 4, 5]
        await parked(app, "retry", "blocked")

        gate.set()
        await heard.reach(7)
        await parked(app)

    # Once by the call that came too late, then in order by the retry.
    assert [total for key, total in heard if key == 1] == ["a", "a", "b"]


async def test_a_dead_call_that_still_hangs_keeps_its_key_though_dead_letters_pass(
    app: App, gate: threading.Event
) -> None:
    heard = Heard[str]()

    @app.on(timeout=0.1, retry=Retry.never(), on_dead="pass")
    def show(order: OrderCreated) -> None:
        if order.total == "a":
            gate.wait(BOUND)
        heard.note(order.total)

    async with app.running():
        await app.publish_many([OrderCreated(1, "a"), OrderCreated(1, "b")])
        await parked(app, "dead", "blocked")
        assert heard == []
        gate.set()
        assert await heard.reach(2) == ["a", "b"]
        await parked(app, "dead")


async def test_what_a_late_call_says_comes_too_late(app: App, gate: threading.Event) -> None:
    heard = Heard[int]()

    @app.on(timeout=0.1, retry=Retry.never())
    def reserve(stock: StockReserved) -> OrderCreated:
        gate.wait(BOUND)
        heard.note(stock.order_id)
        return OrderCreated(stock.order_id)

    async with app.running():
        await app.publish(StockReserved(1))
        await parked(app, "dead")
        gate.set()
        await heard.reach(1)
        await caught_up(app)

        assert (await app.log.scan("")).records[1:] == []


async def test_waits_between_repeats_do_not_count_as_calls_that_take_too_long(app: App) -> None:
    calls = Heard[int]()

    @app.on(timeout=0.08, retry=Retry(attempts=4))
    def show(order: OrderCreated, delivery: Delivery) -> None:
        calls.note(delivery.attempt)
        raise OSError("at once")

    async with app.running():
        await app.publish(OrderCreated(1))
        [one] = await parked(app, "dead")

    assert (one.reason, one.attempts) == ("OSError: at once", 4)
    assert calls == [1, 2, 3, 4]


async def test_a_stop_with_a_hanging_handler_ends_in_bound_and_answers_nothing(
    new_app: NewApp, gate: threading.Event
) -> None:
    app, calls = new_app(drain=0.1), Heard[int]()

    @app.on(group="g")
    def show(order: OrderCreated) -> None:
        calls.note(order.order_id)
        if order.order_id == 2:
            gate.wait(BOUND)

    async with new_app("keeper") as keeper:
        await keeper.publish_many([OrderCreated(1), OrderCreated(2), OrderCreated(3)])
        async with asyncio.timeout(BOUND / 2):
            async with app.running():
                await calls.reach(2)
        gate.set()
        [group] = await keeper.log.ledger.groups()
        assert (group.lag, group.members) == (2, ())
        assert await keeper.log.ledger.parked() == []

    assert calls == [1, 2]


def _keys_of_two_threads() -> list[int]:
    even = next(key for key in range(100) if slot_of(str(key)) % 2 == 0)
    return [even, next(key for key in range(100) if slot_of(str(key)) % 2 == 1)]
