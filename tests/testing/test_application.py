"""A user's application in a test: run without its URLs, watched, and left as it was found."""

import asyncio
import contextlib
import re
from pathlib import Path
from typing import Any

import pytest

from tests.testing.shop import Gateway, OrderCreated, PaymentCaptured, StockReserved, new_shop, new_warehouse
from tidings import App, Event, Retry
from tidings.errors import ConfigurationError
from tidings.testing import ManualClock, NotSettled, TestApp, UnexpectedDeadLetters
from tidings.testing.quiet import Quiet, Standing


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def shop(gateway: Gateway) -> App:
    return new_shop(gateway, log="sqlite:////nowhere/shop.db")


async def test_settling_returns_when_all_that_was_caused_is_handled(shop: App, gateway: Gateway) -> None:
    async with TestApp(shop) as test:
        for number in range(50):
            await test.publish(OrderCreated(number))
        await test.settle()

        assert len(test.published.of(PaymentCaptured)) == 50
        assert len(test.handled) == 100
    assert gateway.charged == dict.fromkeys(range(50), 1)


async def test_the_applications_own_log_and_broker_are_not_touched(tmp_path: Path) -> None:
    app = new_shop(Gateway(), log=f"sqlite:///{tmp_path}/shop.db", broker=f"sqlite:///{tmp_path}/bus.db")

    async with TestApp(app) as test:
        await test.publish(OrderCreated(1))
        await test.settle()

    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []


@pytest.mark.parametrize("fails", [False, True])
async def test_the_application_is_left_as_it_was_found(shop: App, fails: bool) -> None:
    before = dict(vars(shop))

    with pytest.raises(ZeroDivisionError) if fails else contextlib.nullcontext():
        async with TestApp(shop) as test:
            await test.publish(OrderCreated(1))
            if fails:
                raise ZeroDivisionError

    assert vars(shop) == before


async def test_two_tests_of_one_application_share_nothing(shop: App) -> None:
    for _ in range(2):
        async with TestApp(shop) as test:
            assert list(test.published) == []
            await test.publish(OrderCreated(1))
            await test.settle()
            assert [each.event.type for each in test.handled] == ["order:created", "stock:reserved"]


async def test_an_open_application_cannot_be_tested() -> None:
    app = App("shop")

    async with app:
        with pytest.raises(ConfigurationError, match="is open"):
            async with TestApp(app):
                pass


async def test_an_application_that_takes_tx_gets_a_log_with_sql() -> None:
    app = new_warehouse()

    async with TestApp(app) as test:
        await test.publish(OrderCreated(1))
        await test.settle()

        async with app.transaction() as tx:
            assert await tx.fetch("SELECT order_id FROM reserved") == [(1,)]
        folder = Path(app.log.url.removeprefix("sqlite:///")).parent
        assert await asyncio.to_thread(folder.exists)
        test.assert_published(StockReserved(1))
    assert not await asyncio.to_thread(folder.exists)


async def test_sql_on_a_log_in_memory_says_which_log_to_ask_for() -> None:
    with pytest.raises(ConfigurationError) as refused:
        async with TestApp(new_warehouse(), log="memory"):
            pass

    assert any("TestApp(app, log='sqlite')" in note for note in refused.value.__notes__)


async def test_what_is_published_is_typed_and_selected_by_class_name_or_pattern(shop: App) -> None:
    async with TestApp(shop) as test:
        await test.publish(OrderCreated(1, cds=2))
        await shop.publish("order:noted", {"order_id": 1})  # by whomever
        assert test.published.of("order:noted")[0].data == {"order_id": 1}
        await test.settle()

        assert test.published.of(StockReserved) == [StockReserved(1, cds=2)]
        assert [event.type for event in test.published.of("order:*")] == ["order:created", "order:noted"]
        assert isinstance(test.published[0], Event)
        assert test.published[0] in test.published
        recorded: Any = test.published
        assert OrderCreated(1, cds=2) in recorded
        assert OrderCreated(1, cds=3) not in recorded
        assert "order:noted" in recorded
        assert "order:created  OrderCreated(order_id=1, cds=2)" in repr(test.published)


@pytest.mark.parametrize("log", ["memory", "sqlite"])
async def test_a_failed_event_is_tried_again_when_the_clock_is_moved(shop: App, gateway: Gateway, log: Any) -> None:
    gateway.failures = 5  # 4 calls at the first go, then one retry more

    async with TestApp(shop, log=log) as test:
        await test.publish(OrderCreated(1))
        await test.settle()
        [waiting] = test.parked
        assert (waiting.group, waiting.state, waiting.attempts) == ("shop.capture", "retry", 4)
        assert waiting.due == test.clock.now() + 10.0
        await test.advance(9.9)
        assert gateway.failures == 1
        await test.advance(0.2)
        assert (gateway.failures, len(test.parked)) == (0, 1)
        await test.advance(20.0)

        assert test.parked == []
        assert test.assert_handled(StockReserved(1)).attempts == 6
        assert test.assert_handled(StockReserved(1)).calls == 6
    assert gateway.charged == {1: 1}


async def test_a_long_time_goes_by_as_if_in_small_steps(shop: App, gateway: Gateway) -> None:
    gateway.failures = 6  # retries after 10, 20 and 40 seconds: at 10, 30 and 70

    async with TestApp(shop) as test:
        begun = test.clock.now()
        await test.publish(OrderCreated(1))
        await test.advance(3600.0)

        [captured] = [event for event in test.published if event.type == "payment:captured"]
        assert captured.time is not None
        assert captured.time.timestamp() == begun + 70
        assert test.clock.now() == begun + 3600


async def test_a_clock_that_is_moved_directly_is_noticed_by_settle(shop: App, gateway: Gateway) -> None:
    gateway.failures = 4

    async with TestApp(shop, clock=ManualClock()) as test:
        await test.publish(OrderCreated(1))
        await test.settle()
        test.clock.advance(11)
        await test.settle()

        test.assert_published(PaymentCaptured(1))


async def test_tries_on_the_spot_take_no_time(gateway: Gateway, shop: App) -> None:
    gateway.failures = 3

    async with TestApp(shop) as test:
        before = test.clock.now()
        await test.publish(OrderCreated(1))
        await test.settle()

        assert test.assert_handled(StockReserved, attempts=4).calls == 4
        assert test.clock.now() == before


async def test_a_plain_handler_is_watched_on_its_thread() -> None:
    app = App("shop")
    seen: list[int] = []

    @app.on(OrderCreated)
    def note(order: OrderCreated) -> None:
        seen.append(order.order_id)

    async with TestApp(app) as test:
        for number in range(20):
            await test.publish(OrderCreated(number))
        await test.settle()

        assert len(test.handled) == 20
    assert seen == list(range(20))


async def test_several_keys_at_a_time_are_waited_for() -> None:
    app = App("shop")
    seen: set[int] = set()

    @app.on(OrderCreated, concurrency=20)
    async def note(order: OrderCreated) -> None:
        await asyncio.sleep(0)
        seen.add(order.order_id)

    async with TestApp(app) as test:
        await app.publish_many([OrderCreated(number) for number in range(300)])
        await test.settle()

        assert len(seen) == len(test.handled) == 300


async def test_what_is_not_done_in_time_is_listed() -> None:
    app, begun, end = App("shop"), asyncio.Event(), asyncio.Event()

    @app.on(OrderCreated)
    async def hang(order: OrderCreated) -> None:
        begun.set()
        await end.wait()

    async with TestApp(app) as test:
        await test.publish("order:noted")
        await test.publish(OrderCreated(7))
        await begun.wait()
        with pytest.raises(NotSettled) as late:
            await test.settle(timeout=0.05)
        end.set()

    told = str(late.value)
    assert "not everything was handled within 0.05 s" in told
    assert "shop.hang has order:created  OrderCreated(order_id=7, cds=1) in hand, attempt 1" in told
    assert re.search(r"shop\.hang is behind by [12], at order:created  OrderCreated\(order_id=7, cds=1\)", told)
    assert isinstance(late.value, TimeoutError)


async def test_waiting_looks_at_nothing_until_something_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, look, release = 0, Quiet.look, asyncio.Event()

    async def counted(quiet: Quiet) -> Standing:
        nonlocal looks
        looks += 1
        return await look(quiet)

    monkeypatch.setattr(Quiet, "look", counted)
    app = App("shop")

    @app.on(OrderCreated)
    async def wait(order: OrderCreated) -> None:
        await release.wait()

    async with TestApp(app) as test:
        await test.publish(OrderCreated(1))
        asyncio.get_running_loop().call_later(0.3, release.set)
        await test.settle()
        assert len(test.handled) == 1
    assert looks <= 6


async def test_a_paused_group_is_not_waited_for(shop: App) -> None:
    async with TestApp(shop) as test:
        await shop.log.ledger.set_state("shop.capture", "paused")
        await test.publish(OrderCreated(1))
        await test.settle()

        test.assert_not_published(PaymentCaptured)


async def test_a_dead_letter_nobody_expected_fails_the_test_with_its_traceback(shop: App) -> None:
    async def order_nothing() -> None:
        async with TestApp(shop) as test:
            await test.publish(OrderCreated(1, cds=0))
            await test.settle()

    with pytest.raises(UnexpectedDeadLetters) as failed:
        await order_nothing()

    told = str(failed.value)
    assert "shop.reserve gave up order:created  OrderCreated(order_id=1, cds=0)" in told
    assert "Traceback" in told
    assert "order 1 is empty" in told


async def test_a_dead_letter_that_was_asked_for_is_expected(shop: App) -> None:
    async with TestApp(shop) as test:
        await test.publish(OrderCreated(1, cds=0))
        await test.settle()

        letter = test.assert_dead(OrderCreated, order_id=1, group="shop.reserve", reason="is empty")
        assert 'raise Reject(f"order {order.order_id} is empty")' in letter.place
    async with TestApp(shop, raise_dead=False) as test:
        await test.publish(OrderCreated(1, cds=0))
        await test.settle()


async def test_a_failing_test_shows_its_own_failure_and_ends_at_once() -> None:
    app, begun = App("shop"), asyncio.Event()

    @app.on(OrderCreated, retry=Retry.never())
    async def hang(order: OrderCreated) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def fail() -> None:
        async with TestApp(app) as test:
            await test.publish(OrderCreated(1))
            await begun.wait()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(fail(), 2.5)  # less than handlers have to finish when all is well


async def test_both_relays_work_over_a_broker_in_memory() -> None:
    app = new_shop(Gateway(), log="memory:", broker="sqlite:////nowhere/bus.db")

    async with TestApp(app) as test:
        for number in range(20):
            await test.arrive(OrderCreated(number), source="web")
        await test.arrive("weather:changed", {"it": "rains"})
        await test.settle()

        assert test.published[0].source == "web"
        assert len(test.published.of(OrderCreated)) == 20
        assert len(test.published.of("weather:*")) == 0
        assert len(test.relayed.of(PaymentCaptured)) == 20
        assert {event.source for event in test.relayed} == {"shop"}


async def test_nothing_arrives_where_there_is_no_broker(shop: App) -> None:
    async with TestApp(shop) as test:
        with pytest.raises(ConfigurationError, match="has no broker"):
            await test.arrive(OrderCreated(1))
