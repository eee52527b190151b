"""What stands in a stream: CloudEvents that others read and write, what people type, and what nobody can read."""

from asyncio import to_thread
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, from_structured, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from tests.brokers.another import RedisClient
from tests.brokers.words import LIMIT, own_name, url_of
from tests.servers.redis import RedisServer
from tidings.brokers import Arrival, Broker, Channels, connect
from tidings.brokers.foreign import UNREADABLE, json_decoder
from tidings.errors import InvalidEvent
from tidings.events import Event
from tidings.testing.broker_conformance.words import within

SAID = {
    "id": "1",
    "source": "/shop",
    "type": "order:created",
    "subject": "order/1",
    "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "datacontenttype": "application/json",
    "partitionkey": "k",
}


@pytest.fixture
def prefix() -> str:
    return f"{own_name()}:"


@pytest.fixture
async def broker(redis_server: RedisServer, prefix: str) -> AsyncIterator[Broker]:
    channels = Channels({"sensor:**": "sensors"}, {"sensors": json_decoder("sensor:read", key="place")})
    broker = await connect(url_of(redis_server, prefix=prefix, partitions=1), channels=channels)
    yield broker
    await broker.close()


async def received(broker: Broker, count: int, *patterns: str) -> list[Arrival]:
    """The next arrivals of group g, settled."""
    arrivals: list[Arrival] = []
    async with broker.subscribe(patterns or ["**"], group="g") as inbox, within(f"{count} arrivals", lambda: arrivals):
        while len(arrivals) < count:
            arrivals += await inbox.receive()
        await inbox.settle()
    return arrivals


async def put(server: RedisServer, prefix: str, fields: dict[str, str | bytes], *, channel: str = "order") -> None:
    """What somebody else adds to a stream of ours."""
    await RedisClient(server).xadd(f"{prefix}stream:{channel}:0", fields)


async def test_an_entry_has_an_attribute_a_field_and_the_data_as_it_is(
    broker: Broker, redis_server: RedisServer, prefix: str
) -> None:
    event = Event(id="1", source="shop", type="order:created", version=2, key="k", data=msgspec.Raw(b"[1.10]"))

    await broker.publish([event])
    [[_, fields]] = await RedisClient(redis_server).xrange(f"{prefix}stream:order:0")

    assert list(fields.items()) == [
        (b"ce_specversion", b"1.0"),
        (b"ce_id", b"1"),
        (b"ce_source", b"shop"),
        (b"ce_type", b"order:created"),
        (b"ce_eventversion", b"2"),
        (b"ce_partitionkey", b"k"),
        (b"content-type", b"application/json"),
        (b"data", b"[1.10]"),
    ]


async def test_the_official_sdk_reads_what_we_write(broker: Broker, redis_server: RedisServer, prefix: str) -> None:
    await broker.publish(
        [Event(id="1", source="/shop", type="order:created", key="k", data={"total": 1}, headers={"tenant": "nörd"})]
    )
    [[_, fields]] = await RedisClient(redis_server).xrange(f"{prefix}stream:order:0")
    headers = {name.decode(): value for name, value in fields.items() if name != b"data"}
    read = from_binary(KafkaMessage(headers, None, fields[b"data"]), JSONFormat(), CloudEvent)

    assert read.get_data() == {"total": 1}
    assert (read.get_id(), read.get_type(), read.get_source()) == ("1", "order:created", "/shop")
    assert (read.get_extension("partitionkey"), read.get_extension("tenant")) == ("k", "nörd")


@pytest.mark.parametrize("is_structured", [False, True])
async def test_we_read_what_the_official_sdk_writes(
    broker: Broker, redis_server: RedisServer, prefix: str, is_structured: bool
) -> None:
    await broker.publish([Event(id="0", source="shop", type="order:begun")])
    write = to_structured if is_structured else to_binary

    written = write(CloudEvent(dict(SAID), {"total": 1}), JSONFormat())
    await put(redis_server, prefix, {**written.headers, "data": written.value})
    [arrival] = await received(broker, 1, "order:created")

    event = arrival.event
    assert arrival.failure is None
    assert msgspec.json.decode(event.data) == {"total": 1}
    assert (event.id, event.source, event.type, event.subject) == ("1", "/shop", "order:created", "order/1")
    assert (event.key, event.time) == ("k", SAID["time"])


async def test_what_we_write_as_json_the_official_sdk_reads(redis_server: RedisServer, prefix: str) -> None:
    news = await connect(url_of(redis_server, prefix=prefix).replace("redis:", "redis+pubsub:", 1))
    heard = await RedisClient(redis_server).pubsub()
    await to_thread(heard.subscribe, f"{prefix}order")
    assert (await to_thread(heard.get_message, timeout=LIMIT))["type"] == "subscribe"
    await news.publish([Event(id="1", source="/shop", type="order:created", data={"total": 1})])
    message = await to_thread(heard.get_message, timeout=LIMIT)
    await to_thread(heard.close)
    await news.close()

    headers = {"content-type": b"application/cloudevents+json"}
    read = from_structured(KafkaMessage(headers, None, message["data"]), JSONFormat(), CloudEvent)
    assert (read.get_id(), read.get_type(), read.get_data()) == ("1", "order:created", {"total": 1})


async def test_what_a_decoder_is_declared_for_becomes_an_event(
    broker: Broker, redis_server: RedisServer, prefix: str
) -> None:
    await broker.publish([Event(id="0", source="shop", type="sensor:begun")])

    await put(redis_server, prefix, {"data": b'{"place": "roof", "celsius": 3.50}'}, channel="sensors")
    await put(redis_server, prefix, {"place": "cellar", "celsius": "9"}, channel="sensors")  # as people type it
    first, second = await received(broker, 2, "sensor:read")

    assert (first.event.key, bytes(first.event.data)) == ("roof", b'{"place": "roof", "celsius": 3.50}')
    assert (second.event.key, msgspec.json.decode(second.event.data)["celsius"]) == ("cellar", "9")
    assert first.event.id != second.event.id


@pytest.mark.parametrize(
    "fields",
    [
        {"data": b"\xff\x00"},
        {"tidings-attempt": "often", "tidings-place": b"\xff", "data": b"\x00"},
        {"hello": "world"},
        {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "shop", "content-type": "text/plain", "data": b"x"},
        {
            "ce_specversion": "0.3",
            "ce_id": "1",
            "ce_source": "s",
            "ce_type": "a:b",
            "content-type": "a/b",
            "data": b"x",
        },
        {
            "ce_specversion": "1.0",
            "ce_id": b"\xff",
            "ce_source": "s",
            "ce_type": "a:b",
            "content-type": "a/b",
            "data": b"x",
        },
        {"ce_specversion": "1.0", "ce_type": b"\xff", "data": b"{}", "content-type": "application/json"},
        {"content-type": "application/cloudevents+json", "data": b"{}"},
    ],
    ids=str,
)
async def test_what_nobody_can_read_is_handed_over_as_such_and_stops_nothing(
    broker: Broker, redis_server: RedisServer, prefix: str, fields: dict[str, str | bytes]
) -> None:
    await broker.publish([Event(id="0", source="shop", type="order:begun")])
    await put(redis_server, prefix, fields)
    await broker.publish([Event(id="2", source="shop", type="order:created")])

    bad, good = await received(broker, 2, "order:created")

    assert (bad.event.type, bad.event.subject) == (UNREADABLE, "order")
    assert bad.failure is not None
    assert bad.event.data == fields.get("data", b'{"hello":"world"}')
    assert (good.event.id, good.failure) == ("2", None)


async def test_a_message_nobody_can_read_can_be_given_up_and_is_kept_as_it_came(
    broker: Broker, redis_server: RedisServer, prefix: str
) -> None:
    await broker.publish([Event(id="0", source="shop", type="order:begun")])
    await put(redis_server, prefix, {"data": b"\xff"})

    async with broker.subscribe(["order:created"], group="g") as inbox, within("its second coming"):
        [arrival] = await inbox.receive()
        await inbox.reject(arrival, "unreadable")
        [letter] = await broker.letters("g")
        await broker.resolve(letter, again=True)
        [again] = await inbox.receive()

    assert (letter.event.data, letter.reason) == (b"\xff", "unreadable")
    assert (again.event.id, again.event.subject, again.attempt) == (arrival.event.id, "order", 2)
    assert isinstance(again.failure, InvalidEvent)


async def test_what_is_had_again_later_keeps_count_through_members(broker: Broker) -> None:
    await broker.publish([Event(id="1", source="shop", type="order:created", key="k", headers={"tries": 2})])
    attempts = []
    for _ in range(3):
        async with broker.subscribe(["**"], group="g") as inbox, within("the event"):
            [arrival] = await inbox.receive()
            attempts.append(arrival.attempt)
            await inbox.retry(arrival, 0.01)
    async with broker.subscribe(["**"], group="g"), within("the event"):
        pass
    async with broker.subscribe(["**"], group="g") as inbox, within("the event"):
        [arrival] = await inbox.receive()  # and was not settled
    async with broker.subscribe(["**"], group="g") as inbox, within("the event"):
        [last] = await inbox.receive()
        await inbox.settle()

    assert (attempts, arrival.attempt, last.attempt) == ([1, 2, 3], 4, 5)
    assert (last.event.id, last.event.key, last.event.headers) == ("1", "k", {"tries": 2})


async def test_an_entry_that_was_removed_before_it_was_settled_is_told_as_lost(
    broker: Broker, redis_server: RedisServer, prefix: str
) -> None:
    await broker.publish([Event(id=str(number), source="shop", type="order:created") for number in range(3)])
    async with broker.subscribe(["**"], group="g") as inbox, within("the events"):
        assert len(await inbox.receive()) == 3
    assert await RedisClient(redis_server).xtrim(f"{prefix}stream:order:0", maxlen=2, approximate=False) == 1

    lost, *others = await received(broker, 3)

    assert "is lost" in str(lost.failure)
    assert [arrival.event.id for arrival in others] == ["1", "2"]
