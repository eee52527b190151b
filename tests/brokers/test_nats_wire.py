"""What stands in a stream: CloudEvents that others read and write, what people type, and what nobody can read."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from tests.brokers.another import nats_client
from tests.brokers.words import own_name, until, url_of
from tests.servers.nats import NatsServer
from tidings.brokers import Arrival, Broker, Channels, connect
from tidings.brokers.foreign import UNREADABLE, json_decoder
from tidings.brokers.nats.inbox import GroupInbox
from tidings.brokers.nats.link import Link
from tidings.errors import InvalidEvent
from tidings.events import Event
from tidings.testing.broker_conformance.words import arrived_ids, ids_of, new_event, take, take_arrivals, within

SAID = {
    "id": "1",
    "source": "/shop",
    "type": "order:created",
    "subject": 'order "1" ä',
    "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "datacontenttype": "application/json",
    "partitionkey": "k",
}


@pytest.fixture
def prefix() -> str:
    return own_name()


@pytest.fixture
async def broker(nats_server: NatsServer, prefix: str) -> AsyncIterator[Broker]:
    channels = Channels({"sensor:**": "sensors"}, {"sensors": json_decoder("sensor:read", key="place")})
    broker = await connect(url_of(nats_server, prefix=prefix, partitions=1), channels=channels)
    yield broker
    await broker.close()


async def received(broker: Broker, count: int, *patterns: str) -> list[Arrival]:
    """The next arrivals of group g, settled."""
    async with broker.subscribe(patterns or ["**"], group="g") as inbox:
        arrivals = await take_arrivals(inbox, (), at_least=count)
        await inbox.settle()
    return arrivals


async def stored(server: NatsServer, stream: str) -> Msg:
    """The first message of a stream, as another client has it."""
    async with nats_client(server) as client:
        subscription = await client.jetstream(timeout=20).pull_subscribe("", "reader", stream=stream)
        [message] = await subscription.fetch(1, timeout=20)
        return message


async def put(server: NatsServer, subject: str, data: bytes, headers: dict[str, str] | None = None) -> None:
    """What somebody else publishes."""
    async with nats_client(server) as client:
        await client.jetstream(timeout=20).publish(subject, data, headers=headers)


async def test_a_message_has_an_attribute_a_header_and_the_data_as_it_is(
    broker: Broker, nats_server: NatsServer, prefix: str
) -> None:
    event = Event(id="1", source="shop", type="order:created", version=2, key="ä b", data=msgspec.Raw(b"[1.10]"))

    await broker.publish([event])
    message = await stored(nats_server, f"{prefix}_order")

    assert (message.subject, message.data) == (f"{prefix}.order.0.order:created", b"[1.10]")
    assert message.headers == {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "shop",
        "ce-type": "order:created",
        "ce-eventversion": "2",
        "ce-partitionkey": "%C3%A4%20b",
        "ce-datacontenttype": "application/json",
        "Nats-Msg-Id": "shop 1",
    }


async def test_the_official_sdk_reads_what_we_write(broker: Broker, nats_server: NatsServer, prefix: str) -> None:
    """It has no binding for NATS; that of HTTP has the same headers, written the same way."""
    event = Event(id="%1", source="/shop", type="order:created", data={"total": 1}, headers={"tenant": "nörd"})
    await broker.publish([event])
    message = await stored(nats_server, f"{prefix}_order")
    headers = dict(message.headers or {})
    headers["content-type"] = headers.pop("ce-datacontenttype")

    read = from_binary(HTTPMessage(headers, message.data), JSONFormat(), CloudEvent)

    assert (read.get_id(), read.get_type(), read.get_source()) == ("%1", "order:created", "/shop")
    assert (read.get_data(), read.get_extension("tenant")) == ({"total": 1}, "nörd")


@pytest.mark.parametrize("is_structured", [False, True])
async def test_we_read_what_the_official_sdk_writes(
    broker: Broker, nats_server: NatsServer, prefix: str, is_structured: bool
) -> None:
    await broker.publish([new_event(0, type="order:begun")])
    write = to_structured if is_structured else to_binary

    written = write(CloudEvent(dict(SAID), {"total": 1}), JSONFormat())
    await put(nats_server, f"{prefix}.order.0.x", written.body, written.headers)
    [arrival] = await received(broker, 1, "order:created")

    event = arrival.event
    assert arrival.failure is None
    assert msgspec.json.decode(event.data) == {"total": 1}
    assert (event.id, event.source, event.type, event.subject) == ("1", "/shop", "order:created", SAID["subject"])
    assert (event.key, event.time, event.headers) == ("k", SAID["time"], {})


async def test_headers_may_be_capitalized(broker: Broker, nats_server: NatsServer, prefix: str) -> None:
    await broker.publish([new_event(0, type="order:begun")])
    headers = {"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Source": "s", "Ce-Type": "order:paid", "Content-Type": "a/b"}

    await put(nats_server, f"{prefix}.order.0.x", b"\xff", headers)
    [arrival] = await received(broker, 1, "order:paid")

    assert (arrival.event.id, arrival.event.content_type, arrival.event.data) == ("1", "a/b", b"\xff")


async def test_what_a_decoder_is_declared_for_becomes_an_event(
    broker: Broker, nats_server: NatsServer, prefix: str
) -> None:
    await broker.publish([new_event(0, type="sensor:begun")])

    await put(nats_server, f"{prefix}.sensors.0.roof", b'{"place": "roof", "celsius": 3.50}')
    [arrival] = await received(broker, 1, "sensor:read")

    assert (arrival.event.key, bytes(arrival.event.data)) == ("roof", b'{"place": "roof", "celsius": 3.50}')


@pytest.mark.parametrize(
    ("headers", "data"),
    [
        (None, b"\xff\x00"),
        ({}, b"hello"),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "shop"}, b"x"),
        ({"ce-specversion": "0.3", "ce-id": "1", "ce-source": "s", "ce-type": "a:b"}, b"x"),
        ({"ce-specversion": "1.0", "ce-id": "%FF", "ce-source": "s", "ce-type": "a:b"}, b"x"),
        ({"content-type": "application/cloudevents+json"}, b"{}"),
    ],
    ids=str,
)
async def test_what_nobody_can_read_is_handed_over_as_such_and_stops_nothing(
    broker: Broker, nats_server: NatsServer, prefix: str, headers: dict[str, str] | None, data: bytes
) -> None:
    await broker.publish([new_event(0, type="order:begun")])
    await put(nats_server, f"{prefix}.order.0.x", data, headers)
    await broker.publish([new_event(2)])

    bad, good = await received(broker, 2, "order:created")

    assert (bad.event.type, bad.event.subject, bad.event.data) == (UNREADABLE, "order", data)
    assert bad.failure is not None
    assert (good.event.id, good.failure) == ("id-2", None)


async def test_a_message_nobody_can_read_can_be_given_up_and_is_kept_as_it_came(
    broker: Broker, nats_server: NatsServer, prefix: str
) -> None:
    await broker.publish([new_event(0, type="order:begun")])
    await put(nats_server, f"{prefix}.order.0.x", b"\xff")

    async with broker.subscribe(["order:created"], group="g") as inbox, within("its second coming"):
        [arrival] = await inbox.receive()
        await inbox.reject(arrival, "unreadable")
        [letter] = await broker.letters("g")
        await broker.resolve(letter, again=True)
        [again] = await inbox.receive()
        await inbox.settle([again])

    assert (letter.event.data, letter.reason) == (b"\xff", "unreadable")
    assert (again.event.id, again.event.subject) == (arrival.event.id, "order")
    assert isinstance(again.failure, InvalidEvent)


async def test_what_a_group_had_again_is_kept_no_longer(broker: Broker, nats_server: NatsServer, prefix: str) -> None:
    await broker.publish([new_event(0)])
    async with broker.subscribe(["**"], group="a group.of:many/signs") as inbox, within("its second coming"):
        [arrival] = await inbox.receive()
        await inbox.reject(arrival, "no\nstock", "x" * 100_000)
        [letter] = await broker.letters()
        await broker.resolve(letter, again=True)
        await inbox.settle(await inbox.receive())

    assert (letter.group, letter.reason, len(letter.detail)) == ("a group.of:many/signs", "no\nstock", 8000)
    with pytest.raises(NotFoundError):
        await put_away(nats_server, prefix)


async def put_away(server: NatsServer, prefix: str) -> None:
    async with nats_client(server) as client:
        await client.jetstream(timeout=20).get_last_msg(f"{prefix}-letters", f"{prefix}.>")


async def test_what_is_had_again_later_keeps_count_through_members(broker: Broker) -> None:
    await broker.publish([new_event(1, key="k", headers={"tries": 2})])
    attempts = []
    for _ in range(3):
        async with broker.subscribe(["**"], group="g") as inbox, within("the event"):
            [arrival] = await inbox.receive()
            attempts.append(arrival.attempt)
            await inbox.retry(arrival, 0.01)

    assert attempts == [1, 2, 3]
    assert (arrival.event.key, arrival.event.headers) == ("k", {"tries": 2})


async def test_calls_that_were_made_on_the_spot_count_whoever_has_the_event_next_and_leave_no_note(
    broker: Broker, nats_server: NatsServer, prefix: str
) -> None:
    await broker.publish([new_event(1, key="k")])
    attempts = []
    for _ in range(3):
        async with broker.subscribe(["**"], group="g") as inbox, within("the event"):
            [arrival] = await inbox.receive()
            attempts.append(arrival.attempt)
            arrival.attempt += 3  # those on the spot
            await inbox.retry(arrival, 0.01)
    async with broker.subscribe(["**"], group="g") as inbox, within("the event"):
        [arrival] = await inbox.receive()
        await inbox.settle([arrival])
        left = await notes_of_calls(nats_server, prefix)

    assert [*attempts, arrival.attempt] == [1, 5, 9, 13]
    assert left == {}


async def notes_of_calls(server: NatsServer, prefix: str) -> dict[str, int] | None:
    async with nats_client(server) as client:
        info = await client.jetstream(timeout=20).stream_info(
            f"{prefix}-groups", subjects_filter=f"{prefix}.=group.g.calls.>"
        )
        return info.state.subjects or {}


async def test_no_name_id_or_header_reaches_beyond_its_message(broker: Broker) -> None:
    strange = "a\r\nPUB x 0\r\n\r\n b\t%0D 🎈"
    event = Event(id=strange, source=strange, type="order:created", key=strange, subject="x" * 1000)
    async with broker.subscribe(["**"], group="g") as inbox:
        with pytest.raises(InvalidEvent, match="name"):
            await broker.publish([new_event(1, headers={"a: b\r\nc": "d"})])
        await broker.publish([event, new_event(2, type="order:a b\r\n>")])
        await broker.publish([new_event(3)])
        arrivals = await take_arrivals(inbox, ["id-3"])

    assert arrived_ids(arrivals)[-1] == "id-3"
    assert arrivals[0].failure is not None, "no event may be so"


async def test_the_same_id_of_two_sources_is_two_events(broker: Broker) -> None:
    events = [Event(id="1", source=source, type="order:created") for source in ("a", "b", "a%20b", "a%2520b", "a")]
    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish([*events, new_event(9)])
        arrived = await take(inbox, ["id-9"])

    assert [event.source for event in arrived] == ["a", "b", "a%20b", "a%2520b", "shop"]


async def test_messages_are_taken_apart_however_they_come_in() -> None:
    heard: list[tuple[bytes, bytes, bytes]] = []
    data = (
        b"MSG a 2 5\r\nhello\r\nPING\r\nHMSG b 2 r.e 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
        b"MSG gone 9 1\r\nx\r\nMSG c 2 r 2\r\n\r\n\r\n+OK\r\nPONG\r\n"
    )
    for size in range(1, len(data)):
        link = Link("nats://there", 5.0)
        link.subscribe("x", lambda subject, reply, head, data: heard.append((subject, reply, head + data)))
        for start in range(0, len(data), size):
            link.data_received(data[start : start + size])

        assert link.lost is None
        assert heard == [(b"a", b"", b"hello"), (b"b", b"r.e", b"NATS/1.0\r\n\r\nhi"), (b"c", b"r", b"\r\n")]
        heard.clear()
    link.data_received(b"HTTP/1.1 400 Bad Request\r\nMSG what\r\n")
    assert "does not speak NATS's protocol" in str(link.lost)


async def test_many_large_messages_arrive_a_few_at_a_time(broker: Broker) -> None:
    events = [new_event(number, key="k", data="x" * 900_000) for number in range(30)]
    async with broker.subscribe(["**"], group="g") as inbox:
        for event in events:
            await broker.publish([event])
        assert isinstance(inbox, GroupInbox)
        [part] = [part for place, part in inbox.parts.items() if place[0] == "order"]
        await until(lambda: len(part.waiting) >= 8, "what one request may bring")
        assert len(part.waiting) < 20
        arrived = await take(inbox, ids_of(events))

    assert ids_of(arrived) == ids_of(events)
