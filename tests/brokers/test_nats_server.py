"""What only NATS servers ask and do: with JetStream or without, tokens, credentials, streams that somebody removes."""

import asyncio
import contextlib
from asyncio import to_thread
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.brokers.another import nats_client
from tests.brokers.carriers import those
from tests.brokers.words import going_on, insisting, own_name, until, url_of
from tests.servers.fixtures import FreshServer
from tests.servers.nats import NatsServer
from tests.servers.server import talk
from tidings.brokers import Broker, Capabilities, connect
from tidings.brokers.nats.greeting import _credentials, _introduction
from tidings.brokers.nats.link import Link
from tidings.brokers.nats.settings import settings_of
from tidings.errors import BrokerError, BrokerUnreachable, ConfigurationError
from tidings.events import Event
from tidings.testing.broker_conformance import settling, words
from tidings.testing.broker_conformance.words import arrived_ids, ids_of, new_event, new_events, take, within

SESSION = 2  # seconds


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


async def test_a_token_is_said_by_the_url(fresh_server: FreshServer) -> None:
    server = await to_thread(lambda: fresh_server(NatsServer, auth="secret-word"))
    broker = await connect(f"{server.url}?token=secret-word")

    await there_and_back(broker)
    await broker.close()

    assert "secret-word" not in f"{broker.url} {vars(broker)}"


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


async def test_what_somebody_removed_is_made_again(nats_server: NatsServer) -> None:
    prefix = own_name()
    broker = await connect(url_of(nats_server, prefix=prefix, session=1))
    async with going_on(broker) as reader:
        await broker.publish([new_event(0)])
        await reader.hears(["id-0"])
        async with nats_client(nats_server) as client:
            await client.jetstream(timeout=20).delete_stream(f"{prefix}_order")
        await until(lambda: reader.failures, "the notice of it")
        await publish_again(broker, new_event(1))
        await reader.hears(["id-1"])
    await broker.close()


async def test_what_was_on_its_way_when_the_server_ended_comes_before_what_is_newer(fresh_server: FreshServer) -> None:
    server = await to_thread(fresh_server, NatsServer)
    broker = await connect(url_of(server, prefix=own_name(), partitions=1, session=SESSION))
    await broker.publish(new_events(0, 20, key="k"))
    with contextlib.suppress(BrokerError):
        async with broker.subscribe(["**"], group="g") as inbox:
            await take(inbox, ["id-0"], at_most=1)  # the others are on their way, or have come with it
            await to_thread(server.stop)
    await asyncio.sleep(SESSION)  # its member is dead by then, and the server's patience begins anew
    await to_thread(server.start)
    await insisting(lambda: broker.publish(new_events(20, 30, key="k")))

    heard = list[str]()
    async with broker.subscribe(["**"], group="g") as inbox, within("the rest", lambda: heard):
        while "id-29" not in heard or "id-1" not in heard:
            arrivals = await inbox.receive()
            heard += arrived_ids(arrivals)
            await inbox.settle(arrivals)
    await broker.close()

    first_heard = [id for id in dict.fromkeys(heard) if id != "id-0"]
    assert first_heard == ids_of(new_events(1, 30))


async def publish_again(broker: Broker, event: Event) -> None:
    try:
        await broker.publish([event])
    except BrokerError:
        await broker.publish([event])


@those(lambda carrier: carrier.name == "nats-core")
async def test_who_claims_to_remember_and_does_not_is_found_out(
    connect: Callable[[], Awaitable[Broker]], capabilities: Capabilities, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "LIMIT", 1.0)
    claimed = msgspec.structs.replace(capabilities, remembers=True)

    with pytest.raises(AssertionError, match="still missing"):
        await settling.test_what_was_not_settled_comes_again_when_its_member_left(connect, claimed)
