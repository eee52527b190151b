"""Handlers that hear a broker itself: what they are promised, and what is refused."""

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
import pytest

from tests.handling.stage import BOUND, Heard, OrderCreated, StockReserved, eventually
from tidings import App, Event, Reject, Retry
from tidings.brokers import Arrival, Broker, DeadLetter, connect
from tidings.brokers.channels import PARTITIONS, partition_of
from tidings.brokers.foreign import UNREADABLE
from tidings.brokers.log import LogBroker
from tidings.brokers.log_inbox import LogInbox
from tidings.clock import ManualClock
from tidings.errors import BrokerUnreachable, CircuitOpen, ConfigurationError, EventRefused
from tidings.handling.delivery import Delivery
from tidings.handling.flow.settings import Batch

_names = itertools.count()


@pytest.fixture
def url() -> str:
    return f"memory:direct-{next(_names)}"


@pytest.fixture
async def broker(url: str) -> AsyncIterator[Broker]:
    broker = await connect(url)
    await broker.publish([])
    yield broker
    await broker.close()


def orders(*numbers: int) -> list[Event]:
    return [
        Event(id=f"id-{n}", source="web", type="order:created", key=str(n % 3), data={"order_id": n}) for n in numbers
    ]


async def letters(broker: Broker, count: int) -> Sequence[DeadLetter]:
    async def are_there() -> bool:
        return len(await broker.letters()) >= count

    await eventually(are_there)
    return await broker.letters()


async def settled(broker: Broker, group: str) -> None:
    """Return when the broker has nothing more for this group."""

    async def is_settled() -> bool:
        return {each.group: each.lag for each in await broker.groups()}.get(group) == 0

    await eventually(is_settled)


async def test_a_chain_of_handlers_needs_no_log(broker: Broker, url: str) -> None:
    app, heard = App("shop", broker=url), Heard[int]()

    @app.on(OrderCreated)
    async def reserve(order: OrderCreated) -> StockReserved:
        return StockReserved(order.order_id)

    @app.on(StockReserved)
    def note(stock: StockReserved) -> None:
        heard.note(stock.order_id)

    async with app.running():
        published = await app.publish(OrderCreated(1))
        await app.publish_many([OrderCreated(number) for number in range(2, 30)])
        await heard.reach(29)

    assert sorted(heard) == list(range(1, 30))
    assert published.position is None


async def test_what_a_handler_returns_and_publishes_is_caused_by_its_event(broker: Broker, url: str) -> None:
    app, heard = App("shop", broker=url), Heard[Event]()

    @app.on(OrderCreated)
    async def reserve(order: OrderCreated) -> StockReserved:
        await app.publish("audit:seen", {"order": order.order_id})
        return StockReserved(order.order_id)

    @app.on("stock:reserved", "audit:seen")
    async def note(event: Event) -> None:
        heard.note(event)

    async with app.running():
        await broker.publish(orders(1))
        await heard.reach(2)

    assert {event.type for event in heard} == {"stock:reserved", "audit:seen"}
    assert {(event.causation_id, event.correlation_id, event.key) for event in heard} == {("id-1", "id-1", "1")}


async def test_an_event_that_is_handled_again_has_the_same_effects(broker: Broker, url: str) -> None:
    app, ids = App("shop", broker=url), Heard[str]()
    settle, failures = LogInbox.settle, itertools.count()

    @app.on(OrderCreated)
    async def reserve(order: OrderCreated) -> StockReserved:
        return StockReserved(order.order_id)

    @app.on("stock:reserved")
    async def note(event: Event) -> None:
        ids.note(event.id)

    async def lost(self: LogInbox, arrivals: Sequence[Arrival] | None = None) -> None:
        if next(failures) == 0:
            raise BrokerUnreachable("x://host", "it was cut")
        await settle(self, arrivals)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(LogInbox, "settle", lost)
        async with app.running():
            await broker.publish(orders(1))
            await settled(broker, "shop.reserve")
            await settled(broker, "shop.note")

    assert next(failures) > 2, "it was handled twice"
    assert len(ids) == 1, "the carrier knows the second one by its id"


async def test_a_failure_is_tried_at_once_and_then_later(broker: Broker, url: str) -> None:
    app, attempts = App("shop", broker=url), Heard[int]()

    @app.on(OrderCreated, retry=Retry(attempts=6, wait=0.02))
    async def flaky(event: Event, delivery: Delivery) -> None:
        attempts.note(delivery.attempt)
        if len(attempts) < 6:
            raise OSError("busy")

    async with app.running():
        await broker.publish(orders(1))
        await attempts.reach(6)
        await settled(broker, "shop.flaky")

    assert attempts == [1, 2, 3, 4, 5, 6]
    assert await broker.letters() == []


async def test_what_is_given_up_is_a_dead_letter_and_holds_nobody_up(broker: Broker, url: str) -> None:
    app, heard = App("shop", broker=url), Heard[int]()

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        if order.order_id == 3:
            raise Reject("no such thing")
        heard.note(order.order_id)

    async with app.running():
        await broker.publish(orders(*range(9)))
        await heard.reach(8)
        [letter] = await letters(broker, 1)

    assert (letter.group, letter.event.id, letter.reason) == ("shop.note", "id-3", "Reject: no such thing")
    assert "Traceback" in letter.detail
    assert heard == [0, 1, 2, 4, 5, 6, 7, 8]


async def test_what_cannot_be_decoded_is_a_dead_letter(broker: Broker, url: str) -> None:
    app, heard = App("shop", broker=url), Heard[int]()

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with app.running():
        bad = Event(id="bad", source="web", type="order:created", data={"order_id": "seven"})
        await broker.publish([bad, *orders(1)])
        await heard.reach(1)
        [letter] = await letters(broker, 1)

    assert letter.event.id == "bad"
    assert "order_id" in letter.reason


async def test_what_is_no_json_is_handled_as_it_is(broker: Broker, url: str) -> None:
    app, heard = App("shop", broker=url), Heard[Any]()

    @app.on("image:taken")
    async def look(data: Any) -> None:
        heard.note(data)

    async with app.running():
        await broker.publish([Event(source="web", type="image:taken", data=b"\xff", content_type="image/png")])
        await heard.reach(1)

    assert heard == [b"\xff"]


class CannotDelay:
    """A carrier that hands nothing over later."""

    def __init__(self, broker: Broker, **lacks: bool) -> None:
        self._broker = broker
        self.url = broker.url
        self.capabilities = msgspec.structs.replace(broker.capabilities, **lacks)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def close(self) -> None:
        """The test has it open."""


def app_on(carrier: Any) -> App:
    app = App("shop", broker="memory:never-opened")

    async def connected(url: str, **settings: Any) -> Broker:
        found: Broker = carrier
        return found

    app._connect = connected
    return app


async def test_where_nothing_can_wait_failures_are_tried_at_once_only(broker: Broker) -> None:
    app, calls = app_on(CannotDelay(broker, delay=False)), Heard[int]()

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        calls.note(order.order_id)
        raise OSError("busy")

    async with app.running():
        await broker.publish(orders(1))
        [letter] = await letters(broker, 1)

    assert (calls, letter.attempts) == ([1, 1, 1, 1], 4)


async def test_a_group_may_stop_at_what_it_cannot_handle(broker: Broker) -> None:
    app, heard = app_on(CannotDelay(broker, delay=False, dead_letters=False)), Heard[int]()

    @app.on(OrderCreated, on_exhausted="stop")
    async def note(order: OrderCreated) -> None:
        heard.note(order.order_id)
        if order.order_id == 1:
            raise Reject("no such thing")

    async with app.running():
        await broker.publish(orders(0, 1, 2))
        await heard.reach(2)

        async def is_in_trouble() -> bool:
            return not (await app.health()).healthy

        await eventually(is_in_trouble)
        health = await app.health()

    assert (health.groups[0].state, health.groups[0].trouble) == (
        "stopped",
        "shop.note has given up event id-1 and stops: Reject: no such thing",
    )
    async with broker.subscribe(["**"], group="shop.note") as inbox:
        assert [each.event.id for each in await inbox.receive()] == ["id-1", "id-2"], "neither is lost"


def handler_of(kind: str, handle: Callable[[int], None]) -> Any:
    """A handler of each form that calls `handle` with each order's number."""

    async def awaited(order: OrderCreated) -> None:
        handle(order.order_id)

    def called(order: OrderCreated) -> None:
        handle(order.order_id)

    async def awaited_list(orders: list[OrderCreated]) -> None:
        for each in orders:
            handle(each.order_id)

    def called_list(orders: list[OrderCreated]) -> None:
        for each in orders:
            handle(each.order_id)

    return {"async": awaited, "def": called, "async list": awaited_list, "def list": called_list}[kind]


@pytest.mark.parametrize("kind", ["async", "def", "async list", "def list", "async 8", "def 8"])
async def test_nothing_is_handled_after_the_event_at_which_a_group_stops(broker: Broker, kind: str) -> None:
    app, heard = app_on(CannotDelay(broker, delay=False)), Heard[int]()

    def handle(number: int) -> None:
        if number == 4:
            raise Reject("no such thing")
        heard.note(number)

    concurrency = 8 if kind.endswith("8") else 1
    handler = handler_of(kind.removesuffix(" 8"), handle)
    app.on(OrderCreated, group="g", on_exhausted="stop", concurrency=concurrency)(handler)
    await broker.publish(orders(*range(60)))
    async with app.running():

        async def is_stopped() -> bool:
            return (await app.health()).groups[0].state == "stopped"

        await eventually(is_stopped)

    assert not [n for n in heard if n > 4 and n % 3 == 4 % 3], "they have its key"
    if concurrency == 1:
        assert set(heard) == {0, 1, 2, 3}
    async with broker.subscribe(["**"], group="g") as inbox:
        left = [each.event.id for each in await inbox.receive()]
    assert {f"id-{n}" for n in range(60) if n not in heard} <= set(left), "nothing is lost"


async def test_what_stands_behind_an_unreadable_event_is_not_handled_where_the_group_stops(broker: Broker) -> None:
    app, heard = app_on(CannotDelay(broker, delay=False)), Heard[int]()

    @app.on(OrderCreated, on_exhausted="stop")
    async def note(many: list[OrderCreated]) -> None:
        for each in many:
            heard.note(each.order_id)

    bad = Event(id="bad", source="web", type="order:created", data={"order_id": "seven"})
    await broker.publish([*orders(0), bad, *orders(1, 2)])
    async with app.running():

        async def is_stopped() -> bool:
            return (await app.health()).groups[0].state == "stopped"

        await eventually(is_stopped)

    assert heard == [0]
    async with broker.subscribe(["**"], group="shop.note") as inbox:
        assert [each.event.id for each in await inbox.receive()] == ["bad", "id-1", "id-2"]


@pytest.mark.parametrize("dead_letters", [True, False])
async def test_what_cannot_be_kept_may_be_dropped_where_that_is_said(broker: Broker, dead_letters: bool) -> None:
    app, heard = app_on(CannotDelay(broker, delay=False, dead_letters=dead_letters)), Heard[int]()

    @app.on(OrderCreated, on_exhausted="drop")
    async def note(order: OrderCreated) -> None:
        if order.order_id == 1:
            raise Reject("no such thing")
        heard.note(order.order_id)

    async with app.running():
        await broker.publish(orders(0, 1, 2))
        await heard.reach(2)
        await settled(broker, "shop.note")

    assert await broker.letters() == []


async def test_keys_keep_their_order_and_slow_ones_hold_up_no_other(broker: Broker, url: str) -> None:
    app, heard, release = App("shop", broker=url), Heard[int](), asyncio.Event()

    @app.on(OrderCreated, concurrency=8)
    async def note(order: OrderCreated) -> None:
        if order.order_id == 0:
            await release.wait()
        heard.note(order.order_id)

    async with app.running():
        events = orders(*range(600))
        await broker.publish(events)
        others = [n for n in range(600) if n % 3 != 0]
        await heard.reach(len(others))
        assert not set(others) - set(heard), "they are past the one that waits, and beyond what one receive hands over"
        release.set()
        await heard.reach(600)

    for key in range(3):
        assert [n for n in heard if n % 3 == key] == [n for n in range(600) if n % 3 == key]


@pytest.mark.parametrize("is_plain", [False, True], ids=["async", "plain"])
async def test_a_member_with_two_partitions_of_eight_handles_no_fewer_keys_at_a_time(
    broker: Broker, url: str, is_plain: bool
) -> None:
    app, heard, at_once = App("shop", broker=url), Heard[int](), 16 if is_plain else 8
    begun, released, freed = itertools.count(1), asyncio.Event(), threading.Event()

    async def waits(order: OrderCreated) -> None:
        if next(begun) == at_once:
            released.set()
        await released.wait()
        heard.note(order.order_id)

    def blocks(order: OrderCreated) -> None:
        if next(begun) == at_once:
            freed.set()
        if freed.wait(BOUND):
            heard.note(order.order_id)

    app.on(OrderCreated, concurrency=at_once, group="shop.note", retry=Retry.never())(blocks if is_plain else waits)
    keys = [key for key in map(str, range(1000)) if partition_of(key, PARTITIONS) in (0, 4)]
    events = orders(*range(len(keys)))
    await broker.publish([msgspec.structs.replace(each, key=key) for each, key in zip(events, keys, strict=True)])
    async with app.running():
        await heard.reach(len(keys))


async def test_a_plain_handler_that_overruns_keeps_its_key(broker: Broker, url: str) -> None:
    app, heard, release = App("shop", broker=url), Heard[int](), asyncio.Event()
    loop = asyncio.get_running_loop()

    @app.on(OrderCreated, timeout=0.1, retry=Retry.never())
    def note(order: OrderCreated) -> None:
        if order.order_id == 0:
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result(BOUND)
            return
        heard.note(order.order_id)

    async with app.running():
        await broker.publish(orders(0, 1, 2, 3))
        await heard.reach(2)
        assert heard == [1, 2], "3 has the key of the call that has not returned"
        release.set()
        await heard.reach(3)
        [letter] = await letters(broker, 1)

    assert letter.event.id == "id-0"


async def test_lists_are_handled_in_one_call(broker: Broker, url: str) -> None:
    app, heard = App("shop", broker=url), Heard[list[int]]()
    await broker.publish(orders(*range(250)))

    @app.on(OrderCreated)
    async def note(many: list[OrderCreated]) -> None:
        heard.note([each.order_id for each in many])

    async with app.running():
        await heard.reach(3)

    assert [len(each) for each in heard] == [100, 100, 50]


async def test_a_list_waits_for_more_and_not_for_ever(broker: Broker, url: str) -> None:
    clock = ManualClock()
    app, heard = App("shop", broker=url, clock=clock), Heard[list[int]]()

    @app.on(OrderCreated, batch=Batch(size=3, wait=5.0))
    async def note(many: list[OrderCreated]) -> None:
        heard.note([each.order_id for each in many])

    async def waits() -> bool:
        return clock.sleepers == 2  # with the vigil

    async with app.running():
        await broker.publish(orders(0, 1))
        await eventually(waits)
        clock.advance(4.9)
        await broker.publish(orders(2, 3))
        await heard.reach(1)
        await eventually(waits)
        clock.advance(5.0)
        await heard.reach(2)

    assert heard == [[0, 1, 2], [3]]


async def test_a_list_may_be_longer_than_what_is_fetched_ahead(broker: Broker, url: str) -> None:
    app, heard = App("shop", broker=url), Heard[int]()
    await broker.publish(orders(*range(2500)))

    @app.on(OrderCreated, batch=Batch(size=2500, wait=3600.0))
    async def note(many: list[OrderCreated]) -> None:
        heard.note(len(many))

    async with app.running():
        await heard.reach(1)

    assert heard == [2500]


async def test_a_stop_answers_what_is_in_hand_and_hands_back_the_rest(broker: Broker, url: str) -> None:
    app, began, release = App("shop", broker=url), Heard[int](), asyncio.Event()

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        began.note(order.order_id)
        await release.wait()

    await broker.publish(orders(*range(5)))
    async with app.running():
        await began.reach(1)
        asyncio.get_running_loop().call_later(0.05, release.set)

    assert began == [0]
    async with broker.subscribe(["**"], group="shop.note") as inbox:
        assert [each.event.id for each in await inbox.receive()] == ["id-1", "id-2", "id-3", "id-4"]


async def test_a_handler_that_hangs_is_left_at_the_deadline(broker: Broker, url: str) -> None:
    app, began = App("shop", broker=url, drain=0.1), Heard[int]()

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        began.note(order.order_id)
        await asyncio.Event().wait()

    await broker.publish(orders(0))
    async with app.running():
        await began.reach(1)
        asked = time.monotonic()

    assert time.monotonic() - asked < 3.0
    async with broker.subscribe(["**"], group="shop.note") as inbox:
        assert [each.event.id for each in await inbox.receive()] == ["id-0"]


@pytest.mark.parametrize("kind", ["async", "def", "async list"])
async def test_what_was_handled_is_settled_at_the_deadline(broker: Broker, url: str, kind: str) -> None:
    app, began, release = App("shop", broker=url, drain=0.1), Heard[int](), threading.Event()

    async def hanging(order: OrderCreated) -> None:
        began.note(order.order_id)
        if order.order_id == 3:
            await asyncio.Event().wait()

    async def hanging_list(many: list[OrderCreated]) -> None:
        await hanging(many[0])

    def blocked(order: OrderCreated) -> None:
        began.note(order.order_id)
        if order.order_id == 3:
            release.wait(BOUND)

    handlers: dict[str, Any] = {"async": hanging, "def": blocked, "async list": hanging_list}
    app.on(OrderCreated, group="g", batch=Batch(1) if "list" in kind else None)(handlers[kind])
    await broker.publish(orders(*range(6)))
    async with app.running():
        await began.reach(4)
    release.set()

    assert began == [0, 1, 2, 3]
    async with broker.subscribe(["**"], group="g") as inbox:
        assert [each.event.id for each in await inbox.receive()] == ["id-3", "id-4", "id-5"]


async def test_a_carrier_that_fails_is_tried_again(broker: Broker, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app, heard, failures = App("shop", broker=url), Heard[int](), itertools.count()
    receive, settle = LogInbox.receive, LogInbox.settle

    async def receive_at_times(self: LogInbox, at_most: int = 500) -> list[Arrival]:
        if next(failures) in (0, 2):
            raise BrokerUnreachable("x://host", "it was cut")
        return await receive(self, at_most)

    async def settle_at_times(self: LogInbox, arrivals: Sequence[Arrival] | None = None) -> None:
        if next(failures) == 4:
            raise BrokerUnreachable("x://host", "it was cut")
        await settle(self, arrivals)

    monkeypatch.setattr(LogInbox, "receive", receive_at_times)
    monkeypatch.setattr(LogInbox, "settle", settle_at_times)

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with app.running():
        await broker.publish(orders(*range(5)))
        await settled(broker, "shop.note")

    assert set(heard) == set(range(5))


async def test_handlers_go_on_while_the_carrier_takes_what_is_done(
    broker: Broker, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, heard, settled_ids = App("shop", broker=url), Heard[int](), Heard[str]()
    may_settle, settle = asyncio.Event(), LogInbox.settle

    async def settle_in_time(self: LogInbox, arrivals: Sequence[Arrival] | None = None) -> None:
        await may_settle.wait()
        await settle(self, arrivals)
        for arrival in arrivals or ():
            settled_ids.note(arrival.event.id)

    monkeypatch.setattr(LogInbox, "settle", settle_in_time)

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with app.running():
        for number in range(20):
            await broker.publish(orders(number))
            await heard.reach(number + 1)
        assert settled_ids == []
        may_settle.set()

    assert sorted(settled_ids) == sorted(f"id-{number}" for number in range(20)), "who stops settles what is done"


async def test_a_settlement_that_is_refused_is_told_and_its_events_come_again(
    broker: Broker, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app, heard, failures, settle = App("shop", broker=url), Heard[int](), itertools.count(), LogInbox.settle

    async def refused_once(self: LogInbox, arrivals: Sequence[Arrival] | None = None) -> None:
        if next(failures) == 0:
            raise BrokerUnreachable("x://host", "it was cut")
        await settle(self, arrivals)

    monkeypatch.setattr(LogInbox, "settle", refused_once)

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with app.running():
        await broker.publish(orders(0))
        await heard.reach(2)

    told = [line for line in caplog.messages if line.startswith("trouble")]
    assert len(told) == 1
    assert "BrokerUnreachable" in told[0]


async def test_an_effect_that_no_carrier_takes_is_the_failure_of_its_event(
    broker: Broker, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, calls, publish = App("shop", broker=url), Heard[int](), LogBroker.publish

    async def small_only(self: LogBroker, events: Sequence[Event]) -> None:
        for event in events:
            if event.type == "stock:reserved" and event.causation_id == "id-1":
                raise EventRefused(event.id, "it has 2,000,000 bytes")
        await publish(self, events)

    @app.on(OrderCreated)
    async def reserve(order: OrderCreated) -> StockReserved:
        calls.note(order.order_id)
        return StockReserved(order.order_id)

    monkeypatch.setattr(LogBroker, "publish", small_only)
    async with broker.subscribe(["stock:reserved"], group="audit") as inbox:
        async with app.running():
            await broker.publish(orders(0, 1, 2))
            [letter] = await letters(broker, 1)
            await settled(broker, "shop.reserve")
        effects: list[str | None] = []
        while len(effects) < 2:
            effects += [each.event.causation_id for each in await inbox.receive()]

    assert (letter.event.id, sorted(map(str, effects))) == ("id-1", ["id-0", "id-2"])
    assert "2,000,000 bytes" in letter.reason
    assert sorted(calls) == [0, 1, 2]


async def test_what_follows_a_refused_effect_is_not_published_where_the_group_stops(
    broker: Broker, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, publish = App("shop", broker=url), LogBroker.publish

    async def small_only(self: LogBroker, events: Sequence[Event]) -> None:
        for event in events:
            if event.type == "stock:reserved" and event.causation_id == "id-1":
                raise EventRefused(event.id, "it has 2,000,000 bytes")
        await publish(self, events)

    @app.on(OrderCreated, on_exhausted="stop")
    async def reserve(order: OrderCreated) -> StockReserved:
        return StockReserved(order.order_id)

    monkeypatch.setattr(LogBroker, "publish", small_only)
    await broker.publish(orders(0, 1, 2))
    async with app.running():

        async def is_stopped() -> bool:
            return (await app.health()).groups[0].state == "stopped"

        await eventually(is_stopped)

    async with broker.subscribe(["stock:reserved"], group="audit") as inbox:
        assert [each.event.causation_id for each in await inbox.receive()] == ["id-0"]
    async with broker.subscribe(["order:created"], group="shop.reserve") as inbox:
        assert [each.event.id for each in await inbox.receive()] == ["id-1", "id-2"]


async def test_an_open_breaker_gives_nothing_up(broker: Broker) -> None:
    app, heard, calls = app_on(CannotDelay(broker, delay=False)), Heard[int](), itertools.count()

    @app.on(OrderCreated)
    async def pay(order: OrderCreated) -> None:
        if next(calls) < 3:
            raise CircuitOpen("payments", time.time() + 0.05)
        heard.note(order.order_id)

    async with app.running():
        await broker.publish(orders(1, 2))
        await heard.reach(2)
        await settled(broker, "shop.pay")

    assert sorted(heard) == [1, 2]
    assert await broker.letters() == []


async def test_a_broadcast_that_fails_is_tried_at_once_and_dropped(broker: Broker, url: str) -> None:
    app, calls = App("shop", broker=url), Heard[str]()

    @app.on("cache:dropped", broadcast=True)
    async def drop(event: Event) -> None:
        calls.note(event.id)
        if event.id == "1":
            raise OSError("busy")

    async with app.running():

        async def listens() -> bool:
            return len(await broker.groups()) == 1

        await eventually(listens)
        await broker.publish([Event(id=each, source="web", type="cache:dropped") for each in ("1", "2")])
        await calls.reach(5)

    assert calls == ["1", "1", "1", "1", "2"]
    assert await broker.letters() == []


async def test_a_member_that_joins_gets_its_share_of_a_backlog(broker: Broker, url: str) -> None:
    heard, second_has_begun = Heard[str](), asyncio.Event()

    def instance(name: str) -> App:
        app = App("shop", broker=url)

        @app.on("job:made")
        async def work(event: Event) -> None:
            await asyncio.sleep(0.002)
            heard.note(name)
            if name == "second":
                second_has_begun.set()

        return app

    await broker.publish([Event(source="web", type="job:made", key=str(number)) for number in range(1500)])
    async with instance("first").running():
        await heard.reach(10)
        async with instance("second").running(), asyncio.timeout(BOUND):
            await second_has_begun.wait()


async def test_each_process_hears_a_broadcast(broker: Broker, url: str) -> None:
    heard = Heard[str]()

    def instance(name: str) -> App:
        app = App("shop", broker=url)

        @app.on("cache:dropped", broadcast=True)
        async def drop(event: Event) -> None:
            heard.note(f"{name} {event.id}")

        return app

    first, second = instance("first"), instance("second")
    await broker.publish([Event(id="before", source="web", type="cache:dropped")])
    async with first.running(), second.running():

        async def both_listen() -> bool:
            return len(await broker.groups()) == 2

        await eventually(both_listen)
        await broker.publish([Event(id="1", source="web", type="cache:dropped")])
        await heard.reach(2)

    assert sorted(heard) == ["first 1", "second 1"]
    assert await broker.groups() == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"rate": "5/s"}, "rate needs a log"),
        ({"singleton": True}, "singleton needs a log"),
        ({"on_dead": "block"}, "on_dead='block' needs a log"),
        ({"blocked_limit": 10}, "blocked_limit needs a log"),
        ({"debounce": 1.0}, "debounce needs a log"),
        ({"start": "0001-x"}, "start='0001-x' needs a log"),
        ({"retry": Retry(attempts=9)}, "hands no event over later"),
        ({}, "keeps no dead letters"),
    ],
    ids=str,
)
async def test_what_cannot_be_kept_is_refused_at_start(broker: Broker, settings: Any, told: str) -> None:
    app = app_on(CannotDelay(broker, delay=False, dead_letters=bool(settings)))

    @app.on(OrderCreated, **settings)
    async def note(order: OrderCreated) -> None: ...

    with pytest.raises(ConfigurationError, match=told):
        async with app.running():
            pass


async def test_a_direct_handler_of_an_application_with_a_log_shares_its_events_with_nobody(
    broker: Broker, url: str
) -> None:
    app, heard = App("shop", log="memory:", broker=url), Heard[str]()

    @app.on(OrderCreated, direct=True)
    async def quick(order: OrderCreated) -> StockReserved:
        heard.note(f"direct {order.order_id}")
        return StockReserved(order.order_id)

    @app.on(StockReserved)
    async def kept(stock: StockReserved) -> None:
        heard.note(f"log {stock.order_id}")

    async with app.running():
        await broker.publish(orders(1))
        await heard.reach(2)
        assert (await app.health()).healthy
        assert sorted(each.group for each in await broker.groups()) == ["shop", "shop.quick"]

    assert heard == ["direct 1", "log 1"]


ASKS = ["tx", "later", "every", "transaction", "listen", "cancel", "delay", "relay_rate"]


@pytest.mark.parametrize("asks", ASKS)
async def test_what_needs_a_log_says_so(broker: Broker, url: str, asks: str) -> None:
    app = App("shop", broker=url, relay_rate="5/s" if asks == "relay_rate" else None)
    if asks == "tx":

        @app.on(OrderCreated)
        def write(order: OrderCreated, tx: Any) -> None: ...

    if asks == "every":

        @app.every("5m")
        async def tick() -> None: ...

    async def use() -> None:
        async with app.running():
            match asks:
                case "transaction":
                    async with app.transaction():
                        pass
                case "listen":
                    app.listen("**")
                case "cancel":
                    await app.cancel("1")
                case "delay" | "later":
                    await app.publish(OrderCreated(1), delay=5)

    with pytest.raises(ConfigurationError, match="log="):
        await use()


async def test_messages_that_nobody_could_read_are_dead_letters_of_the_log(
    broker: Broker, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, heard = App("shop", log="memory:", broker=url), Heard[int]()
    receive = LogInbox.receive

    async def spoilt(self: LogInbox, at_most: int = 500) -> list[Arrival]:
        arrivals = await receive(self, at_most)
        for arrival in arrivals:
            if arrival.event.id == "id-1":
                arrival.failure = ValueError("no JSON")
                arrival.notice = Event(
                    id="u", source="tidings", type=UNREADABLE, data=b"\xff", content_type="application/octet-stream"
                )
        return arrivals

    monkeypatch.setattr(LogInbox, "receive", spoilt)

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with app.running():
        await broker.publish(orders(0, 1, 2))
        await heard.reach(2)

        async def is_dead() -> bool:
            return bool((await app.dead.list()).letters)

        await eventually(is_dead)
        found = (await app.dead.list()).letters

    assert heard == [0, 2]
    assert [each.parked.group for each in found] == ["shop:unreadable"]
