"""Handlers that hear a broker itself: what they hear and cause, beside a log too."""

from typing import Any

import pytest

from tests.handling.direct.stage import fail_to_settle_once, orders, settled
from tests.handling.stage import Heard, OrderCreated, StockReserved
from tidings import App, Event
from tidings.brokers import Broker


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


async def test_an_event_that_is_handled_again_has_the_same_effects(
    broker: Broker, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, ids, settlements = App("shop", broker=url), Heard[str](), fail_to_settle_once(monkeypatch)

    @app.on(OrderCreated)
    async def reserve(order: OrderCreated) -> StockReserved:
        return StockReserved(order.order_id)

    @app.on("stock:reserved")
    async def note(event: Event) -> None:
        ids.note(event.id)

    async with app.running():
        await broker.publish(orders(1))
        await settled(broker, "shop.reserve")
        await settled(broker, "shop.note")

    assert next(settlements) > 2, "it was handled twice"
    assert len(ids) == 1, "the carrier knows the second one by its id"


async def test_what_is_no_json_is_handled_as_it_is(broker: Broker, url: str) -> None:
    app, heard = App("shop", broker=url), Heard[Any]()

    @app.on("image:taken")
    async def look(data: Any) -> None:
        heard.note(data)

    async with app.running():
        await broker.publish([Event(source="web", type="image:taken", data=b"\xff", content_type="image/png")])
        await heard.reach(1)

    assert heard == [b"\xff"]


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
