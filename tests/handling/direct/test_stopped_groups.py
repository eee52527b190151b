"""A group that stops at what it cannot handle: nothing behind it is handled, and nothing is lost."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.handling.direct.stage import CannotDelay, app_on, left, orders, refuse_effect_of, stopped
from tests.handling.stage import Heard, OrderCreated, StockReserved, eventually
from tidings import App, Event, Reject
from tidings.brokers import Broker


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
    assert await left(broker, "shop.note") == ["id-1", "id-2"], "neither is lost"


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
        await stopped(app)

    assert not [n for n in heard if n > 4 and n % 3 == 4 % 3], "they have its key"
    if concurrency == 1:
        assert set(heard) == {0, 1, 2, 3}
    assert {f"id-{n}" for n in range(60) if n not in heard} <= set(await left(broker, "g")), "nothing is lost"


async def test_what_stands_behind_an_unreadable_event_is_not_handled_where_the_group_stops(broker: Broker) -> None:
    app, heard = app_on(CannotDelay(broker, delay=False)), Heard[int]()

    @app.on(OrderCreated, on_exhausted="stop")
    async def note(many: list[OrderCreated]) -> None:
        for each in many:
            heard.note(each.order_id)

    bad = Event(id="bad", source="web", type="order:created", data={"order_id": "seven"})
    await broker.publish([*orders(0), bad, *orders(1, 2)])
    async with app.running():
        await stopped(app)

    assert heard == [0]
    assert await left(broker, "shop.note") == ["bad", "id-1", "id-2"]


async def test_what_follows_a_refused_effect_is_not_published_where_the_group_stops(
    broker: Broker, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = App("shop", broker=url)

    @app.on(OrderCreated, on_exhausted="stop")
    async def reserve(order: OrderCreated) -> StockReserved:
        return StockReserved(order.order_id)

    refuse_effect_of("id-1", monkeypatch)
    await broker.publish(orders(0, 1, 2))
    async with app.running():
        await stopped(app)

    async with broker.subscribe(["stock:reserved"], group="audit") as inbox:
        assert [each.event.causation_id for each in await inbox.receive()] == ["id-0"]
    assert await left(broker, "shop.reserve", "order:created") == ["id-1", "id-2"]
