"""Services hear each other over NATS, with a log each or with none; while the server is away, publishing goes on."""

import asyncio
from asyncio import to_thread
from pathlib import Path

import pytest
import uvloop

from tests.brokers.nats_words import own_prefix, url_of
from tests.handling.conftest import reports
from tests.handling.stage import Heard, OrderCreated, StockReserved, eventually
from tests.servers.fixtures import FreshServer
from tests.servers.nats import NatsServer
from tidings import App, Reject, Retry
from tidings.brokers import connect
from tidings.testing.broker_conformance.words import ids_of, new_events, take, within

__all__ = ["reports"]  # what services report is shown with a failure


def service(name: str, folder: Path, bus: str) -> App:
    return App(name, log=f"sqlite:///{folder}/{name}.db", broker=bus, contracts=[OrderCreated, StockReserved])


async def test_the_handlers_of_two_services_hear_each_other(nats_server: NatsServer, tmp_path: Path) -> None:
    bus = url_of(nats_server, prefix=own_prefix())
    shop, inventory = service("shop", tmp_path, bus), service("inventory", tmp_path, bus)
    reserved = Heard[int]()

    @inventory.on(OrderCreated)
    async def reserve(order: OrderCreated) -> StockReserved:
        return StockReserved(order.order_id)

    @shop.on(StockReserved)
    async def note(stock: StockReserved) -> None:
        reserved.note(stock.order_id)

    async with shop.running(), inventory.running():
        for number in range(50):
            await shop.publish(OrderCreated(number))
        await reserved.reach(50)

    assert sorted(reserved) == list(range(50))


async def test_handlers_need_no_log_and_what_fails_comes_again_or_is_kept(nats_server: NatsServer) -> None:
    bus = url_of(nats_server, prefix=own_prefix())
    app, reserved, tried = App("shop", broker=bus), Heard[int](), list[int]()

    @app.on(OrderCreated, retry=Retry(attempts=3, inline=0, wait=0.05))
    async def reserve(order: OrderCreated) -> StockReserved:
        tried.append(order.order_id)
        if order.order_id == 3:
            raise Reject("no stock")
        if order.order_id == 5 and tried.count(5) < 3:
            raise ValueError("not yet")
        return StockReserved(order.order_id)

    @app.on(StockReserved)
    async def note(stock: StockReserved) -> None:
        reserved.note(stock.order_id)

    broker = await connect(bus)
    async with app.running():
        for number in range(10):
            await app.publish(OrderCreated(number))
        await reserved.reach(9)

        async def is_kept() -> bool:
            return [letter.group for letter in await broker.letters()] == ["shop.reserve"]

        await eventually(is_kept)
    [letter] = await broker.letters("shop.reserve")
    await broker.close()

    assert sorted(reserved) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert "no stock" in letter.reason
    assert tried.count(5) == 3


async def test_news_travel_without_jetstream(nats_server: NatsServer) -> None:
    bus = url_of(nats_server, prefix=own_prefix(), jetstream="no")
    app, heard = App("shop", broker=bus), Heard[int]()

    @app.on(OrderCreated, on_exhausted="drop")
    async def note(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with app.running(), within("news, as nobody keeps what came before the handler"):
        while len(heard) < 3:
            await app.publish(OrderCreated(len(heard)))
            await asyncio.sleep(0.01)


async def test_what_was_published_while_the_server_was_away_arrives(fresh_server: FreshServer, tmp_path: Path) -> None:
    server = await to_thread(fresh_server, NatsServer)
    bus = url_of(server, prefix="x", timeout=1, session=1)
    shop, inventory = service("shop", tmp_path, bus), service("inventory", tmp_path, bus)
    heard = Heard[int]()

    @inventory.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with shop.running(), inventory.running():
        await shop.publish(OrderCreated(0))
        await heard.reach(1)
        await to_thread(server.kill9)
        for number in range(1, 20):
            await shop.publish(OrderCreated(number))
        await to_thread(server.start)
        await heard.reach(20)

    assert sorted(heard) == list(range(20))


@pytest.mark.parametrize("jetstream", ["yes", "no"])
def test_it_works_on_uvloop(nats_server: NatsServer, jetstream: str) -> None:
    async def there_and_back() -> list[str]:
        broker = await connect(url_of(nats_server, prefix=own_prefix(), jetstream=jetstream))
        async with broker.subscribe(["**"], group="g", prefetch=100) as inbox:
            await broker.publish(new_events(0, 1000))
            arrived = await take(inbox, ids_of(new_events(0, 1000)))
        await broker.close()
        return ids_of(arrived)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        arrived = runner.run(there_and_back())

    assert sorted(arrived) == sorted(ids_of(new_events(0, 1000)))
