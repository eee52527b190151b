"""Who is woken: what is settled waits for its commit, and a failure is told to all, without a second look at them."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from confluent_kafka import TopicPartition

from tests.brokers.batches import batch
from tidings.brokers.foreign import Foreign
from tidings.brokers.interface import Arrival
from tidings.brokers.kafka import inbox as inbox_module
from tidings.brokers.kafka.inbox import KafkaInbox
from tidings.brokers.kafka.records import Fetched
from tidings.brokers.kafka.settings import settings_of
from tidings.brokers.kafka.tray import Tray
from tidings.brokers.kafka.wire import Wire
from tidings.errors import BrokerError

URL = "kafka://127.0.0.1"
LIMIT = 10.0  # seconds for what should take milliseconds


@pytest.fixture(autouse=True)
def _no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "_LOOK", 1000.0)


async def bury(arrival: Arrival, reason: str, detail: str) -> None:
    """Nothing is given up here."""


def inbox_of(tray: Tray) -> KafkaInbox:
    wire = Wire(settings_of(URL), Foreign(URL, {}))
    return KafkaInbox(tray, wire, ["**"], url=URL, prefetch=1000, patience=11.0, bury=bury)


def holding(count: int) -> Tray:
    tray = Tray()
    tray.hold([TopicPartition("order", 0, 0)])
    tray.put(Fetched(tray.held["order", 0], batch(0, count), ()))
    return tray


async def settling(tray: Tray, inbox: KafkaInbox, lists: list[list[Arrival]]) -> list["asyncio.Task[None]"]:
    """Settlements that have asked for a commit each, and wait."""
    tasks = [asyncio.create_task(inbox.settle(arrivals)) for arrivals in lists]
    await asyncio.sleep(0)
    assert tray.asked == len(tasks)
    return tasks


def commit(tray: Tray) -> None:
    """As the thread does."""
    asked = tray.asked
    for progress, offset in tray.to_commit():
        progress.committed = offset
    tray.answered = asked
    tray.tell()


async def test_a_commit_ends_all_settlements_that_asked_for_it() -> None:
    tray = holding(3)
    inbox = inbox_of(tray)
    arrivals = await inbox.receive()
    tasks = await settling(tray, inbox, [[each] for each in arrivals])

    await asyncio.to_thread(commit, tray)

    async with asyncio.timeout(LIMIT):
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("what", ["settles", "receives"])
async def test_a_failure_is_told_at_once_to_who(what: str) -> None:
    tray = holding(1)
    inbox = inbox_of(tray)
    arrivals = await inbox.receive()
    does: dict[str, Callable[[], Awaitable[object]]] = {
        "settles": lambda: inbox.settle(arrivals),
        "receives": inbox.receive,
    }
    task = asyncio.ensure_future(does[what]())
    await asyncio.sleep(0)

    await asyncio.to_thread(tray.fail, BrokerError("it is gone"))

    async with asyncio.timeout(LIMIT):
        with pytest.raises(BrokerError, match="it is gone"):
            await task


async def test_a_settlement_makes_room_for_who_receives() -> None:
    tray = holding(1)
    wire = Wire(settings_of(URL), Foreign(URL, {}))
    inbox = KafkaInbox(tray, wire, ["**"], url=URL, prefetch=1, patience=11.0, bury=bury)
    first = await inbox.receive()
    tray.put(Fetched(tray.held["order", 0], batch(1, 1), ()))
    receiving = asyncio.ensure_future(inbox.receive())
    [settled] = await settling(tray, inbox, [first])

    async with asyncio.timeout(LIMIT):
        second = await receiving

    assert [each.ticket.offset for each in (*first, *second)] == [0, 1]
    settled.cancel()
