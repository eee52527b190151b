"""Services hear each other over RabbitMQ, with a log each and without; while the server is away, publishing goes on."""

import asyncio
from asyncio import to_thread
from pathlib import Path

import uvloop

from tests.brokers.rabbitmq_words import mortal_server, url_of
from tests.handling.conftest import reports
from tests.handling.stage import Heard, OrderCreated, StockReserved
from tests.servers.rabbitmq import RabbitmqServer
from tidings import App, Reject, Retry
from tidings.brokers import connect
from tidings.testing.broker_conformance.words import ids_of, new_events, take, within

__all__ = ["reports"]  # what services report is shown with a failure


def service(name: str, folder: Path, bus: str) -> App:
    return App(name, log=f"sqlite:///{folder}/{name}.db", broker=bus, contracts=[OrderCreated, StockReserved])


async def there(bus: str, *groups: str) -> None:
    """Wait until these groups are there: a new one hears what is published from then on."""
    broker = await connect(bus)
    async with within(f"the groups {groups}"):
        while not {each.group for each in await broker.groups() if each.members} >= set(groups):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await broker.close()


async def test_the_handlers_of_two_services_hear_each_other(rabbitmq_server: RabbitmqServer, tmp_path: Path) -> None:
    bus = url_of(rabbitmq_server)
    shop, inventory = service("shop", tmp_path, bus), service("inventory", tmp_path, bus)
    reserved = Heard[int]()

    @inventory.on(OrderCreated)
    async def reserve(order: OrderCreated) -> StockReserved:
        return StockReserved(order.order_id)

    @shop.on(StockReserved)
    async def note(stock: StockReserved) -> None:
        reserved.note(stock.order_id)

    async with shop.running(), inventory.running():
        await there(bus, "shop", "inventory")
        for number in range(50):
            await shop.publish(OrderCreated(number))
        await reserved.reach(50)

    assert sorted(reserved) == list(range(50))


async def test_without_logs_failures_are_tried_again_later_and_given_up(rabbitmq_server: RabbitmqServer) -> None:
    bus = url_of(rabbitmq_server)
    shop, inventory = App("shop", broker=bus), App("inventory", broker=bus)
    reserved, tried = Heard[int](), Heard[int]()

    @inventory.on(OrderCreated, retry=[Retry(attempts=3, inline=0, wait=0.2)])
    async def reserve(order: OrderCreated) -> StockReserved:
        tried.note(order.order_id)
        if order.order_id == 3:
            raise Reject("nothing left")
        if order.order_id == 4 and list(tried).count(4) < 2:
            raise ConnectionError("away")
        return StockReserved(order.order_id)

    @shop.on(StockReserved)
    async def note(stock: StockReserved) -> None:
        reserved.note(stock.order_id)

    async with shop.running(), inventory.running():
        await there(bus, "shop.note", "inventory.reserve")
        for number in range(10):
            await shop.publish(OrderCreated(number))
        await reserved.reach(9)
    broker = await connect(bus)
    [letter] = await broker.letters()
    await broker.close()

    assert sorted(reserved) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert (letter.group, letter.event.type, letter.attempts) == ("inventory.reserve", "order:created", 1)
    assert "nothing left" in letter.reason


async def test_what_was_published_while_the_server_was_away_arrives(tmp_path: Path) -> None:
    server = await to_thread(mortal_server)
    bus = url_of(server, timeout=2)
    shop, inventory = service("shop", tmp_path, bus), service("inventory", tmp_path, bus)
    heard = Heard[int]()

    @inventory.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        heard.note(order.order_id)

    async with shop.running(), inventory.running():
        await there(bus, "inventory")
        await shop.publish(OrderCreated(0))
        await heard.reach(1)
        await to_thread(server.stop)
        for number in range(1, 20):
            await shop.publish(OrderCreated(number))
        await to_thread(server.start)
        await heard.reach(20)

    assert sorted(heard) == list(range(20))


def test_it_works_on_uvloop(rabbitmq_server: RabbitmqServer) -> None:
    async def there_and_back() -> list[str]:
        broker = await connect(url_of(rabbitmq_server))
        async with broker.subscribe(["**"], group="g", prefetch=100) as inbox:
            await broker.publish(new_events(0, 1000))
            arrived = await take(inbox, ids_of(new_events(0, 1000)))
        await broker.close()
        return ids_of(arrived)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        arrived = runner.run(there_and_back())

    assert sorted(arrived) == sorted(ids_of(new_events(0, 1000)))
