"""MQTT in trouble: killed, frozen, cut off, its members coming, going and dying; and what services behind it notice."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import uuid
from asyncio import to_thread
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.brokers.words import going_on, insisting, joined
from tests.servers.fixtures import FreshServer
from tests.servers.mosquitto import MosquittoServer
from tidings import App, Broker, Event, event
from tidings.brokers import Wanted, connect
from tidings.errors import BrokerError, BrokerUnreachable, ConfigurationError, Fenced, TidingsError
from tidings.testing.broker_conformance.words import ids_of, new_event, new_events, take, take_arrivals, within
from tidings.testing.checker import History, Report, check

PROGRAM = Path(__file__).with_name("mqtt_member.py")
PAUSE = 0.05  # seconds before who failed tries again
KEYS = 6


def url_of(server: MosquittoServer, settings: str = "") -> str:
    return f"{server.url}?prefix=t{uuid.uuid4().hex[:8]}&session=1{settings}"


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


async def test_a_server_that_is_killed_and_comes_back_is_gone_on_with(fresh_server: FreshServer) -> None:
    """Mosquitto acknowledges a moment before it writes, so what it has just taken was heard before it is killed."""
    server = await to_thread(fresh_server, MosquittoServer)
    url, history, found = url_of(server, "&timeout=2"), History(), asyncio.Event()
    broker, events = await connect(url), numbered(0, 300)
    wanted = set(ids_of(events[:100]))
    async with joined(broker):
        pass  # from here on its events are kept

    async with at_work(hear(url, history, "g", wanted, found)):
        async with within("the first events", lambda: len(wanted)):
            await tell(broker, history, events[:100])
            await found.wait()
        found.clear()
        wanted |= set(ids_of(events[100:]))
        await to_thread(server.kill9)
        with pytest.raises(BrokerUnreachable):
            async with within("a failure"):
                await broker.publish([new_event(0, type="stock:low")])
        telling = asyncio.ensure_future(tell(broker, history, events[100:]))
        await to_thread(server.start)
        async with within("all events", lambda: len(wanted)):
            await telling
            await found.wait()
    await broker.close()

    report_of(history)


async def test_a_frozen_server_is_noticed_and_gone_on_with(fresh_server: FreshServer) -> None:
    server = await to_thread(fresh_server, MosquittoServer)
    url, history, events = url_of(server, "&timeout=1"), History(), numbered(0, 200)
    broker, other = await connect(url), await connect(url)
    async with joined(broker):
        pass  # from here on its events are kept
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

    report_of(history)


async def test_members_that_come_go_and_are_killed_keep_every_key_in_order(
    mosquitto_server: MosquittoServer, tmp_path: Path
) -> None:
    url, history, found = url_of(mosquitto_server), History(), asyncio.Event()
    broker, events, forgotten = await connect(url), numbered(0, 900), asyncio.Event()
    wanted = set(ids_of(events))
    async with broker.subscribe(["order:*"], group="g"):
        pass  # from here on its events are kept
    async with at_work(hear(url, history, "g", wanted, found)):
        for number, start in enumerate(range(0, 900, 300)):
            dying = await to_thread(start_member, url, tmp_path / f"dying{number}")
            async with at_work(hear(url, history, "g", wanted, forgotten)):
                await tell(broker, history, events[start : start + 300])
                await to_thread(kill, dying)
        async with within("all events", lambda: len(wanted)):
            while wanted:
                there = await to_thread(read, tmp_path, "dying*")
                wanted -= {fact.event_id for fact in there.facts if fact.what == "settled"}
                await asyncio.sleep(PAUSE)
    await broker.close()

    there = await to_thread(read, tmp_path, "dying*")
    history.facts = sorted([*history.facts, *there.facts], key=lambda fact: fact.moment)
    assert report_of(history).acknowledged == 900
    assert any(fact.what == "settled" for fact in there.facts), "the members that were killed had heard something"


async def test_a_member_that_is_frozen_is_replaced_and_one_that_joins_with_others_finds_its_share(
    mosquitto_server: MosquittoServer, tmp_path: Path
) -> None:
    url, history, found = url_of(mosquitto_server), History(), asyncio.Event()
    broker, events = await connect(url), numbered(0, 200)
    frozen = await to_thread(start_member, url, tmp_path / "frozen")
    frozen.send_signal(signal.SIGSTOP)
    wanted = set(ids_of(events))
    try:
        async with at_work(hear(url, history, "g", wanted, found)), at_work(hear(url, history, "g", wanted, found)):
            await tell(broker, history, events)
            async with within("all events", lambda: len(wanted)):
                await found.wait()
    finally:
        await to_thread(kill, frozen)
    await broker.close()

    report_of(history)


def report_of(history: History) -> Report:
    """What may come again is what was being settled when its connection ended, and it comes in order."""
    report = check(history, groups=["g"])
    assert (list(report.lost), list(report.invented), list(report.reordered)) == ([], [], []), report
    return report


def read(folder: Path, names: str) -> History:
    return History.read(*folder.glob(names))


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


async def test_a_member_that_is_slow_keeps_what_it_has_in_hand_and_others_get_the_rest(
    mosquitto_server: MosquittoServer,
) -> None:
    url = url_of(mosquitto_server, "&timeout=20")
    broker, other = await connect(url), await connect(url)
    events = new_events(0, 60)
    async with broker.subscribe(["order:*"], group="g", prefetch=10) as slow:
        await broker.publish(events)
        held = await take_arrivals(slow, (), at_least=10)
        async with other.subscribe(["order:*"], group="g") as quick:
            await slow.settle(held)
            theirs: list[str] = []
            async with within("a share of the second", lambda: theirs):
                arrivals = await quick.receive()
                theirs = ids_of(each.event for each in arrivals)
                await quick.settle(arrivals)

    assert not set(theirs) & set(ids_of(each.event for each in held))
    await broker.close()
    await other.close()


async def test_what_was_another_members_meanwhile_is_not_settled(mosquitto_server: MosquittoServer) -> None:
    url = url_of(mosquitto_server, "&timeout=1")
    broker, other = await connect(url), await connect(url)
    events = new_events(0, 60)
    async with joined(broker) as slow:
        await insisting(lambda: broker.publish(events))
        held = await take_arrivals(slow, ids_of(events))
        async with joined(other) as quick:
            async with within("what the slow one had for too long"):
                again = await quick.receive()
            with pytest.raises(Fenced):
                await slow.settle(held)

    assert set(ids_of(each.event for each in again)) <= set(ids_of(events))
    await broker.close()
    await other.close()


async def test_nobody_there_is_told_within_the_bound_and_without_the_password() -> None:
    broker = await connect("mqtt://me:hidden@127.0.0.1:1?timeout=1")

    with pytest.raises(BrokerUnreachable) as raised:
        async with within("a failure"):
            await broker.publish([new_event(0)])
    for group in ("g", None):
        with pytest.raises(BrokerUnreachable):
            async with within("a failure"), broker.subscribe(["**"], group=group):
                pass
    await broker.close()

    assert "hidden" not in str(raised.value)


class SecureMosquitto(MosquittoServer):
    """A Mosquitto with a second door: encrypted, and for those with a password."""

    port_count = 2

    def prepare(self) -> None:
        """Its certificate is its own authority."""
        super().prepare()
        subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-nodes"]
        files = ["-keyout", str(self.folder / "key.pem"), "-out", str(self.folder / "ca.pem")]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", *subject, *files]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        passwords = ["mosquitto_passwd", "-b", "-c", str(self.folder / "passwords"), "me", "right"]
        subprocess.run(passwords, check=True, capture_output=True, timeout=60)

    def command(self) -> Sequence[str]:
        """Settings are of a listener each."""
        command = super().command()
        lines = [
            "",
            f"listener {self.ports[1]} 127.0.0.1",
            "allow_anonymous false",
            f"password_file {self.folder}/passwords",
            f"certfile {self.folder}/ca.pem",
            f"keyfile {self.folder}/key.pem",
        ]
        with (self.folder / "mosquitto.conf").open("r+") as file:
            text = file.read()
            file.seek(0)
            file.write("per_listener_settings true\n" + text + "\n".join(lines))
        return command


async def test_who_has_the_password_and_the_authority_gets_in_and_nobody_else(fresh_server: FreshServer) -> None:
    server = await to_thread(fresh_server, SecureMosquitto)
    at, ca = f"127.0.0.1:{server.ports[1]}", f"ca={server.folder}/ca.pem"
    broker = await connect(f"mqtts://me:right@{at}?{ca}&timeout=20")
    events = new_events(0, 300)
    async with broker.subscribe(["order:*"], group="g") as inbox:
        await broker.publish(events)
        assert set(ids_of(await take(inbox, ids_of(events)))) == set(ids_of(events))
    await broker.close()

    for wrong in (f"mqtts://me:mistaken@{at}?{ca}", f"mqtts://me:right@{at}?"):
        stranger = await connect(f"{wrong}&timeout=5")
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


@pytest.mark.parametrize("has_log", [True, False])
async def test_two_services_hear_each_other(mosquitto_server: MosquittoServer, tmp_path: Path, has_log: bool) -> None:
    url, done, heard = url_of(mosquitto_server), asyncio.Event(), set[int]()
    logs = {name: f"sqlite:///{tmp_path}/{name}.db" if has_log else None for name in ("orders", "stock")}
    orders = App("orders", log=logs["orders"], broker=url, contracts=[OrderCreated])
    stock = App("stock", log=logs["stock"], broker=url)
    options: dict[str, Any] = {} if has_log else {"on_exhausted": "stop"}

    @stock.on(OrderCreated, **options)
    async def reserve(order: OrderCreated) -> StockReserved:
        return StockReserved(order.number)

    @orders.on(StockReserved, **options)
    async def note(reserved: StockReserved) -> None:
        heard.add(reserved.number)
        if len(heard) == 50:
            done.set()

    groups = [("stock", "order:*"), ("stock.reserve", "order:*"), ("orders", "stock:*"), ("orders.note", "stock:*")]
    broker = await connect(url)  # MQTT keeps nothing for a group before there is one
    await broker.setup(Wanted((), tuple((group, (pattern,)) for group, pattern in groups)), apply=True)
    await broker.close()
    async with orders.running(), stock.running():
        for number in range(50):
            await orders.publish(OrderCreated(number))
        async with within("the answers of the other service", lambda: len(heard)):
            await done.wait()

    assert heard == set(range(50))


async def test_what_a_handler_gives_up_needs_a_decision_where_nothing_keeps_it(
    mosquitto_server: MosquittoServer,
) -> None:
    app = App("orders", broker=url_of(mosquitto_server))

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None: ...

    with pytest.raises(ConfigurationError, match="on_exhausted='stop' or 'drop'"):
        async with app.running():
            pass
