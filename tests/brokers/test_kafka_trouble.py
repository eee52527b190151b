"""Kafka in trouble: killed, frozen, its members coming, going and dying; and what a service behind it notices."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import uuid
from asyncio import to_thread
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path

import pytest

from tests.brokers.words import going_on
from tests.servers.fixtures import FreshServer
from tests.servers.kafka import KafkaServer
from tidings import App, Broker, Event, event
from tidings.brokers import connect
from tidings.errors import BrokerError, BrokerUnreachable, TidingsError
from tidings.testing.broker_conformance.words import ids_of, new_event, new_events, take, within
from tidings.testing.checker import History, check

PROGRAM = Path(__file__).with_name("kafka_member.py")
PAUSE = 0.05  # seconds before who failed tries again
KEYS = 6


def url_of(server: KafkaServer, settings: str = "") -> str:
    return f"{server.url}?prefix=t{uuid.uuid4().hex[:8]}.&partitions=6&session=1&discovery=0.1{settings}"


async def hear(url: str, history: History, group: str, wanted: set[str], found: asyncio.Event) -> None:
    """Receive as a service does, and subscribe again whenever it fails, until all that is wanted was seen."""
    broker = await connect(url)
    try:
        while True:
            with contextlib.suppress(TidingsError):
                async with broker.subscribe(["order:*"], group=group) as inbox:
                    while True:
                        arrivals = await inbox.receive(50)
                        for each in (it.event for it in arrivals):
                            history.delivered(group, each.id, key=each.key, sequence=int(each.id))
                        wanted -= set(ids_of(it.event for it in arrivals))
                        if not wanted:
                            found.set()
                        await inbox.settle(arrivals)  # when it fails, it may have been settled all the same
                        for each in (it.event for it in arrivals):
                            history.settled(group, each.id)
            await asyncio.sleep(PAUSE)
    finally:
        await broker.close()


def numbered(first: int, end: int) -> list[Event]:
    return [
        Event(id=str(number), source="shop", type="order:created", key=f"k{number % KEYS}", data=number)
        for number in range(first, end)
    ]


async def tell(broker: Broker, history: History, events: Sequence[Event]) -> int:
    """Publish them in small batches, each until it is taken; how often it failed."""
    failed = 0
    for start in range(0, len(events), 20):
        batch = events[start : start + 20]
        for each in batch:
            history.attempted(each.id, key=each.key, sequence=int(each.id))
        while True:
            try:
                await broker.publish(batch)
                break
            except BrokerError:
                failed += 1
                await asyncio.sleep(PAUSE)
        for each in batch:
            history.acknowledged(each.id)
    return failed


@contextlib.asynccontextmanager
async def at_work(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_server_that_is_killed_and_comes_back_loses_nothing_it_acknowledged(fresh_server: FreshServer) -> None:
    server = await to_thread(fresh_server, KafkaServer)
    url, history, found = url_of(server, "&timeout=2"), History(), asyncio.Event()
    broker, events = await connect(url), numbered(0, 600)
    wanted = set(ids_of(events))

    async with at_work(hear(url, history, "g", wanted, found)):
        await tell(broker, history, events[:200])
        await to_thread(server.kill9)
        with pytest.raises(BrokerUnreachable):
            async with within("a failure"):
                await broker.publish([new_event(0, type="stock:low")])
        telling = asyncio.ensure_future(tell(broker, history, events[200:]))
        await to_thread(server.start)
        async with within("all events", lambda: len(wanted)):
            await telling
            await found.wait()
    await broker.close()

    report = check(history, groups=["g"])
    assert (report.lost, report.invented, report.reordered) == ({}, {}, ()), report


async def test_a_frozen_server_is_noticed_and_gone_on_with(fresh_server: FreshServer) -> None:
    server = await to_thread(fresh_server, KafkaServer)
    url, history, events = url_of(server, "&timeout=2"), History(), numbered(0, 200)
    broker, other = await connect(url), await connect(url)
    async with going_on(other, history) as reader:
        await tell(broker, history, events[:100])
        await reader.hears(ids_of(events[:100]))
        before = len(reader.failures)
        await to_thread(server.pause)
        try:
            with pytest.raises(BrokerUnreachable):
                async with within("a publisher's failure"):
                    await broker.publish(events[100:120])
            await reader.fails_again(before)
        finally:
            await to_thread(server.resume)
        await tell(broker, history, events[100:])
        await reader.hears(ids_of(events))
    for each in (broker, other):
        await each.close()

    report = check(history, groups=["g"])
    assert (report.lost, report.invented, report.reordered) == ({}, {}, ()), report


async def test_members_that_come_go_and_are_killed_keep_every_key_in_order(
    kafka_server: KafkaServer, tmp_path: Path
) -> None:
    url, history, found = url_of(kafka_server), History(), asyncio.Event()
    broker, events = await connect(url), numbered(0, 900)
    wanted = set(ids_of(events))
    async with at_work(hear(url, history, "g", wanted, found)):
        for number, start in enumerate(range(0, 900, 300)):
            dying = await to_thread(start_member, url, tmp_path / f"dying{number}")
            async with at_work(hear(url, history, "g", wanted, found)):
                await tell(broker, history, events[start : start + 300])
                await to_thread(kill, dying)
        async with within("all events", lambda: len(wanted)):
            while wanted:
                theirs = await to_thread(histories, tmp_path)
                wanted -= {fact.event_id for fact in theirs.facts if fact.what == "delivered"}
                await asyncio.sleep(PAUSE)
    await broker.close()

    history.facts += (await to_thread(histories, tmp_path)).facts
    history.facts.sort(key=lambda fact: fact.moment)
    report = check(history, groups=["g"])
    assert report.is_clean, report
    assert report.acknowledged == 900


def histories(folder: Path) -> History:
    return History.read(*folder.iterdir())


def start_member(url: str, path: Path) -> "subprocess.Popen[str]":
    member = subprocess.Popen(
        [sys.executable, str(PROGRAM), url, str(path)], stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": source()}
    )
    assert member.stdout is not None
    assert member.stdout.readline() == "joined\n"
    return member


def kill(member: "subprocess.Popen[str]") -> None:
    member.send_signal(signal.SIGKILL)
    member.communicate(timeout=20)


def source() -> str:
    return str(Path(__file__).parents[2] / "src")


async def test_a_member_that_is_slow_neither_blocks_others_from_joining_nor_keeps_its_partitions(
    kafka_server: KafkaServer,
) -> None:
    url = url_of(kafka_server)
    broker, other = await connect(url), await connect(url)
    events = new_events(0, 60)
    async with broker.subscribe(["order:*"], group="g", prefetch=10) as slow:
        await broker.publish(events)
        held = await slow.receive()
        async with other.subscribe(["order:*"], group="g") as quick:
            seen: set[str] = set()
            async with within("what is not held by the first", lambda: len(seen)):
                while not seen:
                    arrivals = await quick.receive()
                    seen |= {each.event.id for each in arrivals}
                    await quick.settle(arrivals)
            await slow.settle(held)  # some are not its own any more, which is no matter
            assert seen
    await broker.close()
    await other.close()


async def test_nobody_there_is_told_within_the_bound_and_without_the_password() -> None:
    broker = await connect("kafka://me:hidden@127.0.0.1:1?timeout=1")

    for attempt in (broker.publish([new_event(0)]), broker.groups(), broker.letters()):
        with pytest.raises(BrokerUnreachable) as raised:
            async with within("a failure"):
                await attempt
        assert "hidden" not in str(raised.value)
    for group in ("g", None):
        with pytest.raises(BrokerUnreachable):
            async with within("a failure"), broker.subscribe(["**"], group=group):
                pass
    await broker.close()


class SecureKafka(KafkaServer):
    """A Kafka with a third door: encrypted, and for those with a password."""

    port_count = 3

    def prepare(self) -> None:
        """Its certificate is its own authority."""
        super().prepare()
        subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-nodes"]
        files = ["-keyout", str(self.folder / "key.pem"), "-out", str(self.folder / "ca.pem")]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", *subject, *files]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        both = (self.folder / "key.pem").read_text() + (self.folder / "ca.pem").read_text()
        (self.folder / "both.pem").write_text(both)

    def _configuration(self) -> dict[str, str]:
        inner, controller, secure = self.ports
        module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        self.ports = self.ports[:2]
        try:
            plain = super()._configuration()
        finally:
            self.ports = (inner, controller, secure)
        return plain | {
            "listeners": plain["listeners"] + f",SECURE://127.0.0.1:{secure}",
            "advertised.listeners": plain["advertised.listeners"] + f",SECURE://127.0.0.1:{secure}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
            "listener.name.secure.ssl.keystore.type": "PEM",
            "listener.name.secure.ssl.keystore.location": f"{self.folder}/both.pem",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.secure.plain.sasl.jaas.config": f'{module} user_me="right";',
        }


async def test_who_has_the_password_and_the_authority_gets_in_and_nobody_else(fresh_server: FreshServer) -> None:
    server = await to_thread(fresh_server, SecureKafka)
    at, ca = f"127.0.0.1:{server.ports[2]}", f"ca={server.folder}/ca.pem"
    broker = await connect(f"kafka+ssl://me:right@{at}?{ca}&discovery=0.1&timeout=20")
    async with broker.subscribe(["order:*"], group="g") as inbox:
        await broker.publish([new_event(0)])
        assert ids_of(await take(inbox, ["id-0"])) == ["id-0"]
    await broker.close()

    for wrong in (f"kafka+ssl://me:mistaken@{at}?{ca}", f"kafka+ssl://me:right@{at}?"):
        stranger = await connect(f"{wrong}&timeout=1")
        with pytest.raises(BrokerUnreachable) as raised:
            async with within("a failure"):
                await stranger.publish([new_event(1)])
        assert "mistaken" not in str(raised.value)
        assert "right" not in str(raised.value)
        await stranger.close()


@event("order:created", version=1, key="number")
class OrderCreated:
    number: int


@event("stock:reserved", version=1, key="number")
class StockReserved:
    number: int


async def test_two_services_with_logs_of_their_own_hear_each_other(kafka_server: KafkaServer, tmp_path: Path) -> None:
    url, done, heard = url_of(kafka_server), asyncio.Event(), set[int]()
    orders = App("orders", log=f"sqlite:///{tmp_path}/orders.db", broker=url, contracts=[OrderCreated])
    stock = App("stock", log=f"sqlite:///{tmp_path}/stock.db", broker=url)

    @stock.on(OrderCreated)
    async def reserve(order: OrderCreated) -> StockReserved:
        return StockReserved(order.number)

    @orders.on(StockReserved)
    async def note(reserved: StockReserved) -> None:
        heard.add(reserved.number)
        if len(heard) == 50:
            done.set()

    async with orders.running(), stock.running():
        for number in range(50):
            await orders.publish(OrderCreated(number))
        async with within("the answers of the other service", lambda: len(heard)):
            await done.wait()

    assert heard == set(range(50))
