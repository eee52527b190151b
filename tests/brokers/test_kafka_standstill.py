"""A member of a group on Kafka whose thread does not come back, and what the others have of it."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from tests.brokers.words import LIMIT, at_work, insisting, own_name, url_of
from tests.servers.kafka import KafkaServer
from tidings.brokers import Arrival, Inbox, connect
from tidings.brokers.kafka.inbox import KafkaInbox
from tidings.brokers.kafka.sharing import Sharing
from tidings.brokers.kafka.tray import Tray
from tidings.errors import BrokerUnreachable
from tidings.testing.broker_conformance.words import ids_of, new_event, new_events, take, within


class Standstill:
    """One thread of a member does not come back. Its client goes on telling the group that it is there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._step = Sharing._step
        self._is_over = threading.Event()
        self._begun = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._whose: Tray | None = None
        monkeypatch.setattr(Sharing, "_step", lambda sharing: self._wait(sharing))

    def _wait(self, sharing: Sharing) -> None:
        if sharing._tray is self._whose and sharing._tray.is_asked:
            self._loop.call_soon_threadsafe(self._begun.set)
            self._is_over.wait(LIMIT)
        self._step(sharing)

    @contextlib.asynccontextmanager
    async def of_who_settles(self, inbox: Inbox, arrivals: Sequence[Arrival]) -> AsyncIterator[None]:
        """It stands still before it does, and while the block goes on; it is told that it did."""
        assert isinstance(inbox, KafkaInbox)
        self._whose = inbox._tray
        settling = asyncio.create_task(inbox.settle(arrivals))
        try:
            async with within("the standstill"):
                await self._begun.wait()
            yield
            with pytest.raises(BrokerUnreachable, match="has not come back"):
                await settling
        finally:
            settling.cancel()
            self._is_over.set()


async def test_a_member_whose_client_does_not_come_back_holds_nobody_up(
    kafka_server: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = url_of(kafka_server, prefix=f"{own_name()}.", timeout=1, session=1, discovery=0.1)
    broker, other = await connect(url), await connect(url)
    events, standstill = new_events(0, 20), Standstill(monkeypatch)
    async with broker.subscribe(["order:*"], group="g") as inbox:
        await insisting(lambda: broker.publish(events))
        arrivals = await inbox.receive()
        async with standstill.of_who_settles(inbox, arrivals), other.subscribe(["order:*"], group="g") as heir:
            await take(heir, ids_of(events))
    await broker.close()
    await other.close()


async def test_who_settles_while_its_group_waits_for_another_member_goes_on(
    kafka_server: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group waits longer than a server may take to answer, and commits wait with it."""
    url = url_of(kafka_server, prefix=f"{own_name()}.", timeout=1, session=1, discovery=0.1)
    broker, other, third = [await connect(url) for _ in range(3)]
    standstill, settled = Standstill(monkeypatch), asyncio.Event()

    async def publish() -> None:
        for number in range(10_000):
            await third.publish([new_event(number, key=str(key)) for key in range(40)])

    async def work() -> None:
        async with other.subscribe(["order:*"], group="g") as inbox:
            while True:
                await inbox.settle(await inbox.receive())
                settled.set()

    await insisting(lambda: broker.publish(new_events(0, 20)))
    async with at_work(publish()), broker.subscribe(["order:*"], group="g") as inbox:
        working = asyncio.create_task(work())
        async with within("a share of the work"):
            while not settled.is_set():
                await inbox.settle(await inbox.receive())
        arrivals = await inbox.receive()
        async with standstill.of_who_settles(inbox, arrivals), third.subscribe(["order:*"], group="g") as heir:
            async with within("what the third is to hear"):
                await heir.receive()
            settled.clear()
            await asyncio.wait([working, asyncio.create_task(settled.wait())], return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        await asyncio.wait([working])
    for each in (broker, other, third):
        await each.close()

    assert working.cancelled()
