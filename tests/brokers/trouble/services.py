"""Services hear each other, with a log each and with none, on either event loop, and when the server was away."""

import asyncio
from asyncio import to_thread
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.brokers.carriers import Carrier, has_server, runs_on_java, those
from tests.brokers.words import Opened, own_name
from tests.handling.stage import Heard, OrderCreated, StockReserved, eventually
from tests.servers.server import Server
from tidings import App, Reject, Retry
from tidings.brokers import Wanted, connect
from tidings.testing.broker_conformance.words import ids_of, new_events, take, within

_HEAR = {"stock": "order:*", "stock.reserve": "order:*", "orders": "stock:*", "orders.note": "stock:*"}


class Services:
    """One hears of orders and reserves, the other hears of it."""

    def __init__(self, carrier: Carrier, bus: str, folder: Path | None) -> None:
        logs = {name: f"sqlite:///{folder}/{name}.db" if folder else None for name in ("orders", "stock")}
        contracts = [OrderCreated, StockReserved]
        self.orders = App("orders", log=logs["orders"], broker=bus, contracts=contracts)
        self.stock = App("stock", log=logs["stock"], broker=bus, contracts=contracts)
        self.noted = Heard[int]()
        decides: dict[str, Any] = {} if folder or carrier.claims.dead_letters else {"on_exhausted": "stop"}

        @self.stock.on(OrderCreated, **decides)
        async def reserve(order: OrderCreated) -> StockReserved:
            return StockReserved(order.order_id)

        @self.orders.on(StockReserved, **decides)
        async def note(stock: StockReserved) -> None:
            self.noted.note(stock.order_id)


async def _make_groups(opened: Opened, bus: str) -> None:
    """Some carriers keep nothing for a group before there is one."""
    broker = await opened(bus)
    await broker.setup(Wanted((), tuple((group, (pattern,)) for group, pattern in _HEAR.items())), apply=True)


@pytest.mark.parametrize("has_log", [True, False])
@those(has_server)
async def test_the_handlers_of_two_services_hear_each_other(
    carrier: Carrier, url: str, opened: Opened, tmp_path: Path, has_log: bool
) -> None:
    services = Services(carrier, url, tmp_path if has_log else None)
    await _make_groups(opened, url)
    async with services.orders.running(), services.stock.running():
        if not carrier.keeps:
            async with within("news, as nobody keeps what came before who hears it"):
                while not services.noted:
                    await services.orders.publish(OrderCreated(0))
                    await asyncio.sleep(0.01)
        for number in range(50):
            await services.orders.publish(OrderCreated(number))
        await eventually(lambda: _is(lambda: {*services.noted} == {*range(50)}))


async def _is(condition: Callable[[], bool]) -> bool:
    return condition()


@those(lambda carrier: carrier.keeps and has_server(carrier), long=runs_on_java)
async def test_what_was_published_while_the_server_was_away_arrives(
    carrier: Carrier, mortal: Server, opened: Opened, tmp_path: Path
) -> None:
    bus = carrier.hasty(mortal, own_name())
    services = Services(carrier, bus, tmp_path)
    await _make_groups(opened, bus)
    async with services.orders.running(), services.stock.running():
        await services.orders.publish(OrderCreated(0))
        await services.noted.reach(1)
        await asyncio.sleep(carrier.ripens)
        await to_thread(mortal.kill9)
        for number in range(1, 20):
            await services.orders.publish(OrderCreated(number))
        await to_thread(mortal.start)
        await services.noted.reach(20)

    assert sorted(services.noted) == list(range(20))


@those(lambda carrier: carrier.claims.delay and carrier.claims.dead_letters and has_server(carrier))
async def test_without_logs_failures_are_tried_again_later_and_given_up_by_the_carrier_alone(
    carrier: Carrier, url: str, opened: Opened
) -> None:
    app, tried, noted = App("shop", broker=url), list[int](), Heard[int]()

    @app.on(OrderCreated, retry=[Retry(attempts=3, inline=0, wait=0.2)])
    async def reserve(order: OrderCreated) -> StockReserved:
        tried.append(order.order_id)
        if order.order_id == 3:
            raise Reject("nothing left")
        if order.order_id == 4 or (order.order_id == 5 and tried.count(5) < 3):
            raise ConnectionError("not now")
        return StockReserved(order.order_id)

    @app.on(StockReserved)
    async def note(stock: StockReserved) -> None:
        noted.note(stock.order_id)

    broker = await opened(url)
    groups = (("shop.reserve", ("order:*",)), ("shop.note", ("stock:*",)))
    await broker.setup(Wanted((), groups), apply=True)
    async with app.running():
        for number in range(8):
            await app.publish(OrderCreated(number))
        await noted.reach(6)

        async def are_kept() -> bool:
            return len(await broker.letters("shop.reserve")) == 2

        await eventually(are_kept)
    letters = {letter.event.key: letter for letter in await broker.letters("shop.reserve")}

    assert sorted(noted) == [0, 1, 2, 5, 6, 7]
    assert [tried.count(number) for number in range(8)] == [1, 1, 1, 1, 3, 3, 1, 1]
    assert {key: letter.attempts for key, letter in letters.items()} == {"3": 1, "4": 3}
    assert "nothing left" in letters["3"].reason
    assert "not now" in letters["4"].reason


@those(has_server)
def test_it_works_on_uvloop(carrier: Carrier, url: str) -> None:
    async def there_and_back() -> list[str]:
        broker = await connect(url)
        async with broker.subscribe(["**"], group="g", prefetch=100) as inbox:
            await broker.publish(new_events(0, 1000))
            arrived = await take(inbox, ids_of(new_events(0, 1000)))
        await broker.close()
        return ids_of(arrived)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert {*runner.run(there_and_back())} == {*ids_of(new_events(0, 1000))}
