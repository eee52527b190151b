"""Members of groups on Pulsar that come, go and are killed; and applications that hear each other over it."""

import asyncio
import signal
import subprocess
import sys
from asyncio import to_thread
from pathlib import Path

import pytest

from tests.brokers.pulsar_words import PAUSE, at_work, hear, numbered, tell, url_of
from tests.handling.conftest import reports
from tests.servers.pulsar import PulsarServer
from tidings import App, Retry, event
from tidings.brokers import connect
from tidings.errors import BrokerUnreachable
from tidings.testing.broker_conformance.words import ids_of, new_event, take, within
from tidings.testing.checker import History, check

__all__ = ["reports"]  # what handling says is kept for a failure, and not written while the loop waits
PROGRAM = Path(__file__).with_name("pulsar_member.py")


async def test_members_that_come_go_and_are_killed_keep_every_key_in_order(
    pulsar_server: PulsarServer, tmp_path: Path
) -> None:
    url, history, found = url_of(pulsar_server), History(), asyncio.Event()
    broker, events = await connect(url), numbered(0, 600)
    wanted = set(ids_of(events))
    async with at_work(hear(url, history, "g", wanted, found)):
        for number, start in enumerate(range(0, 600, 200)):
            dying = await to_thread(start_member, url, tmp_path / f"dying{number}")
            async with at_work(hear(url, history, "g", wanted, found)):
                await tell(broker, history, events[start : start + 200])
                await to_thread(kill, dying)
        async with within("all events", lambda: len(wanted)):
            while wanted:
                theirs = await to_thread(histories, tmp_path)
                wanted -= {fact.event_id for fact in theirs.facts if fact.what == "delivered"}
                await asyncio.sleep(PAUSE)
    await broker.close()

    theirs = await to_thread(histories, tmp_path)
    history.facts += theirs.facts
    history.facts.sort(key=lambda fact: fact.moment)
    report = check(history, groups=["g"])
    assert report.is_clean, report
    assert report.acknowledged == 600
    assert any(fact.what == "delivered" for fact in theirs.facts), "those who were killed had heard something"


def histories(folder: Path) -> History:
    return History.read(*folder.iterdir())


def start_member(url: str, path: Path) -> "subprocess.Popen[str]":
    source = str(Path(__file__).parents[2] / "src")
    command = [sys.executable, str(PROGRAM), url, str(path)]
    member = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": source})
    assert member.stdout is not None
    assert member.stdout.readline() == "joined\n"
    return member


def kill(member: "subprocess.Popen[str]") -> None:
    member.send_signal(signal.SIGKILL)
    member.communicate(timeout=20)


async def test_a_join_that_was_cancelled_keeps_no_keys(pulsar_server: PulsarServer) -> None:
    url = url_of(pulsar_server)
    broker, events = await connect(url), numbered(0, 60)
    for turns in range(12):
        joining = asyncio.ensure_future(broker.subscribe(["order:*"], group="g").__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        joining.cancel()
        await asyncio.wait([joining])

    async with broker.subscribe(["order:*"], group="g") as inbox:
        await broker.publish(events)
        assert len(await take(inbox, ids_of(events))) == 60
    await broker.close()


async def test_nobody_there_is_told_within_the_bound_and_without_the_password() -> None:
    broker = await connect("pulsar://me:hidden@127.0.0.1:1?timeout=1&admin=http://127.0.0.1:1")

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


@event("order:created", version=1, key="number")
class OrderCreated:
    number: int


@event("stock:reserved", version=1, key="number")
class StockReserved:
    number: int


async def test_two_services_with_logs_of_their_own_hear_each_other(pulsar_server: PulsarServer, tmp_path: Path) -> None:
    url, done, heard = url_of(pulsar_server), asyncio.Event(), set[int]()
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


async def test_an_application_without_a_log_retries_and_gives_up_by_the_carrier_alone(
    pulsar_server: PulsarServer,
) -> None:
    url, done, heard = url_of(pulsar_server), asyncio.Event(), list[int]()
    app, tried = App("shop", broker=url), list[int]()

    @app.on(OrderCreated, retry=[Retry(attempts=3, wait=0.2, inline=0)])
    async def reserve(order: OrderCreated) -> StockReserved:
        tried.append(order.number)
        if order.number == 3 or tried.count(order.number) < 2:
            raise ConnectionError("not now")
        return StockReserved(order.number)

    @app.on(StockReserved)
    async def note(reserved: StockReserved) -> None:
        heard.append(reserved.number)
        if len(heard) == 3:
            done.set()

    carrier = await connect(url)
    async with app.running():
        for number in range(4):
            await app.publish(OrderCreated(number))
        async with within("what succeeded in the end", lambda: (tried, heard)):
            await done.wait()
        async with within("the dead letter", lambda: tried):
            letters = await carrier.letters()
            while not letters:
                await asyncio.sleep(PAUSE)
                letters = await carrier.letters()
    await carrier.close()

    assert sorted(heard) == [0, 1, 2]
    assert [tried.count(number) for number in range(4)] == [2, 2, 2, 3]
    [letter] = letters
    assert (letter.event.key, letter.attempts) == ("3", 3)
    assert "not now" in letter.reason
