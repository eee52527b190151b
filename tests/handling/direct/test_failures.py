"""Handlers that fail: tries at once and later, dead letters, and what no carrier takes."""

import itertools
import time

import pytest

from tests.handling.direct.stage import CannotDelay, app_on, letters, orders, refuse_effect_of, settled
from tests.handling.stage import Heard, OrderCreated, StockReserved, eventually
from tidings import App, Event, Reject, Retry
from tidings.brokers import Arrival, Broker
from tidings.brokers.foreign import UNREADABLE
from tidings.brokers.log_inbox import LogInbox
from tidings.errors import CircuitOpen
from tidings.handling.delivery import Delivery


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


async def test_an_effect_that_no_carrier_takes_is_the_failure_of_its_event(
    broker: Broker, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, calls = App("shop", broker=url), Heard[int]()

    @app.on(OrderCreated)
    async def reserve(order: OrderCreated) -> StockReserved:
        calls.note(order.order_id)
        return StockReserved(order.order_id)

    refuse_effect_of("id-1", monkeypatch)
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
