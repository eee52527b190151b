"""The server is killed, frozen, cut off, or lets nobody in: errors are ours and come in time, and reading goes on."""

import asyncio
import subprocess
from asyncio import to_thread
from pathlib import Path

import pytest

from tests.brokers import words
from tests.brokers.redis_words import AnotherClient, going_on, own_prefix, until, url_of
from tests.brokers.words import tell_until_heard
from tests.servers.fixtures import FreshServer
from tests.servers.redis import RedisServer
from tests.servers.server import free_ports
from tidings.brokers import Arrival, connect
from tidings.errors import BrokerError, BrokerUnreachable, EventRefused
from tidings.events import Event
from tidings.testing.broker_conformance.words import arrived_ids, new_event, new_events, within


@pytest.fixture(params=["redis", "redis+pubsub"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_what_was_acknowledged_survives_a_server_that_is_killed_under_publisher_and_reader(
    fresh_server: FreshServer,
) -> None:
    server = await to_thread(fresh_server, RedisServer)
    broker, reader = [await connect(url_of(server, prefix="", timeout=2)) for _ in range(2)]
    taken: set[str] = set()
    acknowledged: list[str] = []
    refusals: list[BrokerError] = []
    ended = asyncio.Event()

    async def publish() -> None:
        while not ended.is_set():
            events = [Event(source="shop", type="order:created", key=f"k{n}") for n in range(10)]
            try:
                await broker.publish(events)
                acknowledged.extend(event.id for event in events)
            except BrokerError as error:
                refusals.append(error)
                await asyncio.sleep(0.01)

    async with going_on(reader, lambda arrivals: taken.update(arrived_ids(arrivals))) as failures:
        publishing = asyncio.ensure_future(publish())
        for round in range(2):
            await until(lambda: len(taken) > 100, "reading")
            await to_thread(server.kill9)
            await until(lambda round=round: len(refusals) > round, "a refusal")  # type: ignore[misc]
            before = len(acknowledged)
            await to_thread(server.start)
            await until(lambda before=before: len(acknowledged) > before + 50, "publishing again")  # type: ignore[misc]
        ended.set()
        await publishing
        await until(lambda: taken >= set(acknowledged), "all that was acknowledged")
    await broker.close()
    await reader.close()

    assert failures
    assert {type(error) for error in refusals} == {BrokerUnreachable}


async def test_a_frozen_server_is_told_in_time_and_gone_on_with_when_it_thaws(
    fresh_server: FreshServer, scheme: str
) -> None:
    server = await to_thread(fresh_server, RedisServer)
    url = url_of(server, prefix="", scheme=scheme, timeout=0.5)
    broker, other = await connect(url), await connect(url)
    async with words.going_on(other) as reader:
        await tell_until_heard(broker, reader, new_event(0))
        before = len(reader.failures)
        await to_thread(server.pause)
        try:
            with pytest.raises(BrokerUnreachable, match="answer"):
                async with within("a publisher's failure"):
                    await broker.publish([new_event(1)])
            await reader.fails_again(before)
            with pytest.raises(BrokerUnreachable, match="answer"):
                async with within("a joiner's failure"), broker.subscribe(["**"], group="g"):
                    pass
        finally:
            await to_thread(server.resume)
        await tell_until_heard(broker, reader, new_event(2))
    for each in (broker, other):
        await each.close()


async def test_a_connection_that_is_cut_is_made_again(redis_server: RedisServer, scheme: str) -> None:
    broker = await connect(url_of(redis_server, prefix=own_prefix(), scheme=scheme))
    taken: set[str] = set()
    async with going_on(broker, lambda arrivals: taken.update(arrived_ids(arrivals))) as failures:
        for number in range(3):
            await until_heard(broker, taken, number)
            other = AnotherClient(redis_server)
            assert await other.client_kill_filter(_type="normal", skipme=True) > 0
            assert await other.client_kill_filter(_type="pubsub", skipme=True) >= 0
            await until(lambda number=number: len(failures) > number, "the notice of it")  # type: ignore[misc]
        await until_heard(broker, taken, 3)
    await broker.close()


async def until_heard(broker: object, taken: set[str], number: int) -> None:
    """Publish until it is heard: nobody keeps what is published on a channel while its reader is away."""
    async with within(f"the receipt of id-{number}"):
        while f"id-{number}" not in taken:
            try:
                await broker.publish([new_event(number)])  # type: ignore[attr-defined]
            except BrokerUnreachable:
                pass  # it is the connection that was cut
            await asyncio.sleep(0.01)


async def test_nobody_there_is_told_at_once(scheme: str) -> None:
    [port] = free_ports(1)
    broker = await connect(f"{scheme}://:hidden@127.0.0.1:{port}")

    with pytest.raises(BrokerUnreachable, match="cannot be reached") as publishing:
        await broker.publish([new_event(0)])
    with pytest.raises(BrokerUnreachable) as subscribing:
        async with broker.subscribe(["**"], group="g"):
            pass

    assert "hidden" not in f"{publishing.value!r} {publishing.value} {subscribing.value} {broker.url} {vars(broker)}"


async def test_a_user_and_a_password_are_said_by_the_url_and_shown_to_nobody(
    fresh_server: FreshServer, scheme: str
) -> None:
    server = await to_thread(fresh_server, RedisServer)
    rights = ["on", "+@all", "-@admin", "-@dangerous", "~tidings:*", "&tidings:*", ">hid%den"]
    await AnotherClient(server).execute_command("ACL", "SETUSER", "shop", *rights)
    url = server.url.replace("redis://", f"{scheme}://shop:hid%25den@") + "/3"
    broker, refused = await connect(url), await connect(url.replace("hid%25den", "hidden"))
    async with broker.subscribe(["**"], group="g") as inbox, within("the event"):
        await broker.publish([new_event(0)])
        assert arrived_ids(await inbox.receive()) == ["id-0"]
    with pytest.raises(BrokerUnreachable, match="WRONGPASS") as told:
        await refused.publish([new_event(0)])
    await broker.close()

    shown = f"{told.value!r} {told.value} {broker.url} {refused.url} {vars(broker)} {vars(refused)}"
    assert "hid" not in shown.replace("tidings", "")


async def test_tls_is_spoken_and_the_authority_is_asked_for(
    fresh_server: FreshServer, scheme: str, tmp_path: Path
) -> None:
    [port] = free_ports(1)
    words = f"req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {tmp_path}/key -out {tmp_path}/certificate"
    named = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    await to_thread(subprocess.run, ["openssl", *words.split(), *named], check=True, capture_output=True)
    files = {"tls-cert-file": f"{tmp_path}/certificate", "tls-key-file": f"{tmp_path}/key"}
    spoken = {"tls-port": str(port), "tls-auth-clients": "no", **files}
    await to_thread(lambda: fresh_server(RedisServer, **spoken))
    url = f"{scheme.replace('redis', 'rediss')}://127.0.0.1:{port}"
    broker, stranger = await connect(f"{url}?ca={tmp_path}/certificate"), await connect(url)

    async with broker.subscribe(["**"], group="g") as inbox, within("the event"):
        await broker.publish([new_event(0)])
        assert arrived_ids(await inbox.receive()) == ["id-0"]
    with pytest.raises(BrokerUnreachable, match="certificate"):
        await stranger.publish([new_event(1)])
    await broker.close()


async def test_an_event_larger_than_the_server_takes_is_refused_by_name(fresh_server: FreshServer) -> None:
    server = await to_thread(lambda: fresh_server(RedisServer, **{"proto-max-bulk-len": "1mb"}))
    broker = await connect(url_of(server, prefix=""))

    with pytest.raises(EventRefused, match="'id-1' is refused"):
        await broker.publish([new_event(1, data="x" * 2_000_000)])
    await broker.publish(new_events(2, 4))
    await broker.close()


async def test_a_server_without_room_says_so_and_takes_events_again_later(fresh_server: FreshServer) -> None:
    server = await to_thread(fresh_server, RedisServer)
    broker, other = await connect(url_of(server, prefix="")), AnotherClient(server)
    await broker.publish([new_event(0)])
    await other.config_set("maxmemory", "1")

    with pytest.raises(BrokerError, match="refused: OOM"):
        await broker.publish([new_event(1)])
    await other.config_set("maxmemory", "0")
    await broker.publish([new_event(1)])
    arrived: list[Arrival] = []
    async with broker.subscribe(["**"], group="g") as inbox, within("both"):
        while len(arrived) < 2:
            arrived += await inbox.receive()
    await broker.close()

    assert sorted(arrived_ids(arrived)) == ["id-0", "id-1"]


async def test_what_somebody_emptied_is_made_again(fresh_server: FreshServer) -> None:
    server = await to_thread(fresh_server, RedisServer)
    broker = await connect(url_of(server, prefix=""))
    taken: set[str] = set()
    async with going_on(broker, lambda arrivals: taken.update(arrived_ids(arrivals))) as failures:
        await broker.publish([new_event(0)])
        await until(lambda: taken == {"id-0"}, "the first event")
        await AnotherClient(server).flushall()
        await until(lambda: failures, "the notice of it")
        await broker.publish([new_event(1)])
        await until(lambda: taken == {"id-0", "id-1"}, "the second event")
    await broker.close()
