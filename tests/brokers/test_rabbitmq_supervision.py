"""The server is killed, frozen, cut off, or lets nobody in: errors are ours and come in time, and reading goes on."""

import asyncio
import time
from asyncio import to_thread
from collections.abc import AsyncIterator

import pytest

from tests.brokers import words
from tests.brokers.rabbitmq_words import MortalServer, going_on, mortal_server, own_prefix, until, url_of
from tests.brokers.words import tell_until_heard
from tests.servers.rabbitmq import RabbitmqServer
from tests.servers.server import free_ports
from tidings.brokers import Broker, connect
from tidings.errors import BrokerError, BrokerUnreachable, ConfigurationError
from tidings.events import Event
from tidings.testing.broker_conformance.words import arrived_ids, new_event, within


@pytest.fixture
def server() -> MortalServer:
    return mortal_server()


class Publishing:
    """Publishes until it is ended; knows what was acknowledged and what was refused."""

    def __init__(self, broker: Broker) -> None:
        self.acknowledged: list[str] = []
        self.refusals: list[BrokerError] = []
        self._broker = broker
        self._ended = False

    async def run(self) -> None:
        while not self._ended:
            events = [Event(source="shop", type="order:created", key=f"k{n}") for n in range(10)]
            try:
                await self._broker.publish(events)
                self.acknowledged.extend(event.id for event in events)
            except BrokerError as error:
                self.refusals.append(error)
            await asyncio.sleep(0.01)

    def end(self) -> None:
        self._ended = True


@pytest.fixture
async def brokers(server: MortalServer) -> AsyncIterator[list[Broker]]:
    prefix = own_prefix()
    brokers = [await connect(url_of(server, prefix=prefix, timeout=3)) for _ in range(2)]
    yield brokers
    await asyncio.gather(*(broker.close() for broker in brokers))


async def test_what_was_acknowledged_survives_a_server_that_is_killed_under_publisher_and_reader(
    server: MortalServer, brokers: list[Broker]
) -> None:
    taken: set[str] = set()
    publishing = Publishing(brokers[0])
    async with going_on(brokers[1], lambda arrivals: taken.update(arrived_ids(arrivals))) as failures:
        await until_heard(brokers[0], taken, 0)
        running = asyncio.ensure_future(publishing.run())
        began = time.monotonic()
        await until(lambda: len(taken) > 200 and time.monotonic() - began > 2, "reading for longer than 3.10 needs")
        await to_thread(server.kill9)
        await until(lambda: publishing.refusals and failures, "errors")
        await to_thread(server.start)
        before = len(publishing.acknowledged)
        await until(lambda: len(publishing.acknowledged) > before + 50, "publishing again")
        publishing.end()
        await running
        await until(lambda: taken >= set(publishing.acknowledged), "all that was acknowledged")
    assert {type(error) for error in publishing.refusals} == {BrokerUnreachable}


async def test_a_frozen_server_is_told_in_time_and_gone_on_with_when_it_thaws(server: MortalServer) -> None:
    url = url_of(server, timeout=2)
    broker, other = await connect(url), await connect(url)
    async with words.going_on(other) as reader:
        await tell_until_heard(broker, reader, new_event(0))
        before = len(reader.failures)
        await to_thread(server.pause)
        try:
            with pytest.raises(BrokerUnreachable, match="in time"):
                async with within("a publisher's failure"):
                    await broker.publish([new_event(1)])
            await reader.fails_again(before)
            with pytest.raises(BrokerUnreachable):
                async with within("a joiner's failure"), broker.subscribe(["**"], group="g"):
                    pass
        finally:
            await to_thread(server.resume)
        await tell_until_heard(broker, reader, new_event(2))
    for each in (broker, other):
        await each.close()


async def until_published(broker: Broker, number: int) -> None:
    """A server that was frozen needs a moment."""
    async with within("publishing"):
        while True:
            try:
                return await broker.publish([new_event(number)])
            except BrokerUnreachable:
                await asyncio.sleep(0.05)


async def test_a_connection_that_is_cut_is_made_again(rabbitmq_server: RabbitmqServer) -> None:
    broker = await connect(url_of(rabbitmq_server))
    taken: set[str] = set()
    async with going_on(broker, lambda arrivals: taken.update(arrived_ids(arrivals))) as failures:
        for number in range(3):
            await until_heard(broker, taken, number)
            for link in (vars(broker)["_publishing"], vars(broker)["_receiving"]):
                vars(link)["_streams"].abort()  # as when a router forgets the connection
            await until(lambda number=number: len(failures) > number, "the notice of it")  # type: ignore[misc]
        await until_heard(broker, taken, 3)
    await broker.close()


async def until_heard(broker: Broker, taken: set[str], number: int) -> None:
    """Publish until it is heard: a group that is not there yet hears nothing."""
    async with within(f"the receipt of id-{number}"):
        while f"id-{number}" not in taken:
            await until_published(broker, number)
            await asyncio.sleep(0.01)


async def test_what_is_cut_short_costs_nobody_else_the_connection(rabbitmq_server: RabbitmqServer) -> None:
    broker = await connect(url_of(rabbitmq_server))

    async def subscribe() -> None:
        async with broker.subscribe(["**"], group=None) as inbox:
            await inbox.receive()

    async def ask() -> None:
        await broker.groups()

    async with broker.subscribe(["**"], group="g") as inbox, within("the event"):
        for number in range(60):
            task = asyncio.ensure_future((subscribe, ask)[number % 2]())
            await asyncio.wait([task], timeout=0.001 * number)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or task.exception() is None
        await broker.publish([new_event(0)])
        assert arrived_ids(await inbox.receive()) == ["id-0"]
    await broker.close()


async def test_nobody_there_is_told_at_once() -> None:
    [port] = free_ports(1)
    broker = await connect(f"amqp://shop:hidden@127.0.0.1:{port}")

    with pytest.raises(BrokerUnreachable, match="cannot be reached") as publishing:
        await broker.publish([new_event(0)])
    with pytest.raises(BrokerUnreachable) as subscribing:
        async with broker.subscribe(["**"], group="g"):
            pass

    shown = f"{publishing.value!r} {publishing.value} {subscribing.value} {broker.url} {vars(broker)}"
    assert "hidden" not in shown + repr(vars(broker)["_settings"])


async def test_a_password_is_said_by_the_url_and_shown_to_nobody(
    rabbitmq_server: RabbitmqServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    url = url_of(rabbitmq_server)
    broker, refused = await connect(url), await connect(url.replace("guest:guest", "guest:hid%25den%2F"))
    await broker.publish([new_event(0)])
    with pytest.raises(BrokerUnreachable, match="refuses this user and password") as told:
        await refused.publish([new_event(0)])
    await broker.close()

    assert "hid" not in f"{told.value!r} {told.value} {refused.url} {vars(refused)} {caplog.text}"


async def test_tls_is_spoken_and_the_authority_is_asked_for(server: MortalServer) -> None:
    url = f"amqps://127.0.0.1:{server.tls_port}/?prefix={own_prefix()}&partitions=2"
    broker, stranger = await connect(f"{url}&ca={server.certificate}"), await connect(url)
    lost = await connect(f"{url}&ca=/nowhere.pem")

    async with broker.subscribe(["**"], group="g") as inbox, within("the event"):
        await broker.publish([new_event(0)])
        assert arrived_ids(await inbox.receive()) == ["id-0"]
    with pytest.raises(BrokerUnreachable, match="certificate"):
        await stranger.publish([new_event(1)])
    with pytest.raises(ConfigurationError, match=r"nowhere\.pem"):
        await lost.publish([new_event(1)])
    await broker.close()


async def test_a_virtual_host_that_is_not_there_is_told(rabbitmq_server: RabbitmqServer) -> None:
    broker = await connect(f"{rabbitmq_server.url}no%2Fwhere")

    with pytest.raises(BrokerUnreachable, match="virtual host 'no/where'"):
        await broker.publish([new_event(0)])
