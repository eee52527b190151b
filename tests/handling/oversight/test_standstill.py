"""A handler that blocks the event loop is found from outside, by name and line, and told of once."""

import asyncio
import threading
import time
from functools import partial
from typing import Any

import pytest

from tests.handling.stage import BOUND, Heard, OrderCreated, StockReserved
from tidings import App
from tidings.handling.oversight.standstill import Standstill, standstills_told


class Told(list[Standstill]):
    """What was told, and a handler that keeps its thread busy until something is."""

    def __init__(self) -> None:
        super().__init__()
        self._news = threading.Event()

    def __call__(self, found: Standstill) -> None:
        self.append(found)
        self._news.set()

    def keep_busy(self) -> None:
        limit = time.monotonic() + BOUND
        while not self._news.is_set() and time.monotonic() < limit:
            pass


async def test_a_handler_that_blocks_is_named_with_its_line_and_once(app: App) -> None:
    told, heard, calm = Told(), Heard[int](), Heard[int]()

    @app.on()
    async def show(order: OrderCreated) -> None:
        told.keep_busy()
        heard.note(order.order_id)

    @app.on()
    async def wait(stock: StockReserved) -> None:
        await asyncio.sleep(0)
        calm.note(stock.order_id)

    with standstills_told(app.subscriptions, told):
        async with app.running():
            await app.publish_many([OrderCreated(number) for number in range(3)])
            await app.publish(StockReserved(1))
            await heard.reach(3)
            await calm.reach(1)

    (found,) = told
    assert (found.group, found.file) == ("shop.show", __file__)
    assert found.handler.endswith("show")
    assert found.line == show.__code__.co_firstlineno + 2
    assert "write" in str(found)
    assert "as a plain 'def', which runs in a thread" in str(found)


@pytest.mark.parametrize("form", ["partial", "object"])
async def test_a_handler_of_any_form_is_found(form: str, app: App) -> None:
    told, heard = Told(), Heard[int]()

    async def show(prefix: str, order: OrderCreated) -> None:
        told.keep_busy()
        heard.note(order.order_id)

    class Shown:
        async def __call__(self, order: OrderCreated) -> None:
            await show("", order)

    handlers: dict[str, Any] = {"partial": partial(show, ""), "object": Shown()}
    app.on(OrderCreated, group="shop.shown")(handlers[form])

    with standstills_told(app.subscriptions, told):
        async with app.running():
            await app.publish(OrderCreated(1))
            await heard.reach(1)

    assert [one.group for one in told] == ["shop.shown"]


async def test_without_an_async_handler_there_is_no_watch(app: App) -> None:
    @app.on()
    def show(order: OrderCreated) -> None: ...

    before = threading.active_count()

    with standstills_told(app.subscriptions):
        assert threading.active_count() == before
