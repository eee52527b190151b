"""The server is killed, frozen, cut off, or lets nobody in: errors are ours and come in time, and reading goes on."""

import asyncio
import subprocess
from asyncio import to_thread
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import words
from tests.brokers.nats_words import another_client, going_on, own_prefix, until, url_of
from tests.brokers.words import tell_until_heard
from tests.servers.fixtures import FreshServer
from tests.servers.nats import NatsServer
from tests.servers.server import free_ports, talk
from tidings.brokers import Broker, connect
from tidings.brokers.nats.greeting import _credentials, _introduction
from tidings.brokers.nats.link import Link
from tidings.brokers.nats.settings import settings_of
from tidings.errors import BrokerError, BrokerUnreachable, ConfigurationError, EventRefused
from tidings.events import Event
from tidings.testing.broker_conformance.words import arrived_ids, ids_of, new_event, new_events, take, within


async def test_what_was_acknowledged_survives_a_server_that_is_killed_under_publisher_and_reader(
    fresh_server: FreshServer,
) -> None:
    server = await to_thread(fresh_server, NatsServer)
    broker, reader = [await connect(url_of(server, prefix="x", timeout=2, session=1)) for _ in range(2)]
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
    assert {type(error) for error in refusals} <= {BrokerUnreachable, BrokerError}


async def test_a_frozen_server_is_told_in_time_and_gone_on_with_when_it_thaws(fresh_server: FreshServer) -> None:
    server = await to_thread(fresh_server, NatsServer)
    url = url_of(server, prefix="x", timeout=0.5, session=1)
    broker, other = await connect(url), await connect(url)
    async with words.going_on(other) as reader:
        await tell_until_heard(broker, reader, new_event(0))
        before = len(reader.failures)
        await to_thread(server.pause)
        try:
            with pytest.raises(BrokerUnreachable):
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


async def test_a_silent_server_is_noticed_by_who_only_listens(fresh_server: FreshServer) -> None:
    server = await to_thread(fresh_server, NatsServer)
    broker = await connect(url_of(server, prefix="x", timeout=0.5, session=60))
    async with words.joined(broker, group=None) as inbox, within("an error"):
        await to_thread(server.pause)
        with pytest.raises(BrokerUnreachable, match=r"said nothing|did not answer"):
            await inbox.receive()
    await to_thread(server.resume)
    await broker.close()


class Between:
    """What passes everything on, until it cuts the connections."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self) -> int:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def end(self) -> None:
        self.cut()
        assert self._server is not None
        self._server.close()
        await asyncio.wait([*self._tasks, asyncio.ensure_future(self._server.wait_closed())])

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: asyncio.Task[None] | None = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers += [writer, other_writer]
        await asyncio.gather(self._copy(reader, other_writer), self._copy(other_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass  # it was cut
        finally:
            writer.close()


async def test_a_connection_that_is_cut_is_made_again(nats_server: NatsServer) -> None:
    between = Between(nats_server.port)
    port = await between.begin()
    broker = await connect(f"nats://127.0.0.1:{port}?prefix={own_prefix()}&session=1")
    taken: list[str] = []
    async with going_on(broker, lambda arrivals: taken.extend(arrived_ids(arrivals))) as failures:
        for number in range(3):
            await publish_until_taken(broker, number, taken)
            between.cut()
            await until(lambda number=number: len(failures) > number, "the notice of it")  # type: ignore[misc]
        await publish_until_taken(broker, 3, taken)
    await broker.close()
    await between.end()


async def publish_until_taken(broker: Broker, number: int, taken: list[str]) -> None:
    async with within(f"the receipt of id-{number}"):
        while True:
            try:
                await broker.publish([new_event(number)])
                break
            except BrokerUnreachable:
                await asyncio.sleep(0.01)
    await until(lambda: f"id-{number}" in taken, f"the receipt of id-{number}")


async def test_nobody_there_is_told_at_once() -> None:
    [port] = free_ports(1)
    broker = await connect(f"nats://shop:hidden@127.0.0.1:{port}?token=hidden")

    with pytest.raises(BrokerUnreachable, match="cannot be reached") as publishing:
        await broker.publish([new_event(0)])
    with pytest.raises(BrokerUnreachable) as subscribing:
        async with broker.subscribe(["**"], group="g"):
            pass

    assert "hidden" not in f"{publishing.value!r} {publishing.value} {subscribing.value} {broker.url} {vars(broker)}"


async def test_a_server_without_jetstream_is_told(fresh_server: FreshServer, tmp_path: Path) -> None:
    class Core(NatsServer):
        def command(self) -> list[str]:
            return [word for word in super().command() if word != "-js"]

        def answers(self) -> bool:
            return b'"jetstream":true' not in (greeting := talk(self.port)) and greeting.startswith(b"INFO")

    server = await to_thread(fresh_server, Core)
    broker = await connect(server.url)

    with pytest.raises(BrokerError, match="with JetStream"):
        await broker.publish([new_event(0)])
    await broker.close()


async def there_and_back(broker: Broker) -> None:
    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish([new_event(0)])
        assert ids_of(await take(inbox, ["id-0"])) == ["id-0"]


async def test_a_user_and_a_password_are_said_by_the_url_and_shown_to_nobody(fresh_server: FreshServer) -> None:
    server = await to_thread(lambda: fresh_server(NatsServer, user="shop", **{"pass": "hid%den"}))
    url = server.url.replace("nats://", "nats://shop:hid%25den@")
    broker, refused = await connect(url), await connect(url.replace("hid%25den", "hidden"))

    await there_and_back(broker)
    with pytest.raises(BrokerUnreachable, match="Authorization Violation") as told:
        await refused.publish([new_event(0)])
    await broker.close()

    shown = f"{told.value!r} {told.value} {broker.url} {refused.url} {vars(broker)} {vars(refused)}"
    assert "hid" not in shown.replace("tidings", "")


async def test_a_token_is_said_by_the_url(fresh_server: FreshServer) -> None:
    server = await to_thread(lambda: fresh_server(NatsServer, auth="secret-word"))
    broker = await connect(f"{server.url}?token=secret-word")

    await there_and_back(broker)
    await broker.close()

    assert "secret-word" not in f"{broker.url} {vars(broker)}"


async def test_tls_is_spoken_and_the_authority_is_asked_for(fresh_server: FreshServer, tmp_path: Path) -> None:
    words = f"req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {tmp_path}/key -out {tmp_path}/certificate"
    named = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    await to_thread(subprocess.run, ["openssl", *words.split(), *named], check=True, capture_output=True)
    said = f'tls {{ cert_file: "{tmp_path}/certificate", key_file: "{tmp_path}/key" }}'
    await to_thread((tmp_path / "conf").write_text, said)
    server = await to_thread(lambda: fresh_server(NatsServer, c=f"{tmp_path}/conf"))
    url = server.url.replace("nats", "nats+tls")
    broker, stranger = await connect(f"{url}?ca={tmp_path}/certificate"), await connect(url)

    await there_and_back(broker)
    with pytest.raises(BrokerUnreachable, match="certificate"):
        await stranger.publish([new_event(1)])
    await broker.close()


async def test_tls_that_the_server_does_not_speak_is_not_gone_without(nats_server: NatsServer) -> None:
    broker = await connect(f"{nats_server.url}?tls=yes")

    with pytest.raises(BrokerUnreachable, match="does not speak TLS"):
        await broker.publish([new_event(0)])


async def test_credentials_sign_what_the_server_asks(tmp_path: Path) -> None:
    nkeys: Any = import_module("nkeys")
    seed = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
    file = tmp_path / "shop.creds"
    begin, end = "-----BEGIN NATS USER JWT-----", "------END NATS USER JWT------"
    keys = f"-----BEGIN USER NKEY SEED-----\n{seed.decode()}\n------END USER NKEY SEED------"
    await to_thread(file.write_text, f"{begin}\nthe.jwt\n{end}\n\n{keys}\n")
    settings = settings_of(f"nats://there?credentials={file}")
    link = Link("nats://there", 5.0)
    link.info = {"nonce": "a nonce"}

    said = _introduction(link, settings, await to_thread(_credentials, settings))

    assert b'"jwt":"the.jwt"' in said
    assert b'"sig":"' in said
    assert seed not in said
    lost = await connect("nats://there?credentials=/nowhere")
    with pytest.raises(ConfigurationError, match="credentials='/nowhere'"):
        await lost.publish([new_event(0)])


async def test_an_event_larger_than_the_server_takes_is_refused_by_name(nats_server: NatsServer) -> None:
    broker = await connect(url_of(nats_server, prefix=own_prefix()))

    with pytest.raises(EventRefused, match="'id-1' is refused"):
        await broker.publish([new_event(1, data="x" * 2_000_000)])
    await broker.publish(new_events(2, 4))
    await broker.close()


async def test_what_somebody_removed_is_made_again(nats_server: NatsServer) -> None:
    prefix = own_prefix()
    broker = await connect(url_of(nats_server, prefix=prefix, session=1))
    taken: set[str] = set()
    async with going_on(broker, lambda arrivals: taken.update(arrived_ids(arrivals))) as failures:
        await broker.publish([new_event(0)])
        await until(lambda: taken == {"id-0"}, "the first event")
        async with another_client(nats_server) as client:
            await client.jetstream(timeout=20).delete_stream(f"{prefix}_order")
        await until(lambda: failures, "the notice of it")
        await publish_again(broker, new_event(1))
        await until(lambda: taken == {"id-0", "id-1"}, "the second event")
    await broker.close()


async def publish_again(broker: Broker, event: Event) -> None:
    try:
        await broker.publish([event])
    except BrokerError:
        await broker.publish([event])
