"""Handlers that take a list: how long it may be, and how long it waits."""

from tests.handling.direct.stage import orders
from tests.handling.stage import Heard, OrderCreated, eventually
from tidings import App
from tidings.brokers import Broker
from tidings.clock import ManualClock
from tidings.handling.flow.settings import Batch


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
