"""Pulsar keeps the promises of a broker, also when its server is killed, frozen or encrypted."""

import asyncio
import itertools
import subprocess
import uuid
from asyncio import to_thread
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from tests.brokers.pulsar_words import at_work, hear, url_of
from tests.brokers.words import attempt, going_on, judged, numbered, tell
from tests.servers.fixtures import require
from tests.servers.pulsar import PulsarServer
from tidings.brokers import Broker, Capabilities
from tidings.brokers import connect as connect_to
from tidings.errors import BrokerUnreachable
from tidings.testing.broker_conformance import *  # noqa: F403  # the suite is the first part of this file's content
from tidings.testing.broker_conformance.words import ids_of, new_event, take, within
from tidings.testing.checker import History

_names = itertools.count()


class OwnPulsar(PulsarServer):
    """A Pulsar with a second door, which is encrypted."""

    port_count = 4

    def prepare(self) -> None:
        """Its certificate is its own authority."""
        super().prepare()
        subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-nodes"]
        files = ["-keyout", str(self.folder / "key.pem"), "-out", str(self.folder / "ca.pem")]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", *subject, *files]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def _configuration(self) -> dict[str, str]:
        return super()._configuration() | {
            "brokerServicePortTls": str(self.ports[3]),
            "tlsCertificateFilePath": f"{self.folder}/ca.pem",
            "tlsKeyFilePath": f"{self.folder}/key.pem",
        }


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnPulsar]:
    """For all tests that restart, kill or freeze theirs: one takes half a gigabyte."""
    require(OwnPulsar)
    with OwnPulsar() as server:
        yield server


@pytest.fixture
def server(request: pytest.FixtureRequest) -> PulsarServer:
    name = "own_server" if "restart" in request.fixturenames else "pulsar_server"
    found: PulsarServer = request.getfixturevalue(name)
    return found


@pytest.fixture
def url(server: PulsarServer) -> str:
    return f"{server.url}?timeout=20&prefix=t{next(_names)}{uuid.uuid4().hex[:6]}.&admin={server.admin_url}"


@pytest.fixture
def capabilities() -> Capabilities:
    return Capabilities(
        durable=True,
        groups=True,
        replay=True,
        order="channel",
        delay=True,
        dead_letters=True,
        fsync=True,
        max_size=5_000_000,
        acknowledgement="on the disks of as many bookies as the namespace's acknowledgement quorum asks for",
    )


@pytest.fixture
async def connect(url: str, capabilities: Capabilities) -> AsyncIterator[Callable[[], Awaitable[Broker]]]:
    connections: list[Broker] = []

    async def connect() -> Broker:
        broker = await connect_to(url)
        assert broker.capabilities == capabilities
        connections.append(broker)
        return broker

    yield connect
    for broker in connections:
        await broker.close()


@pytest.fixture
def restart(server: PulsarServer) -> Callable[[], Awaitable[None]]:
    async def restart() -> None:
        await to_thread(server.restart)

    return restart


async def test_a_server_that_is_killed_and_comes_back_loses_nothing_it_acknowledged(own_server: OwnPulsar) -> None:
    url, history, found = url_of(own_server, "&timeout=2"), History(), asyncio.Event()
    broker, events = await connect_to(url), numbered(0, 400)
    wanted = set(ids_of(events))

    async with at_work(hear(url, history, "g", wanted, found)):
        await tell(broker, events[:200], history)
        await to_thread(own_server.kill9)
        with pytest.raises(BrokerUnreachable):
            async with within("a failure"):
                await broker.publish([new_event(0, type="stock:low")])
        telling = asyncio.ensure_future(tell(broker, events[200:], history))
        await to_thread(own_server.start)
        async with within("all events", lambda: len(wanted)):
            await telling
            await found.wait()
    await broker.close()

    report = judged(history, "g")
    assert report.is_clean, report
    assert report.acknowledged == 400


async def test_a_frozen_server_is_noticed_and_gone_on_with(own_server: OwnPulsar) -> None:
    url, history, events = url_of(own_server, "&timeout=2"), History(), numbered(0, 200)
    broker, other = await connect_to(url), await connect_to(url)
    async with going_on(other, history) as reader:
        await tell(broker, events[:100], history)
        await reader.hears(ids_of(events[:100]))
        before = len(reader.failures)
        await to_thread(own_server.pause)
        try:
            with pytest.raises(BrokerUnreachable):
                async with within("a publisher's failure"):
                    await attempt(broker, events[100:120], history)
            await reader.fails_again(before)
        finally:
            await to_thread(own_server.resume)
        await tell(broker, events[100:], history)
        await reader.hears(ids_of(events))
    for each in (broker, other):
        await each.close()

    report = judged(history, "g")
    assert report.is_clean, report


async def test_who_knows_the_authority_is_let_in_and_others_trust_nobody(own_server: OwnPulsar) -> None:
    at = f"pulsar+ssl://127.0.0.1:{own_server.ports[3]}?prefix=tls{uuid.uuid4().hex[:8]}."
    broker, stranger = (
        await connect_to(f"{at}&timeout=20&ca={own_server.folder}/ca.pem"),
        await connect_to(f"{at}&timeout=2"),
    )
    async with broker.subscribe(["order:*"], group="g") as inbox:
        await broker.publish([new_event(0)])
        assert ids_of(await take(inbox, ["id-0"])) == ["id-0"]
    with pytest.raises(BrokerUnreachable):
        async with within("a failure"):
            await stranger.publish([new_event(1)])
    for each in (broker, stranger):
        await each.close()
