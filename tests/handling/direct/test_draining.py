"""The end of an application: what is in hand is answered, the rest is handed back, and no wait is without end."""

import asyncio
import threading
import time
from typing import Any

import pytest

from tests.handling.direct.stage import left, orders
from tests.handling.stage import BOUND, Heard, OrderCreated
from tidings import App
from tidings.brokers import Broker
from tidings.handling.flow.settings import Batch


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
    assert await left(broker, "shop.note") == ["id-1", "id-2", "id-3", "id-4"]


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
    assert await left(broker, "shop.note") == ["id-0"]


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
    assert await left(broker, "g") == ["id-3", "id-4", "id-5"]
