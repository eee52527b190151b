"""What stands on the wire of RabbitMQ: CloudEvents that others read and write, names as words, and what is neither."""

import random
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import aiormq
import pytest
from cloudevents.core.bindings import amqp, rabbitmq
from cloudevents.core.v1.event import CloudEvent
from pamqp import commands
from pamqp.frame import marshal

from tests.brokers.another import rabbitmq_client
from tests.brokers.words import own_name, url_of
from tests.servers.rabbitmq import RabbitmqServer
from tidings.brokers import Arrival, Broker, Channels, Inbox, connect
from tidings.brokers.foreign import UNREADABLE, Foreign, json_decoder
from tidings.brokers.rabbitmq.message import Messages, Received
from tidings.brokers.rabbitmq.names import binding_keys, channel_of, routing_key
from tidings.errors import EventRefused
from tidings.events import Event, Pattern
from tidings.testing.broker_conformance.words import content_of, new_event, within

Properties = aiormq.spec.Basic.Properties


@pytest.fixture
def prefix() -> str:
    return f"{own_name()}."


@pytest.fixture
async def broker(rabbitmq_server: RabbitmqServer, prefix: str) -> AsyncIterator[Broker]:
    channels = Channels(decoders={"legacy": json_decoder("legacy:noted", key="id")})
    broker = await connect(url_of(rabbitmq_server, prefix=prefix, session=2, partitions=2), channels=channels)
    yield broker
    await broker.close()


async def received(inbox: Inbox, count: int) -> list[Arrival]:
    arrivals: list[Arrival] = []
    async with within(f"the receipt of {count}", lambda: arrivals):
        while len(arrivals) < count:
            arrivals += await inbox.receive()
    return arrivals


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("order:created", "3.order.order.:.created"),
        ("order.created", "3.order.order.,.created"),
        ("order/created", "3.order.order./.created"),
        ("order", "3.order.order"),
        ("a:" * 120 + "a", "3.~.~"),
    ],
)
def test_a_name_is_words_of_a_routing_key(name: str, key: str) -> None:
    assert routing_key(3, "order", name) == key


def test_a_channel_is_one_word_and_read_from_it_again() -> None:
    key = routing_key(0, "shop.eu:orders", "order:created")

    assert key == "0.shop,eu:orders.order.:.created"
    assert channel_of(key) == "shop.eu:orders"


def is_heard(binding: list[str], key: list[str]) -> bool:
    """What RabbitMQ does with a binding of a topic exchange."""
    if not binding:
        return not key
    if binding[0] == "#":
        return is_heard(binding[1:], key) or (bool(key) and is_heard(binding, key[1:]))
    return bool(key) and binding[0] in ("*", key[0]) and is_heard(binding[1:], key[1:])


def test_no_binding_misses_what_its_pattern_selects_and_few_hear_more(seed: int) -> None:
    chance = random.Random(seed)
    heard = selected = 0
    for _ in range(5000):
        name = joined(chance, ["a", "b"], [":", ".", "/"])
        pattern = joined(chance, ["a", "b", "*", "**"], [":", "."])
        key = routing_key(0, "c", name).split(".")
        is_bound = any(is_heard(binding.split("."), key) for binding in binding_keys(0, pattern))
        is_selected = Pattern(pattern).matches(name)
        assert is_bound or not is_selected, f"{pattern} selects {name}"
        heard, selected = heard + is_bound, selected + is_selected
    assert heard <= selected * 1.02, f"{heard} heard, {selected} of them selected"


def joined(chance: random.Random, segments: list[str], separators: list[str]) -> str:
    text = chance.choice(segments)
    for _ in range(chance.randrange(4)):
        text += chance.choice(separators) + chance.choice(segments)
    return text


async def test_an_event_is_a_lasting_message_whose_attributes_are_headers(
    broker: Broker, rabbitmq_server: RabbitmqServer, prefix: str
) -> None:
    message = await published(broker, rabbitmq_server, prefix, new_event(1, key="k", headers={"tries": 2}))

    properties = message.header.properties
    assert message.delivery.routing_key in ("0.order.order.:.created", "1.order.order.:.created")
    assert (properties.content_type, properties.delivery_mode, message.body) == ("application/json", 2, b'{"number":1}')
    assert properties.headers == {
        "cloudEvents:specversion": "1.0",
        "cloudEvents:id": "id-1",
        "cloudEvents:source": "shop",
        "cloudEvents:type": "order:created",
        "cloudEvents:partitionkey": "k",
        "cloudEvents:tries": "2",
        "cloudEvents:headertypes": "tries=int",
    }


async def published(broker: Broker, server: RabbitmqServer, prefix: str, event: Event) -> Any:
    """An event as another client gets it."""
    async with broker.subscribe(["**"], group="other"), rabbitmq_client(server) as channel:
        queue = str((await channel.queue_declare(exclusive=True)).queue)
        await channel.queue_bind(queue, f"{prefix}events", "#")
        await broker.publish([event])
        return await channel.basic_get(queue)


async def test_the_official_sdk_reads_what_is_published(
    broker: Broker, rabbitmq_server: RabbitmqServer, prefix: str
) -> None:
    time = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    event = new_event(1, subject="order/1", time=time, key="k", headers={"tenant": "nörd"})
    message = await published(broker, rabbitmq_server, prefix, event)

    properties = message.header.properties
    wire = amqp.AMQPMessage({"content-type": properties.content_type}, properties.headers, message.body)
    read = amqp.from_amqp_event(wire)

    assert (read.get_id(), read.get_source(), read.get_type()) == ("id-1", "shop", "order:created")
    assert (read.get_subject(), read.get_time(), read.get_data()) == ("order/1", time, {"number": 1})
    assert (read.get_extension("partitionkey"), read.get_extension("tenant")) == ("k", "nörd")


def by_amqp(event: CloudEvent) -> tuple[Mapping[str, Any], str | None, bytes]:
    message = amqp.to_binary_event(event)
    return message.application_properties, message.properties["content-type"], message.application_data


def by_rabbitmq(event: CloudEvent) -> tuple[Mapping[str, Any], str | None, bytes]:
    message = rabbitmq.to_binary_event(event)
    return message.headers, message.content_type, message.body


def structured(event: CloudEvent) -> tuple[Mapping[str, Any], str | None, bytes]:
    message = rabbitmq.to_structured_event(event)
    return message.headers, message.content_type, message.body


@pytest.mark.parametrize("written", [by_amqp, by_rabbitmq, structured])
async def test_what_the_official_sdk_writes_is_read(
    broker: Broker,
    rabbitmq_server: RabbitmqServer,
    prefix: str,
    written: Callable[[CloudEvent], tuple[dict[str, Any], str | None, bytes]],
) -> None:
    time = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    said = {"id": "1", "source": "/sdk", "type": "order:created", "time": time, "subject": "s", "partitionkey": "k"}
    attributes = {**said, "specversion": "1.0", "datacontenttype": "application/json", "tenant": "nörd"}
    headers, kind, body = written(CloudEvent(attributes, {"number": 7}))

    async with broker.subscribe(["order:*"], group="g") as inbox:
        await put(rabbitmq_server, prefix, "0.order.order.:.created", body, headers=headers, content_type=kind)
        [arrival] = await received(inbox, 1)

    event = arrival.event
    assert arrival.failure is None
    assert (event.id, event.source, event.type, event.time, event.subject) == ("1", "/sdk", "order:created", time, "s")
    assert (event.key, event.headers["tenant"], content_of(event)) == ("k", "nörd", {"number": 7})


async def put(server: RabbitmqServer, prefix: str, key: str, body: bytes, **properties: Any) -> None:
    """A message of somebody else."""
    async with rabbitmq_client(server) as channel:
        await channel.basic_publish(
            body, exchange=f"{prefix}events", routing_key=key, properties=Properties(**properties)
        )


async def test_a_declared_decoder_makes_events_of_foreign_messages_each_its_own(
    broker: Broker, rabbitmq_server: RabbitmqServer, prefix: str
) -> None:
    async with broker.subscribe(["legacy:noted"], group="g") as inbox:
        for _ in range(2):
            await put(rabbitmq_server, prefix, "0.legacy.anything", b'{"id": 5}')
        for _ in range(2):
            await put(rabbitmq_server, prefix, "1.legacy", b'{"id": 6}', message_id="m-6")
        arrivals = await received(inbox, 4)

    assert {(each.event.type, each.event.key) for each in arrivals} == {("legacy:noted", "5"), ("legacy:noted", "6")}
    assert len({each.event.id for each in arrivals if each.event.key == "5"}) == 2, "nobody said they are the same"
    assert len({each.event.id for each in arrivals if each.event.key == "6"}) == 1, "their producer says so"


@pytest.mark.parametrize(("body", "count"), [(b'{"id": 5}', 2), (b"\x00\xff", 1)])
def test_without_an_id_what_can_be_read_is_always_another_event_and_what_cannot_is_kept_once(
    body: bytes, count: int
) -> None:
    messages = Messages(Foreign("amqp://host", {"legacy": json_decoder("legacy:noted")}), 1000)

    arrivals = [messages.arrival(Received(tag, "0.legacy.x", {}, None, body)) for tag in range(2)]

    assert len({each.event.id for each in arrivals}) == count


_BAD = {"cloudEvents:specversion": "1.0", "cloudEvents:id": "1", "cloudEvents:type": "order:created"}


@pytest.mark.parametrize(
    ("body", "properties"),
    [
        (b"\x00\xff", {}),
        (b"{}", {"headers": _BAD}),
        (b"{}", {"headers": _BAD | {"cloudEvents:source": "s", "cloudEvents:time": "yesterday"}}),
        (b"{}", {"headers": _BAD | {"cloudEvents:source": "s", "cloudEvents:type": [1, {"x": None}]}}),
        (b"{", {"content_type": "application/cloudevents+json"}),
        (b"", {"headers": {"tidings-due": "soon", "tidings-attempt": "many"}}),
    ],
)
async def test_what_nobody_can_read_is_handed_over_raw_and_receiving_goes_on(
    broker: Broker, rabbitmq_server: RabbitmqServer, prefix: str, body: bytes, properties: dict[str, Any]
) -> None:
    async with broker.subscribe(["order:*"], group="g") as inbox:
        await put(rabbitmq_server, prefix, "0.order.order.:.created", body, **properties)
        await broker.publish([new_event(1)])
        arrivals = {each.event.type: each for each in await received(inbox, 2)}
        unreadable = arrivals[UNREADABLE]
        assert unreadable.failure is not None
        assert (bytes(unreadable.event.data), unreadable.event.subject) == (body, "order")
        await inbox.reject(unreadable, "cannot be read")
        [letter] = await broker.letters("g")

    assert (letter.event.id, bytes(letter.event.data)) == (unreadable.event.id, body)


async def test_what_does_not_fit_is_refused_by_name_and_takes_nothing_with_it(broker: Broker) -> None:
    many = {f"header{number}": "x" * 250 for number in range(600)}

    async with broker.subscribe(["**"], group="g") as inbox:
        with pytest.raises(EventRefused, match=r"'id-1'.*max_size"):
            await broker.publish([new_event(1, data="x" * 20_000_000)])
        with pytest.raises(EventRefused, match=r"'id-2'.*headers"):
            await broker.publish([new_event(2, headers=many)])
        await broker.publish([new_event(3, data="x" * 300_000)])
        [arrival] = await received(inbox, 1)

    assert content_of(arrival.event) == "x" * 300_000


def table(name: bytes, kind: bytes, value: bytes) -> bytes:
    """Headers of one field, in a message's properties."""
    field = bytes([len(name)]) + name + kind + value
    return b"\x20\x00" + len(field).to_bytes(4) + field


_STRANGE = {
    "a name that is no text": (table(b"\xff\xfe", b"S", b"\x00\x00\x00\x01a"), False),
    "text that is none": (table(b"a", b"S", b"\x00\x00\x00\x02\xff\xfe"), True),
    "a time outside the calendar": (table(b"a", b"T", b"\x7f" + b"\xff" * 7), False),
    "a number too large to be written again": (table(b"a", b"d", struct.pack(">d", 1e300)), True),
    "bytes in a list": (table(b"a", b"A", b"\x00\x00\x00\x06S\x00\x00\x00\x01\xff"), True),
    "a nested table": (table(b"a", b"F", b"\x00\x00\x00\x03\x01bV"), True),
    "a content type that is no text": (b"\x80\x00\x02\xff\xfe", False),
}


@pytest.mark.parametrize("case", _STRANGE)
async def test_headers_that_cannot_be_decoded_hold_nobody_up(
    broker: Broker, rabbitmq_server: RabbitmqServer, prefix: str, case: str
) -> None:
    properties, is_decodable = _STRANGE[case]

    async with broker.subscribe(["order:*"], group="g") as inbox:
        await broker.publish([new_event(1)])
        await put_raw(rabbitmq_server, prefix, b"0.order.order.:.created", properties, b"strange")
        await broker.publish([new_event(2)])
        arrivals = await received(inbox, 3)
        [strange] = [each for each in arrivals if each.failure is not None]
        assert (bytes(strange.event.data), strange.event.subject) == (b"strange", "order")
        assert ("headers cannot be decoded" in str(strange.failure)) is not is_decodable
        await inbox.reject(strange, str(strange.failure))
        await inbox.settle([each for each in arrivals if each is not strange])
        [letter] = await broker.letters("g")
        assert bytes(letter.event.data) == b"strange"
        await broker.resolve(letter, again=True)
        [again] = await received(inbox, 1)
        assert bytes(again.event.data) == b"strange"


async def test_headers_that_leave_no_room_for_a_reason_are_given_up_first(
    broker: Broker, rabbitmq_server: RabbitmqServer, prefix: str
) -> None:
    async with broker.subscribe(["order:*"], group="g") as inbox:
        await put(rabbitmq_server, prefix, "0.order.order.:.created", b"much", headers={"much": "x" * 129_000})
        [much] = await received(inbox, 1)
        await inbox.reject(much, "no such thing", "\u20ac" * 20_000)
        [letter] = await broker.letters("g")

    assert (bytes(letter.event.data), letter.reason) == (b"much", "no such thing")


async def test_a_routing_key_that_is_no_text_holds_nobody_up(
    broker: Broker, rabbitmq_server: RabbitmqServer, prefix: str
) -> None:
    async with broker.subscribe(["**"], group="g") as inbox:
        await put_raw(rabbitmq_server, prefix, b"0.\xff\xfe", b"\x00\x00", b"strange")
        await broker.publish([new_event(1)])
        arrivals = await received(inbox, 2)
        await inbox.settle(arrivals)

    assert {bytes(each.event.data) for each in arrivals} == {b"strange", b'{"number":1}'}


async def put_raw(server: RabbitmqServer, prefix: str, key: bytes, properties: bytes, body: bytes) -> None:
    """A message of somebody else, byte for byte."""
    method = commands.Basic.Publish(0, f"{prefix}events", "k" * len(key))
    async with rabbitmq_client(server) as channel:
        frames = [
            marshal(method, channel.number).replace(b"k" * len(key), key),
            frame(2, channel.number, b"\x00\x3c\x00\x00" + len(body).to_bytes(8) + properties),
            frame(3, channel.number, body),
        ]
        await channel.write_queue.put(  # type: ignore[attr-defined]  # as a channel has it
            aiormq.abc.ChannelFrame(b"".join(frames), should_close=False)
        )
        confirmed = await channel.queue_declare(exclusive=True)  # an answer: it was taken, in order
        assert confirmed.queue


def frame(kind: int, channel: int, content: bytes) -> bytes:
    """A frame of AMQP."""
    return bytes([kind]) + channel.to_bytes(2) + len(content).to_bytes(4) + content + b"\xce"
