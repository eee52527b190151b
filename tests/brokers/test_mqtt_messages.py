"""What stands in MQTT's messages and topics: the binding, what others wrote, device state, names, settings."""

import asyncio
import queue
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Self

import paho.mqtt.client as paho
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.servers.fixtures import FreshServer
from tests.servers.mosquitto import MosquittoServer
from tidings import Broker, Event
from tidings.brokers import Channels, Wanted, connect
from tidings.brokers.foreign import UNREADABLE, json_decoder
from tidings.brokers.mqtt.names import filters_of, session_of, topic_of
from tidings.errors import ConfigurationError, EventRefused, InvalidEvent, MissingExtra, NotSupported
from tidings.testing.broker_conformance.words import ids_of, new_event, take, take_arrivals, take_until_marked, within

Connect = Callable[..., Any]
PATIENCE = 20.0


class Native:
    """MQTT's usual client with a thread of its own, as somebody without tidings has it. Blocks."""

    def __init__(self, server: MosquittoServer) -> None:
        self._heard: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self._subscribed: queue.Queue[object] = queue.Queue()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_message = lambda client, data, message: self._heard.put(message)
        self._client.on_subscribe = lambda *told: self._subscribed.put(told)
        self._client.connect("127.0.0.1", server.port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def write(self, topic: str, payload: bytes, said: dict[str, Any] | None = None, *, qos: int = 1) -> None:
        properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # as it comes
        for name, value in (said or {}).items():
            setattr(properties, name, value)
        self._client.publish(topic, payload, qos, properties=properties).wait_for_publish(PATIENCE)

    def listen(self, topic: str) -> None:
        self._client.subscribe(topic, 1)
        self._subscribed.get(timeout=PATIENCE)

    def read(self) -> paho.MQTTMessage:
        return self._heard.get(timeout=PATIENCE)


@pytest.fixture
def prefix() -> str:
    return f"m{uuid.uuid4().hex[:8]}/shop"


@pytest.fixture
async def connected(mosquitto_server: MosquittoServer, prefix: str) -> AsyncIterator[Connect]:
    opened: list[Broker] = []

    async def connected(channels: Channels | None = None, settings: str = "") -> Broker:
        broker = await connect(f"{mosquitto_server.url}?prefix={prefix}{settings}", channels=channels)
        opened.append(broker)
        return broker

    yield connected
    for broker in opened:
        await broker.close()


@pytest.fixture
async def native(mosquitto_server: MosquittoServer) -> AsyncIterator[Native]:
    native = await asyncio.to_thread(Native, mosquitto_server)
    await asyncio.to_thread(native.__enter__)
    yield native
    await asyncio.to_thread(native.__exit__)


async def test_what_is_written_is_the_binding_of_cloudevents(connected: Connect, native: Native, prefix: str) -> None:
    event = Event(
        id="1",
        source="shop",
        type="order/created",
        data={"total": "39.90"},
        key="k-7",
        time=datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC),
        headers={"tenant": "nörd"},
    )
    await asyncio.to_thread(native.listen, f"{prefix}/order/+/#")
    await (await connected()).publish([event])

    message = await asyncio.to_thread(native.read)

    said: Any = message.properties
    attributes = dict(said.UserProperty)
    read = CloudEvent({**attributes, "time": datetime.fromisoformat(attributes["time"])}, bytes(message.payload))
    assert message.topic.removeprefix(f"{prefix}/order/")[1:] == "/order%2Fcreated"
    assert (read.get_id(), read.get_source(), read.get_type()) == ("1", "shop", "order/created")
    assert (read.get_time(), bytes(message.payload)) == (event.time, b'{"total":"39.90"}')
    assert (read.get_extension("partitionkey"), read.get_extension("tenant")) == ("k-7", "nörd")
    assert (said.ContentType, message.qos, message.retain) == ("application/json", 1, False)


async def test_what_the_official_sdk_writes_is_read(connected: Connect, native: Native, prefix: str) -> None:
    attributes: dict[str, Any] = {"id": "1", "source": "/sdk", "type": "order:created", "partitionkey": "k-7"}
    attributes |= {"specversion": "1.0", "datacontenttype": "application/json", "time": datetime.now(UTC)}
    written = JSONFormat().write(CloudEvent(attributes, {"total": "39.90"}))
    broker = await connected()
    async with broker.subscribe(["order:created"], group="g") as inbox:
        structured = {"ContentType": "application/cloudevents+json; charset=utf-8"}
        await asyncio.to_thread(native.write, f"{prefix}/order/0/order:created", written, structured)
        [event] = await take(inbox, ["1"])

    assert (event.source, event.key, event.time) == ("/sdk", "k-7", attributes["time"])
    assert b"39.90" in bytes(event.data)


async def test_properties_that_are_no_attributes_are_left_out(connected: Connect, native: Native, prefix: str) -> None:
    pairs = [("specversion", "1.0"), ("id", "1"), ("source", "s"), ("type", "order:created"), ("X-Trace_id", "7")]
    broker = await connected()
    async with broker.subscribe(["order:*"], group="g") as inbox:
        await asyncio.to_thread(native.write, f"{prefix}/order/0/x", b"{}", {"UserProperty": [*pairs, ("own", "8")]})
        [event] = await take(inbox, ["1"])

    assert event.headers == {"own": "8"}


@pytest.mark.parametrize("group", ["g", None])
async def test_what_devices_write_is_read_by_a_declared_decoder(
    connected: Connect, native: Native, prefix: str, group: str | None
) -> None:
    channels = Channels({"sensor:*": "house"}, {"house": json_decoder("sensor:read", key="device")})
    broker = await connected(channels)
    async with broker.subscribe(["sensor:read"], group=group) as inbox:
        for number, qos in enumerate((1, 1, 0)):
            data = b'{"device": %d}' % number
            await asyncio.to_thread(native.write, f"{prefix}/house/kitchen/{number}", data, qos=qos)
        await broker.publish([new_event(0, type="sensor:read")])
        arrivals = await take_arrivals(inbox, ["id-0"], at_least=4)
        await inbox.settle(arrivals)
        left = await take_until_marked(broker, inbox, type="sensor:read")

    assert sorted(each.event.key for each in arrivals if each.event.key) == ["0", "1", "2"]
    assert len(arrivals) == 4, "what is ours came by its partition, and by the topics of devices"
    assert left == []


async def test_what_nobody_can_read_is_handed_over_as_it_is_and_stops_nothing(
    connected: Connect, native: Native, prefix: str
) -> None:
    broken = {"UserProperty": [("specversion", "1.0"), ("id", "1")]}
    broker = await connected()
    async with broker.subscribe(["order:created"], group="g") as inbox:
        for said in (broken, {}):
            await asyncio.to_thread(native.write, f"{prefix}/order/0/x", b"\x00\xff", said)
            [arrival] = await take_arrivals(inbox, (), at_least=1)
            assert arrival.failure is not None
            assert (arrival.event.type, arrival.event.data) == (UNREADABLE, b"\x00\xff")
            await inbox.settle([arrival])
        assert await take_until_marked(broker, inbox) == []


async def test_a_new_group_hears_the_newest_state_of_each_device(connected: Connect) -> None:
    broker = await connected(settings="&retained=device:*")
    states = [new_event(number, type="device:state", key=f"lamp/{number % 3}") for number in range(9)]
    await broker.publish([*states, new_event(9, type="other:state", key="lamp/0")])

    async with broker.subscribe(["device:*"], group="g") as inbox:
        assert sorted(ids_of(await take(inbox, ids_of(states[6:])))) == ids_of(states[6:])
    async with broker.subscribe(["device:*"], group="g") as inbox:
        assert await take_until_marked(broker, inbox, type="device:gone") == [], "it had heard them before"
    async with broker.subscribe(["device:*"], group="late", start="latest") as inbox:
        assert await take_until_marked(broker, inbox, type="device:gone") == []
    async with broker.subscribe(["**"], group="all") as inbox:
        heard = await take_until_marked(broker, inbox, type="device:gone")
        assert "id-9" not in ids_of(heard)


async def test_what_mqtt_cannot_do_is_said(connected: Connect) -> None:
    broker = await connected()
    async with broker.subscribe(["order:*"], group="g") as inbox:
        await broker.publish([new_event(0)])
        [arrival] = await take_arrivals(inbox, ["id-0"])
        for attempt in (
            inbox.retry(arrival, 1.0),
            inbox.reject(arrival, "x"),
            broker.groups(),
            broker.letters(),
        ):
            with pytest.raises(NotSupported, match="cannot"):
                await attempt


async def test_sessions_are_missing_until_they_are_made_and_those_in_use_are_left_alone(connected: Connect) -> None:
    wanted = Wanted(("order",), (("shop:orders", ("order:*",)), ("used", ("order:*",))))
    broker = await connected()
    async with broker.subscribe(["order:*"], group="used") as inbox:
        await broker.publish([new_event(0)])
        held = await take_arrivals(inbox, ["id-0"])
        before = [await broker.setup(wanted, apply=False) for _ in range(2)]
        made = await broker.setup(wanted, apply=True)
        after = await broker.setup(wanted, apply=False)
        await inbox.settle(held)
    await broker.publish([new_event(1)])

    assert [[(each.what, each.state) for each in found] for found in before] == [[("group shop:orders", "missing")]] * 2
    assert [(each.what, each.state) for each in made] == [("group shop:orders", "created")]
    assert after == []
    async with broker.subscribe(["order:*"], group="shop:orders") as inbox:
        assert ids_of(await take(inbox, ["id-1"])) == ["id-1"]


async def test_what_is_larger_than_the_server_takes_is_refused(fresh_server: FreshServer) -> None:
    server = await asyncio.to_thread(fresh_server, MosquittoServer, max_packet_size="20000")
    broker = await connect(server.url)
    with pytest.raises(EventRefused, match="20000 bytes"):
        await broker.publish([new_event(0), new_event(1, data="x" * 30_000)])
    async with within("a publish of what is smaller"):
        await broker.publish([new_event(2, data="x" * 10_000)])
    with pytest.raises(EventRefused, match="65535"):
        await broker.publish([new_event(3, headers={"long": "ä" * 40_000})])
    await broker.close()


async def test_what_a_server_would_hang_up_for_is_refused_before(connected: Connect) -> None:
    broker = await connected()
    async with broker.subscribe(["order:*"], group="g") as inbox:
        with pytest.raises(InvalidEvent, match="control character"):
            await broker.publish([new_event(0), new_event(1, subject="a\x01b")])
        await broker.publish([new_event(2, subject="a\u00a0b")])
        assert ids_of(await take(inbox, ["id-2"])) == ["id-2"]


async def test_what_devices_wrote_while_no_member_was_there_outlives_a_restart(fresh_server: FreshServer) -> None:
    server = await asyncio.to_thread(fresh_server, MosquittoServer)
    channels = Channels({"sensor:*": "house"}, {"house": json_decoder("sensor:read", key="device")})
    broker = await connect(server.url, channels=channels)
    async with broker.subscribe(["sensor:read"], group="g"):
        pass
    await broker.close()
    native = await asyncio.to_thread(Native, server)
    await asyncio.to_thread(native.__enter__)
    await asyncio.to_thread(native.write, "house/kitchen", b'{"device": 7}')
    await asyncio.to_thread(native.__exit__)
    await asyncio.to_thread(server.restart)

    again = await connect(server.url, channels=channels)
    async with again.subscribe(["sensor:read"], group="g") as inbox:
        [arrival] = await take_arrivals(inbox, (), at_least=1)
        await inbox.settle()
    await again.close()

    assert (arrival.event.type, arrival.event.key) == ("sensor:read", "7")


def test_names_that_differ_have_topics_that_differ_and_none_widens_a_filter() -> None:
    names = ["a/b", "a%2Fb", "a:b", "a.b", "a+b", "a#b", "a b"]
    topics = {topic_of("p/", name, 3, name, name) for name in names}

    assert len(topics) == len(names)
    assert all(topic.count("/") == 4 and not set(topic) & set("+# ") for topic in topics)
    assert filters_of("p/", None, [1]) == ["p/+/1/#"]
    assert len({session_of("", group, 1) for group in names}) == len(names)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("prefix=a%23", "prefix may have"),
        ("session=0", "above 0"),
        ("expiry=0", "above 0"),
        ("timeout=soon", "no number"),
        ("retained=a*b", "retained is no list"),
        ("partitions=4", "no setting 'partitions'"),
    ],
)
async def test_a_setting_that_cannot_be_is_refused_without_the_password(settings: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as raised:
        await connect(f"mqtt://me:hidden@host?{settings}")

    assert "hidden" not in str(raised.value)


async def test_without_the_library_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)

    with pytest.raises(MissingExtra, match=r"tidings\[mqtt\]"):
        await connect("mqtt://host")
