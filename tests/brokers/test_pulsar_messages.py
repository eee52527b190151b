"""What stands in Pulsar's messages and topics: the binding, what others wrote, dead letters, names, settings."""

import os
import re
import subprocess
import sys
import urllib.request
import uuid
from asyncio import to_thread
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pulsar  # type: ignore[import-untyped]  # it has none
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from tests.servers.pulsar import PulsarServer
from tidings import Broker, Event
from tidings.brokers import Channels, Wanted, connect
from tidings.brokers.foreign import UNREADABLE, json_decoder
from tidings.brokers.pulsar.names import again_topic_of, channel_of, dead_topic_of, pattern_of, topic_of
from tidings.brokers.pulsar.settings import settings_of
from tidings.errors import BrokerError, BrokerUnreachable, ConfigurationError, EventRefused, MissingExtra
from tidings.testing.broker_conformance.words import (
    ids_of,
    new_event,
    new_events,
    take,
    take_arrivals,
    take_until_marked,
    within,
)

Connect = Callable[..., Any]


@pytest.fixture
def prefix() -> str:
    return f"m{uuid.uuid4().hex[:8]}."


@pytest.fixture
async def connected(pulsar_server: PulsarServer, prefix: str) -> AsyncIterator[Connect]:
    opened: list[Broker] = []

    async def connected(channels: Channels | None = None, settings: str = "") -> Broker:
        url = f"{pulsar_server.url}?prefix={prefix}&admin={pulsar_server.admin_url}{settings}"
        broker = await connect(url, channels=channels)
        opened.append(broker)
        return broker

    yield connected
    for broker in opened:
        await broker.close()


class Native:
    """Pulsar's own client, as somebody without tidings has it. Blocks."""

    def __init__(self, server: PulsarServer, prefix: str) -> None:
        quiet = pulsar.FileLogger(pulsar.LoggerLevel.Error, os.devnull)
        self.client = pulsar.Client(server.url, operation_timeout_seconds=20, logger=quiet)
        self.prefix = prefix

    def write(self, channel: str, data: bytes, key: str | None = None, properties: Any = None) -> None:
        producer = self.client.create_producer(self.prefix + channel)
        producer.send(data, properties, key)
        producer.close()

    def read(self, channel: str) -> Any:
        reader = self.client.create_reader(self.prefix + channel, pulsar.MessageId.earliest)
        message = reader.read_next(20_000)
        reader.close()
        return message


@pytest.fixture
def native(pulsar_server: PulsarServer, prefix: str) -> Iterator[Native]:
    native = Native(pulsar_server, prefix)
    yield native
    native.client.close()


async def test_the_official_sdk_reads_what_is_written(connected: Connect, native: Native) -> None:
    time = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    headers: dict[str, Any] = {"tenant": "nörd"}
    event = Event(id="1", source="shop", type="order:created", data={"total": 1}, key="k-7", time=time, headers=headers)
    await (await connected()).publish([event])

    message = await to_thread(native.read, "order")

    written = {name: text.encode() for name, text in message.properties().items()}
    read = from_binary_event(KafkaMessage(written, message.partition_key().encode(), message.data()))
    assert (read.get_id(), read.get_source(), read.get_type()) == ("1", "shop", "order:created")
    assert (read.get_time(), read.get_data()) == (time, {"total": 1})
    assert (read.get_extension("partitionkey"), read.get_extension("tenant")) == ("k-7", "nörd")
    assert message.partition_key() == "k-7"


@pytest.mark.parametrize("write", [to_binary_event, to_structured_event])
async def test_what_the_official_sdk_writes_is_read(
    connected: Connect, native: Native, write: Callable[[CloudEvent], KafkaMessage]
) -> None:
    attributes: dict[str, Any] = {"id": "1", "source": "/sdk", "type": "order:created", "partitionkey": "k-7"}
    attributes |= {"specversion": "1.0", "datacontenttype": "application/json", "time": datetime.now(UTC)}
    message = write(CloudEvent(attributes | {"tenant": "nörd"}, {"total": "39.90"}))
    properties = {name: text.decode() for name, text in message.headers.items()}
    broker = await connected()
    async with broker.subscribe(["order:created"], group="g") as inbox:
        await to_thread(native.write, "order", message.value, None, properties)
        [event] = await take(inbox, ["1"])

    assert (event.source, event.key, event.headers) == ("/sdk", "k-7", {"tenant": "nörd"})
    assert event.time == attributes["time"]
    assert b"39.90" in bytes(event.data)


async def test_a_messages_key_is_the_events_where_nothing_else_says_one(connected: Connect, native: Native) -> None:
    attributes = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "s", "ce_type": "order:created"}
    broker = await connected()
    async with broker.subscribe(["order:*"], group="g") as inbox:
        await to_thread(native.write, "order", b"{}", "customer-7", attributes)
        await to_thread(native.write, "order", b"{}", "2", attributes | {"ce_id": "2"})
        events = {event.id: event for event in await take(inbox, ["1", "2"])}

    assert (events["1"].key, events["2"].key) == ("customer-7", None)


async def test_what_others_write_is_read_by_a_declared_decoder(connected: Connect, native: Native) -> None:
    broker = await connected(Channels(decoders={"order": json_decoder("order:created", key="customer")}))
    async with broker.subscribe(["order:created"], group="g") as inbox:
        await to_thread(native.write, "order", b'{"customer": 7}')
        [arrival] = await take_arrivals(inbox, (), at_least=1)

    assert (arrival.event.type, arrival.event.key) == ("order:created", "7")
    assert bytes(arrival.event.data) == b'{"customer": 7}'


async def test_what_nobody_can_read_stops_nothing_and_becomes_a_dead_letter_as_it_was(
    connected: Connect, native: Native
) -> None:
    broken = {"ce_specversion": "0.2", "own": "kept"}
    broker = await connected()
    async with broker.subscribe(["order:created"], group="g") as inbox:
        await to_thread(native.write, "order", b"\x00\xff", "k", broken)
        [arrival] = await take_arrivals(inbox, (), at_least=1)
        assert arrival.failure is not None
        await inbox.retry(arrival, 0)
        [again] = await take_arrivals(inbox, (), at_least=1)
        assert (again.event.id, again.attempt) == (arrival.event.id, 2)
        await inbox.reject(again, "unreadable", "x" * 20_000)
        assert await take_until_marked(broker, inbox) == []
    [letter] = await broker.letters("g")
    kept = await to_thread(native.read, "~dead")

    assert (letter.event.type, letter.event.data, letter.event.id) == (UNREADABLE, b"\x00\xff", arrival.event.id)
    assert (letter.reason, len(letter.detail), letter.attempts) == ("unreadable", 16_000, 2)
    assert kept.properties() | broken == kept.properties()
    assert (kept.data(), kept.partition_key()) == (b"\x00\xff", "k")


async def test_a_dead_letter_that_can_be_read_meanwhile_is_read_when_it_is_heard_again(
    connected: Connect, native: Native
) -> None:
    broker = await connected()
    async with broker.subscribe(["order:created"], group="g") as inbox:
        await to_thread(native.write, "order", b"{}", "k")
        [arrival] = await take_arrivals(inbox, (), at_least=1)
        await inbox.reject(arrival, "unreadable")
    [letter] = await broker.letters()
    wiser = await connected(Channels(decoders={"order": json_decoder("order:created")}))
    await wiser.resolve(letter, again=True)
    async with wiser.subscribe(["order:created"], group="g") as inbox:
        [again] = await take_arrivals(inbox, (), at_least=1)
        assert (again.event.type, again.event.key, again.attempt) == ("order:created", "k", 2)
        await inbox.reject(again, "still wrong")
    [letter] = await broker.letters()
    await broker.resolve(letter, again=False)

    assert (letter.reason, letter.attempts, letter.group) == ("still wrong", 2, "g")
    assert await broker.letters() == []


async def test_the_letters_of_all_groups_are_told_apart(connected: Connect) -> None:
    broker = await connected()
    for group in ("shop:orders", "shop.orders"):
        async with broker.subscribe([f"{group}:*"], group=group) as inbox:
            await broker.publish([new_event(0, type=f"{group}:made")])
            [arrival] = await take_arrivals(inbox, (), at_least=1)
            await inbox.reject(arrival, group)

    assert {letter.group: letter.reason for letter in await broker.letters()} == {
        "shop:orders": "shop:orders",
        "shop.orders": "shop.orders",
    }
    assert [letter.group for letter in await broker.letters("shop:orders")] == ["shop:orders"]
    assert {each.group: each.dead for each in await broker.groups()} == {"shop:orders": 1, "shop.orders": 1}


async def test_a_listener_without_a_group_hears_a_channel_that_comes_later_and_leaves_nothing_behind(
    connected: Connect, prefix: str
) -> None:
    broker = await connected()
    await broker.publish([new_event(0)])
    async with broker.subscribe(["**"], group=None) as inbox:
        await broker.publish([new_event(1, type="stock:low"), new_event(2)])
        assert sorted(ids_of(await take(inbox, ["id-1", "id-2"]))) == ["id-1", "id-2"]

    administration = broker._administration
    topics = [topic for topic in await administration.topics() if prefix in topic]
    assert len(topics) == 3
    assert [await administration.subscriptions(topic) for topic in topics] == [{}] * 3


async def test_a_topic_that_changes_its_server_hands_nothing_over_twice(
    connected: Connect, pulsar_server: PulsarServer, prefix: str
) -> None:
    broker = await connected()
    async with broker.subscribe(["order:*"], group="g") as inbox:
        await broker.publish(new_events(0, 10))
        arrivals = await take_arrivals(inbox, ids_of(new_events(0, 10)))
        await inbox.settle(arrivals[:3])
        await to_thread(tell_server, pulsar_server, f"persistent/public/default/{prefix}order/unload")
        await broker.publish([new_event(10)])
        assert ids_of(await take(inbox, ["id-10"])) == ["id-10"]
        await inbox.settle(arrivals[3:])
        assert await take_until_marked(broker, inbox) == []


async def test_a_delay_outlives_the_member_that_asked_for_it(connected: Connect) -> None:
    broker, other = await connected(), await connected()
    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish([new_event(0)])
        [arrival] = await take_arrivals(inbox, ["id-0"])
        await inbox.retry(arrival, 0.3)
    await broker.close()
    async with other.subscribe(["**"], group="g") as inbox:
        [again] = await take_arrivals(inbox, ["id-0"])

    assert again.attempt == 2


async def test_what_is_missing_is_made_when_asked_for_and_what_differs_is_told(
    pulsar_server: PulsarServer, prefix: str
) -> None:
    at = f"{pulsar_server.url}/public/{prefix}?admin={pulsar_server.admin_url}"
    nowhere = await connect(at)
    with pytest.raises(BrokerError, match="404"):
        await nowhere.setup(Wanted(("order",)), apply=True)
    await to_thread(tell_server, pulsar_server, f"namespaces/public/{prefix}")
    broker, longer = await connect(at), await connect(at + "&retention=9000000")
    wanted = Wanted(("order", "stock"), (("g", ("shop:*", "order:*")),))

    before = await broker.setup(wanted, apply=False)
    made = await broker.setup(wanted, apply=True)
    after = await broker.setup(wanted, apply=False)
    other = await longer.setup(wanted, apply=True)

    names = [f"retention of namespace public/{prefix}", "topic order", "topic shop", "topic stock"]
    assert [(each.what, each.state) for each in before] == [(name, "missing") for name in names]
    assert [(each.what, each.state) for each in made] == [(name, "created") for name in names]
    assert after == []
    assert [(each.what, each.state) for each in other] == [(names[0], "differs")]
    assert "9e+06 s wanted, 604800 s found" in other[0].detail
    for each in (nowhere, broker, longer):
        await each.close()


async def test_what_a_killed_listener_leaves_behind_is_told(connected: Connect, native: Native, prefix: str) -> None:
    def leave_behind() -> None:
        native.client.subscribe(prefix + "order", prefix + "listening.x").close()
        native.client.subscribe(prefix + "order", "somebody").close()

    broker = await connected()
    await to_thread(leave_behind)
    async with broker.subscribe(["order:*"], group=None):
        found = await broker.setup(Wanted(("order",)), apply=False)

    names = [each.what for each in found if each.what.startswith("subscription")]
    assert names == [f"subscription {prefix}listening.x of topic {prefix}order"]


async def test_a_member_whose_connection_was_closed_is_told(connected: Connect) -> None:
    broker = await connected()
    async with broker.subscribe(["order:*"], group="g") as inbox:
        await broker.publish([new_event(0)])
        arrivals = await take_arrivals(inbox, ["id-0"])
        await broker.close()
        with pytest.raises(BrokerUnreachable):
            await inbox.receive()
        with pytest.raises(BrokerUnreachable):
            await inbox.settle(arrivals)
        await broker.publish([new_event(1)])


def tell_server(server: PulsarServer, what: str) -> None:
    request = urllib.request.Request(f"{server.admin_url}/admin/v2/{what}", method="PUT")
    urllib.request.urlopen(request, timeout=20).close()


async def test_without_its_administration_no_more_is_claimed_than_can_be_kept(pulsar_server: PulsarServer) -> None:
    broker = await connect(f"{pulsar_server.url}?prefix=n.")

    assert (broker.capabilities.replay, broker.capabilities.lag) == (False, False)
    for attempt in (broker.groups(), broker.setup(Wanted(("order",)), apply=False)):
        with pytest.raises(ConfigurationError, match="say admin=http"):
            await attempt
    await broker.close()


def test_a_command_that_needs_its_administration_says_how_it_is_named(pulsar_server: PulsarServer, prefix: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tidings", "groups"],
        env=os.environ | {"TIDINGS_BROKER": f"{pulsar_server.url}?prefix={prefix}"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert told.returncode == 1
    assert "does not tell how topics and groups stand: say admin=http://" in told.stderr


async def test_groups_are_made_without_its_administration_too(pulsar_server: PulsarServer, prefix: str) -> None:
    broker = await connect(f"{pulsar_server.url}?prefix={prefix}")
    assert await broker.setup(Wanted(("order",), (("g", ("order:*",)),)), apply=True) == []

    await broker.publish([new_event(0)])
    async with broker.subscribe(["order:*"], group="g") as inbox:
        assert ids_of(await take(inbox, ["id-0"])) == ["id-0"]
    await broker.close()


async def test_an_event_that_is_too_large_is_named(connected: Connect, native: Native) -> None:
    broker, careless = await connected(settings="&max_size=10000"), await connected(settings="&max_size=99000000")
    with pytest.raises(EventRefused, match="id-2"):
        await broker.publish([new_event(1), new_event(2, data="x" * 60_000), new_event(3)])
    with pytest.raises(EventRefused, match="id-5"):
        async with within("a refusal"):
            await careless.publish([new_event(4), new_event(5, data="x" * 6_000_000), new_event(6)])
    async with broker.subscribe(["order:*"], group="g") as inbox:
        await careless.publish([new_event(7)])
        await take(inbox, ["id-7"])


def test_names_are_pulsars_own_where_they_can_be() -> None:
    settings = settings_of("pulsar://host/shop/live?prefix=p.")

    assert topic_of(settings, "my_topic.v1") == "persistent://shop/live/p.my_topic.v1"
    assert again_topic_of(settings, "shop:orders") == "persistent://shop/live/p.shop.-3aorders~again"
    assert dead_topic_of(settings) == "persistent://shop/live/p.~dead"
    assert len(topic_of(settings, "a" * 255).rpartition("/")[2]) == 249
    assert topic_of(settings, "a" * 255) != topic_of(settings, "a" * 254)


@pytest.mark.parametrize("name", ["order", "shop:orders", "a.b/c:d", "a.-b", "x.-3ay", "orders.dead", "grün"])
def test_a_topics_name_tells_its_channel_and_fits_the_pattern(name: str) -> None:
    settings, other = settings_of("pulsar://host?prefix=p."), settings_of("pulsar://host?prefix=other.")
    topic = topic_of(settings, name)

    assert channel_of(settings, topic) == channel_of(settings, f"{topic}-partition-3") == name
    assert channel_of(other, topic) is None
    assert re.fullmatch(pattern_of(settings, "g"), topic)
    assert not re.fullmatch(pattern_of(other, "g"), topic)
    assert re.fullmatch(pattern_of(settings, name), again_topic_of(settings, name))
    assert not re.fullmatch(pattern_of(settings, "g"), again_topic_of(settings, name))


async def test_without_the_client_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "_pulsar", None)

    with pytest.raises(MissingExtra, match=r"tidings\[pulsar\]"):
        await connect("pulsar://host")


def test_passwords_are_never_shown_and_settings_are_checked() -> None:
    settings = settings_of("pulsar+ssl://me:secret@host?ca=/ca.pem&token=hidden")

    for word in ("secret", "hidden"):
        assert word not in f"{settings!r} {settings} {settings.url}"
    assert (settings.address.port, settings.token) == (6651, "hidden")
    for wrong in ("?prefix=a:b", "?timeout=0", "?timout=3", "?discovery=soon", "?admin=host:8080", "/lonely"):
        with pytest.raises(ConfigurationError):
            settings_of(f"pulsar://host{wrong}")
