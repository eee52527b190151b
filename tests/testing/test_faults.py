"""What goes wrong on purpose: each fault once in each place, seen by handlers that are not ready for it."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any, get_args

import pytest

from tests.testing.shop import Gateway, OrderCreated, PaymentCaptured, StockReserved, new_shop, new_warehouse
from tidings import App, Event
from tidings.errors import BrokerError, CommitUnknown, ConfigurationError, LogError
from tidings.testing import Faults, InjectedFault, Nth, TestApp
from tidings.testing.faults import Kind


@pytest.fixture(params=["memory", "sqlite"])
def log(request: pytest.FixtureRequest) -> Any:
    return request.param


def relayed_shop(gateway: Gateway) -> App:
    return new_shop(gateway, log="memory:", broker="memory:bus")


@pytest.mark.parametrize("careful", [True, False])
async def test_a_handler_that_is_not_idempotent_is_found_out(log: Any, careful: bool) -> None:
    gateway, faults = Gateway(), Faults(duplicate=StockReserved)

    async with TestApp(new_shop(gateway, careful=careful), log=log, faults=faults) as test:
        for number in range(10):
            await test.publish(OrderCreated(number))
        await test.settle()

        assert test.published.of(PaymentCaptured) == [PaymentCaptured(number) for number in range(10)]
        assert {each.calls > 1 for each in test.handled if each.group == "shop.capture"} == {True}
        assert {each.attempts for each in test.handled} == {1}
    charges = set(gateway.charged.values())
    assert (charges == {1}) == careful
    assert len(faults.met) == 10


async def test_what_is_written_through_tx_is_written_once_whatever_is_lost() -> None:
    app = new_warehouse()

    async with TestApp(app, faults=Faults(duplicate=0.5, fail_before=Nth(3), fail_after=Nth(4), seed=1)) as test:
        for number in range(20):
            await test.publish(OrderCreated(number))
        await test.settle()

        async with app.transaction() as tx:
            assert await tx.fetch("SELECT order_id FROM reserved") == [(number,) for number in range(20)]
        assert len(test.published.of(StockReserved)) == 20
        assert max(each.calls for each in test.handled) > 1
    assert {met.kind for met in test.faults.met} == {"duplicate", "fail_before", "fail_after"}


async def test_an_append_that_failed_before_left_nothing(log: Any) -> None:
    app = new_shop(Gateway())

    async with TestApp(app, log=log, faults=Faults(fail_before=OrderCreated)) as test:
        with pytest.raises(InjectedFault, match="nothing was written") as failed:
            await app.publish(OrderCreated(1), id="a")
        assert list(test.published) == []
        assert isinstance(failed.value, LogError)
        assert isinstance(failed.value, BrokerError)
        await app.publish(OrderCreated(1), id="a")
        assert len(test.published) == 1
        await test.settle()


async def test_an_append_whose_answer_was_lost_and_that_is_repeated_is_one_event(log: Any) -> None:
    app = new_shop(Gateway())

    async with TestApp(app, log=log, faults=Faults(fail_after=OrderCreated)) as test:
        with pytest.raises(CommitUnknown, match="retry with the same ids") as failed:
            await app.publish(OrderCreated(1), id="a")
        assert failed.value.ids == ("a",)
        assert len(test.published) == 1
        await app.publish(OrderCreated(1), id="a")
        await test.settle()

        test.assert_published(OrderCreated, times=1)
        test.assert_published(PaymentCaptured, times=1)


async def test_the_tests_own_publish_repeats_itself(log: Any) -> None:
    async with TestApp(new_shop(Gateway()), log=log, faults=Faults(fail_before=True, fail_after=True)) as test:
        await test.publish(OrderCreated(1))
        await test.settle()

        assert [event.type for event in test.published] == ["order:created", "stock:reserved", "payment:captured"]


async def test_a_transaction_fails_whole_or_has_happened_whole() -> None:
    app = new_warehouse()

    async def order(number: int) -> None:
        async with app.transaction() as tx:
            tx.execute("INSERT INTO reserved VALUES (?)", (number,))
            tx.publish("order:noted", {"number": number})

    async with TestApp(app, faults=Faults(fail_before=Nth(1), fail_after=Nth(1))) as test:
        with pytest.raises(InjectedFault):
            await order(1)
        with pytest.raises(CommitUnknown):
            await order(2)

        async with app.transaction() as tx:
            assert await tx.fetch("SELECT order_id FROM reserved") == [(2,)]
        test.assert_published("order:noted", number=2, times=1)
        test.assert_published("order:noted", times=1)


async def test_what_a_carrier_drops_or_brings_twice_is_recorded_once_all_the_same() -> None:
    gateway = Gateway()
    app = relayed_shop(gateway)

    async with TestApp(app, faults=Faults(drop=0.3, duplicate=0.3, seed=3)) as test:
        for number in range(50):
            await test.arrive(OrderCreated(number), source="web")
        await test.settle()

        assert sorted(order.order_id for order in test.published.of(OrderCreated)) == list(range(50))
        assert len(test.relayed.of(PaymentCaptured)) == 50
        assert Counter(met.where for met in test.faults.met)["broker"] > 10
    assert set(gateway.charged.values()) == {1}


async def test_what_a_carrier_drops_comes_after_what_came_with_it() -> None:
    app = relayed_shop(Gateway())

    async with TestApp(app, faults=Faults(drop=Nth(1))) as test:
        await arrive_together(test, 3)
        await test.settle()

        assert [order.order_id for order in test.published.of(OrderCreated)] == [1, 2, 0]


async def test_what_a_carrier_delays_arrives_when_the_clock_is_moved() -> None:
    app = relayed_shop(Gateway())

    async with TestApp(app, faults=Faults(delay=Nth(2, of=OrderCreated), delay_by=60)) as test:
        await arrive_together(test, 3)
        await test.settle()
        assert [order.order_id for order in test.published.of(OrderCreated)] == [0, 2]
        await test.advance(59)
        assert len(test.published.of(OrderCreated)) == 2
        await test.advance(2)

        assert [order.order_id for order in test.published.of(OrderCreated)] == [0, 2, 1]
        test.assert_published(PaymentCaptured(1))


async def test_what_a_carrier_reorders_arrives_in_another_order_and_the_same_for_a_seed() -> None:
    orders: list[list[int]] = []

    for seed in (1, 1, 2):
        async with TestApp(relayed_shop(Gateway()), faults=Faults(reorder=True, seed=seed)) as test:
            await arrive_together(test, 30)
            await test.settle()
            orders.append([order.order_id for order in test.published.of(OrderCreated)])

    assert [sorted(each) for each in orders] == [list(range(30))] * 3
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


async def test_relays_go_on_when_the_broker_or_the_log_fails() -> None:
    faults = Faults(fail_before=0.3, fail_after=0.3, drop=0.3, seed=7)

    async with TestApp(relayed_shop(Gateway()), faults=faults) as test:
        for number in range(10):
            await test.arrive(OrderCreated(number), source="web")
        await test.settle(timeout=30)

        assert sorted(order.order_id for order in test.published.of(OrderCreated)) == list(range(10))
        assert sorted(paid.order_id for paid in test.relayed.of(PaymentCaptured)) == list(range(10))


async def test_whatever_goes_wrong_nothing_is_lost_or_done_twice(seed: int, trials: Callable[[int], int]) -> None:
    chance = random.Random(seed)

    for _ in range(trials(4)):
        shares: dict[str, Any] = {kind: chance.choice([0.0, 0.1, 0.5]) for kind in get_args(Kind)}
        faults = Faults(**shares, delay_by=40, seed=chance.randrange(2**32))
        gateway = Gateway()
        async with TestApp(relayed_shop(gateway), log=chance.choice(["memory", "sqlite"]), faults=faults) as test:
            for number in range(20):
                await test.arrive(OrderCreated(number), source="web")
            await test.publish(OrderCreated(20))
            await test.settle(timeout=30)
            await test.advance(41, timeout=30)

            assert sorted(order.order_id for order in test.published.of(OrderCreated)) == list(range(21))
            assert sorted(paid.order_id for paid in test.published.of(PaymentCaptured)) == list(range(21))
            assert {paid.order_id for paid in test.relayed.of(PaymentCaptured)} == set(range(21))
        assert gateway.charged == dict.fromkeys(range(21), 1), repr(faults)


async def arrive_together(test: TestApp, count: int) -> None:
    await test.arrive_many([OrderCreated(number) for number in range(count)], source="web")


def test_events_are_chosen_by_share_class_name_predicate_and_number() -> None:
    names = ["a:b", "order:created"] * 50
    events = [Event(id=str(number), source="s", type=name) for number, name in enumerate(names)]

    def chosen(**which: Any) -> list[Event]:
        return Faults(**which, seed=5).among("drop", events, "broker")

    assert chosen(drop=True) == events
    assert chosen(drop=0.0) == []
    assert 10 < len(chosen(drop=0.3)) < 60
    assert chosen(drop=0.3) == chosen(drop=0.3)
    assert chosen(drop="a:*") == chosen(drop=lambda event: event.type == "a:b") == events[::2]
    assert chosen(drop=OrderCreated) == events[1::2]
    assert chosen(drop=Nth(3, of=OrderCreated)) == [events[5]]
    assert chosen(drop=Nth(3)) == [events[2]]


def test_a_fault_meets_an_event_once_in_each_place() -> None:
    faults, event = Faults(duplicate=True), Event(id="1", source="s", type="a")

    assert faults.among("duplicate", [event], "g") == faults.among("duplicate", [event], "h") == [event]
    assert faults.among("duplicate", [event], "g") == []


@pytest.mark.parametrize("kind", ["drop", "delay", "reorder"])
async def test_a_brokers_faults_are_refused_where_there_is_none(kind: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Faults\\({kind}=...\\) is a broker's"):
        async with TestApp(new_shop(Gateway()), faults=Faults(**{kind: 0.5})):  # type: ignore[arg-type]
            pass


@pytest.mark.parametrize("which", [1.5, -1, int])
def test_what_chooses_nothing_is_refused(which: Any) -> None:
    with pytest.raises(ConfigurationError):
        Faults(drop=which)


async def test_a_predicate_sees_an_event_as_handlers_do_wherever_it_is() -> None:
    def is_third(event: Event) -> bool:
        return isinstance(event.data, OrderCreated) and event.data.order_id == 3

    faults = Faults(drop=is_third, duplicate=is_third, fail_before=is_third, fail_after=is_third)

    async with TestApp(relayed_shop(Gateway()), faults=faults) as test:
        await arrive_together(test, 5)
        await test.settle()

    places = {(met.kind, met.where) for met in faults.met}
    assert {met.event.data for met in faults.met} == {OrderCreated(3)}
    assert places == {
        ("drop", "broker"),
        *((kind, "shop.reserve") for kind in ("duplicate", "fail_before", "fail_after")),
        *((kind, "broker") for kind in ("duplicate",)),
        *((kind, "log") for kind in ("fail_before", "fail_after")),
    }


async def test_the_seed_is_told_with_a_failure() -> None:
    async def fail() -> None:
        async with TestApp(new_shop(Gateway()), faults=Faults(duplicate=0.5, seed=42)):
            raise AssertionError

    with pytest.raises(AssertionError) as failed:
        await fail()

    assert failed.value.__notes__ == ["this was with Faults(duplicate=0.5, seed=42)"]
