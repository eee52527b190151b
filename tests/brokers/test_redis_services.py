"""Two services, each with its own log, hear each other over Redis; while the server is away, publishing goes on."""

import asyncio
from asyncio import to_thread
from pathlib import Path

import pytest
import uvloop

from tests.brokers.redis_words import AnotherClient, own_prefix, url_of
from tests.handling.conftest import reports
from tests.handling.stage import Heard, OrderCreated, StockReserved, parked
from tests.servers.fixtures import FreshServer
from tests.servers.redis import RedisServer
from tidings import App, Event
from tidings.brokers import connect
from tidings.brokers.foreign import Decode, Message
from tidings.testing.broker_conformance.words import ids_of, new_events, take, within

__all__ = ["reports"]  # what services report is shown with a failure


def service(name: str, folder: Path, bus: str) -> App:
    return App(name, log=f"sqlite:///{folder}/{name}.db", broker=bus, contracts=[OrderCreated, StockReserved])


@pytest.mark.parametrize("scheme", ["redis", "redis+pubsub"])
async def test_the_handlers_of_two_services_hear_each_other(
    redis_server: RedisServer, tmp_path: Path, scheme: str
) -> None:
    prefix, other = own_prefix(), AnotherClient(redis_server)
    bus = url_of(redis_server, prefix=prefix, scheme=scheme)
    shop, inventory = service("shop", tmp_path, bus), service("inventory", tmp_path, bus)
    reserved = Heard[int]()

    @inventory.on(OrderCreated)
    async def reserve(order: OrderCreated) -> StockReserved:
        return StockReserved(order.order_id)

    @shop.on(StockReserved)
    async def note(stock: StockReserved) -> None:
        reserved.note(stock.order_id)

    async with shop.running(), inventory.running():
        async with within("two subscribers, as nobody else keeps what they miss"):
            while "pubsub" in scheme and len(await other.pubsub_channels(f"{prefix}*")) < 2:
                pass
        for number in range(50):
            await shop.publish(OrderCreated(number))
        await reserved.reach(50)

    assert sorted(reserved) == list(range(50))


async def test_what_was_published_while_the_server_was_away_arrives(fresh_server: FreshServer, tmp_path: Path) -> None:
    server = await to_thread(fresh_server, RedisServer)
    bus = url_of(server, prefix="", timeout=1)
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


async def test_a_message_that_is_read_at_last_still_has_its_headers_and_key(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    prefix, other = own_prefix(), AnotherClient(redis_server)
    seen = Heard[Message]()

    def decode(message: Message) -> Event:
        seen.note(message)
        return Event(id=message.place, source="sensors", type="sensors:read", key=message.key, data=1)

    def home(decoders: dict[str, Decode]) -> App:
        bus = url_of(redis_server, prefix=prefix)
        app = App("home", log=f"sqlite:///{tmp_path}/home.db", broker=bus, decoders=decoders)
        app.on("sensors:read")(note)
        return app

    read = Heard[Event]()

    async def note(event: Event) -> None:
        read.note(event)

    async with home({}).running() as blind:
        fields = {"data": b"\xff", "key": "dev\u00efce 7", "unit": "C\n", "content-type": "text/x-sensor"}
        await other.xadd(f"{prefix}stream:sensors:0", fields)
        await blind.publish("sensors:known", {})  # which makes the channel
        await parked(blind, "dead", group="home:unreadable")
    async with home({"sensors": decode}).running() as app:
        [letter] = (await app.dead.list()).letters
        await app.dead.retry(letter.parked.event_id)
        await read.reach(1)

    [message] = [each for each in seen if each.data == b"\xff"]
    assert (message.channel, message.key, message.content_type) == ("sensors", "dev\u00efce 7", "text/x-sensor")
    assert (message.headers["unit"], message.headers["key"]) == ("C\n", "dev\u00efce 7")
    assert read[0].key == "dev\u00efce 7"


@pytest.mark.parametrize("scheme", ["redis", "redis+pubsub"])
def test_it_works_on_uvloop(redis_server: RedisServer, scheme: str) -> None:
    async def there_and_back() -> list[str]:
        broker = await connect(url_of(redis_server, prefix=own_prefix(), scheme=scheme))
        async with broker.subscribe(["**"], group="g", prefetch=100) as inbox:
            await broker.publish(new_events(0, 1000))
            arrived = await take(inbox, ids_of(new_events(0, 1000)))
        await broker.close()
        return ids_of(arrived)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        arrived = runner.run(there_and_back())

    assert sorted(arrived) == sorted(ids_of(new_events(0, 1000)))
