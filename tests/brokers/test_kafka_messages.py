"""What stands in Kafka's messages and topics: the binding, what others wrote, dead letters, names, settings."""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Consumer, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.servers.kafka import KafkaServer
from tidings import Broker, Event
from tidings.brokers import Arrival, Channels, Wanted, connect
from tidings.brokers.foreign import UNREADABLE, json_decoder
from tidings.brokers.kafka.library import reader
from tidings.brokers.kafka.names import again_topic_of, channel_of, dead_topic_of, topic_of
from tidings.brokers.kafka.settings import settings_of
from tidings.errors import ConfigurationError, EventRefused, MissingExtra, NotSupported
from tidings.testing.broker_conformance.words import new_event, take, take_arrivals, take_until_marked, within

Connect = Callable[..., Any]


@pytest.fixture
def prefix() -> str:
    return f"m{uuid.uuid4().hex[:8]}."


@pytest.fixture
async def connected(kafka_server: KafkaServer, prefix: str) -> AsyncIterator[Connect]:
    opened: list[Broker] = []

    async def connected(channels: Channels | None = None, settings: str = "") -> Broker:
        url = f"{kafka_server.url}?prefix={prefix}&partitions=2&session=2&discovery=0.1{settings}"
        broker = await connect(url, channels=channels)
        opened.append(broker)
        return broker

    yield connected
    for broker in opened:
        await broker.close()


class Native:
    """Kafka's own client, as somebody without tidings has it. Blocks."""

    def __init__(self, server: KafkaServer) -> None:
        self.servers: dict[str, Any] = {"bootstrap.servers": f"127.0.0.1:{server.port}", "log_level": 0}

    def make(self, topic: str) -> None:
        admin = AdminClient(self.servers)
        admin.create_topics([NewTopic(topic, 1)])[topic].result(20)

    def write(self, topic: str, value: bytes, key: Any = None, headers: Any = None) -> None:
        producer = Producer(self.servers | {"message.timeout.ms": 20_000})
        producer.produce(topic, value, key, headers=headers)
        assert producer.flush(20) == 0

    def read(self, topic: str) -> Message:
        consumer = Consumer(self.servers | {"group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"})
        consumer.subscribe([topic])
        found = consumer.poll(20)
        consumer.close()
        assert found is not None, f"nothing came of {topic}"
        return found


@pytest.fixture
def native(kafka_server: KafkaServer) -> Native:
    return Native(kafka_server)


async def test_the_official_sdk_reads_what_is_written(connected: Connect, native: Native, prefix: str) -> None:
    event = Event(
        id="1",
        source="shop",
        type="order:created",
        data={"total": "39.90"},
        key="k-7",
        time=datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC),
        headers={"tenant": "nörd"},
    )
    await (await connected()).publish([event])

    message = await asyncio.to_thread(native.read, f"{prefix}order")

    written: Any = message.headers()
    read = from_binary_event(KafkaMessage(dict(written), message.key(), message.value() or b""))
    assert (read.get_id(), read.get_source(), read.get_type()) == ("1", "shop", "order:created")
    assert (read.get_time(), read.get_data()) == (event.time, {"total": "39.90"})
    assert (read.get_extension("partitionkey"), read.get_extension("tenant")) == ("k-7", "nörd")
    assert read.get_datacontenttype() == "application/json"


@pytest.mark.parametrize("write", [to_binary_event, to_structured_event])
async def test_what_the_official_sdk_writes_is_read(
    connected: Connect, native: Native, prefix: str, write: Callable[[CloudEvent], KafkaMessage]
) -> None:
    attributes: dict[str, Any] = {
        "id": "1",
        "source": "/sdk",
        "type": "order:created",
        "partitionkey": "k-7",
        "tenant": "nörd",
    }
    attributes |= {"specversion": "1.0", "datacontenttype": "application/json", "time": datetime.now(UTC)}
    message = write(CloudEvent(attributes, {"total": "39.90"}))
    broker = await connected()
    async with broker.subscribe(["order:created"], group="g") as inbox:
        headers = list(message.headers.items())
        await asyncio.to_thread(native.write, f"{prefix}order", message.value, message.key, headers)
        [event] = await take(inbox, ["1"])

    assert (event.source, event.key, event.time, event.headers) == (
        "/sdk",
        "k-7",
        attributes["time"],
        {"tenant": "nörd"},
    )
    assert b"39.90" in bytes(event.data)


async def test_a_records_key_is_the_events_where_nothing_else_says_one(
    connected: Connect, native: Native, prefix: str
) -> None:
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"s"), ("ce_type", b"order:created")]
    broker = await connected()
    async with broker.subscribe(["order:*"], group="g") as inbox:
        await asyncio.to_thread(native.write, f"{prefix}order", b"{}", b"customer-7", headers)
        await asyncio.to_thread(
            native.write, f"{prefix}order", b"{}", b"\xff\xfe", [*headers[:1], ("ce_id", b"2"), *headers[2:]]
        )
        events = {event.id: event for event in await take(inbox, ["1", "2"])}

    assert (events["1"].key, events["2"].key) == ("customer-7", None)


async def test_what_others_write_is_read_by_a_declared_decoder(connected: Connect, native: Native, prefix: str) -> None:
    broker = await connected(Channels(decoders={"order": json_decoder("order:created", key="customer")}))
    async with broker.subscribe(["order:created"], group="g") as inbox:
        await asyncio.to_thread(native.write, f"{prefix}order", b'{"customer": 7}', None, [("weird", b"\xff")])
        [arrival] = await take_arrivals(inbox, (), at_least=1)

    assert (arrival.event.type, arrival.event.key, bytes(arrival.event.data)) == (
        "order:created",
        "7",
        b'{"customer": 7}',
    )


async def test_what_nobody_can_read_stops_nothing_and_becomes_a_dead_letter_as_it_was(
    connected: Connect, native: Native, prefix: str
) -> None:
    broken = [("ce_specversion", b"1.0"), ("ce_id", b"\xff\xfe"), ("own", b"\x00\xff")]
    broker = await connected()
    async with broker.subscribe(["order:created"], group="g") as inbox:
        await asyncio.to_thread(native.write, f"{prefix}order", b"\x00\x01", b"k", broken)
        [arrival] = await take_arrivals(inbox, (), at_least=1)
        assert arrival.failure is not None
        await inbox.reject(arrival, "unreadable", "x" * 20_000)
        assert await take_until_marked(broker, inbox) == []
    [letter] = await broker.letters("g")
    kept = await asyncio.to_thread(native.read, f"{prefix}g.dead")

    assert (letter.event.type, letter.event.data, letter.event.id) == (UNREADABLE, b"\x00\x01", arrival.event.id)
    assert (letter.reason, len(letter.detail), letter.attempts) == ("unreadable", 16_000, 1)
    headers: Any = kept.headers()
    assert headers[:3] == broken
    assert kept.value() == b"\x00\x01"


async def test_a_dead_letter_that_can_be_read_meanwhile_is_read_when_it_is_heard_again(
    connected: Connect, native: Native, prefix: str
) -> None:
    broker = await connected()
    async with broker.subscribe(["order:created"], group="g") as inbox:
        await asyncio.to_thread(native.write, f"{prefix}order", b"{}", b"k")
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


async def test_each_letter_that_is_heard_again_counts_its_attempts(connected: Connect) -> None:
    broker, ids = await connected(), [f"id-{number}" for number in range(3)]
    async with broker.subscribe(["order:*"], group="g") as inbox, within("the letters again"):
        await broker.publish([new_event(number) for number in range(3)])
        for arrival in await take_arrivals(inbox, ids):
            arrival.attempt = 4
            await inbox.reject(arrival, "it fails")
        for letter in await broker.letters("g"):
            await broker.resolve(letter, again=True)
        again = await take_arrivals(inbox, ids)

    assert [arrival.attempt for arrival in again] == [5, 5, 5]


async def test_the_letters_of_all_groups_are_told_apart(connected: Connect) -> None:
    broker = await connected()
    for group in ("shop:orders", "shop.orders"):
        async with broker.subscribe(["order:*"], group=group) as inbox:
            await broker.publish([new_event(len(group), type=f"order:{group.replace(':', '-')}")])
            [arrival, *_] = await take_arrivals(inbox, (), at_least=1)
            await inbox.reject(arrival, group)

    assert {letter.group: letter.reason for letter in await broker.letters()} == {
        "shop:orders": "shop:orders",
        "shop.orders": "shop.orders",
    }
    assert [letter.group for letter in await broker.letters("shop:orders")] == ["shop:orders"]
    assert {each.group: each.dead for each in await broker.groups()} == {"shop:orders": 1, "shop.orders": 1}


async def test_a_listener_without_a_group_hears_a_channel_that_comes_later_and_leaves_nothing_behind(
    connected: Connect,
) -> None:
    broker = await connected()
    async with broker.subscribe(["**"], group=None) as inbox:
        await broker.publish([new_event(0), new_event(1, type="stock:low")])
        assert len(await take(inbox, ["id-0", "id-1"])) == 2

    assert await broker.groups() == []


async def test_a_new_group_that_begins_at_the_end_of_nothing_hears_all_that_comes_later(connected: Connect) -> None:
    broker = await connected()
    async with broker.subscribe(["**"], group="g", start="latest"):
        pass
    await broker.publish([new_event(0)])
    async with broker.subscribe(["**"], group="g", start="latest") as inbox:
        assert len(await take(inbox, ["id-0"])) == 1


async def test_a_group_that_hears_little_of_a_busy_channel_does_not_lag(connected: Connect) -> None:
    broker = await connected()
    async with broker.subscribe(["order:rare"], group="g") as inbox:
        receiving = asyncio.ensure_future(inbox.receive())
        await broker.publish([new_event(number) for number in range(100)])
        lag: int | None = None
        async with within("a lag of nothing", lambda: lag):
            while lag != 0:
                lag = {each.group: each.lag for each in await broker.groups()}.get("g")
                await asyncio.sleep(0.01)
        receiving.cancel()


async def test_what_is_missing_is_made_when_asked_for_and_what_differs_is_told(
    connected: Connect, native: Native, prefix: str
) -> None:
    wanted = Wanted(("order", "stock"), (("shop:orders", ("order:*",)),))
    await asyncio.to_thread(native.make, f"{prefix}stock")
    broker = await connected(settings="&retention=3600")

    before = await broker.setup(wanted, apply=False)
    made = await broker.setup(wanted, apply=True)
    after = await broker.setup(wanted, apply=False)

    names = [f"topic {prefix}{name}" for name in ("order", "shop.-3aorders.again", "shop.-3aorders.dead", "stock")]
    assert [(each.what, each.state) for each in before] == [
        *((name, "missing") for name in names[:3]),
        (names[3], "differs"),
    ]
    assert [(each.what, each.state) for each in made] == [
        *((name, "created") for name in names[:3]),
        (names[3], "differs"),
    ]
    [stock] = after
    assert stock.what == names[3]
    assert "2 partitions wanted, 1 found" in stock.detail
    assert "retention.ms=3600000 wanted, 604800000 found" in stock.detail


async def test_nothing_is_handed_over_later(connected: Connect) -> None:
    broker = await connected()
    async with broker.subscribe(["order:*"], group="g") as inbox:
        with pytest.raises(NotSupported, match="cannot hand an event over again later"):
            await inbox.retry(Arrival(new_event(0)), 1.0)


async def test_an_event_that_is_too_large_is_named(connected: Connect) -> None:
    broker = await connected(settings="&max_size=10000")
    with pytest.raises(EventRefused, match="id-2"):
        await broker.publish([new_event(1), new_event(2, data="x" * 60_000), new_event(3)])
    await broker.publish([new_event(4)])


def test_names_are_kafkas_own_where_they_can_be() -> None:
    assert topic_of("p.", "my_topic.v1") == "p.my_topic.v1"
    assert again_topic_of("", "shop:orders") == "shop.-3aorders.again"
    assert dead_topic_of("p.", "shop/orders") == "p.shop.-2forders.dead"
    assert topic_of("", "orders.dead") == "orders.-2edead"
    assert len(topic_of("", "a" * 255)) == len(dead_topic_of("", "b" * 255)) == 249
    assert topic_of("", "a" * 255) != topic_of("", "a" * 254)


@pytest.mark.parametrize("name", ["order", "shop:orders", "a.b/c:d", "a.-b", "x.-3ay", "orders.dead", "grün"])
def test_a_topics_name_tells_its_channel(name: str) -> None:
    assert channel_of("p.", topic_of("p.", name)) == name
    assert channel_of("other.", topic_of("p.", name)) is None


def test_passwords_are_never_shown_and_settings_are_checked() -> None:
    settings = settings_of("kafka+ssl://me:secret@host?ca=/ca.pem&mechanism=SCRAM-SHA-256&servers=b:1,c:2")

    assert "secret" not in f"{settings!r} {settings.url}"
    client = settings.consumer("g")
    assert (client["security.protocol"], client["sasl.password"]) == ("SASL_SSL", "secret")
    assert (client["bootstrap.servers"], client["ssl.ca.location"]) == ("host:9092,b:1,c:2", "/ca.pem")
    for wrong in ("prefix=a:b", "partitions=0", "sesion=3", "timeout=soon"):
        with pytest.raises(ConfigurationError):
            settings_of(f"kafka://host?{wrong}")


@pytest.mark.parametrize("library", ["confluent_kafka", "aiokafka"])
async def test_without_its_library_the_line_that_installs_it_is_told(
    monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    reader.cache_clear()

    with pytest.raises(MissingExtra, match=r"pip install 'tidings\[kafka\]'"):
        await connect("kafka://host")
