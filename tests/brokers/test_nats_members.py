"""How the members of a group share out the partitions of NATS, and what becomes of one that was taken for dead."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.brokers.another import nats_client
from tests.brokers.words import own_name, received_of, until, url_of
from tests.servers.nats import NatsServer
from tidings.brokers import Broker, Inbox, connect
from tidings.brokers.nats import membership
from tidings.brokers.nats.broker import JetStreamBroker
from tidings.brokers.nats.consumers import AGAIN
from tidings.brokers.nats.inbox import GroupInbox
from tidings.brokers.nats.membership import Membership
from tidings.brokers.nats.records import Records
from tidings.errors import BrokerUnreachable, Fenced
from tidings.events import Event
from tidings.testing.broker_conformance.words import arrived_ids, take, within

KEYS = 12


@pytest.fixture
def prefix() -> str:
    return own_name()


@pytest.fixture
def url(nats_server: NatsServer, prefix: str) -> str:
    return url_of(nats_server, prefix=prefix, partitions=4, session=1)


@pytest.fixture
async def broker(url: str) -> AsyncIterator[Broker]:
    broker = await connect(url)
    yield broker
    await broker.close()


async def owned_by(inbox: Inbox, expected: int) -> None:
    """Wait until a member receives from so many partitions of the channel."""
    assert isinstance(inbox, GroupInbox)
    await until(lambda: len(inbox.parts.keys() - {(AGAIN, 0)}) == expected, f"a share of {expected} partitions")


async def test_partitions_are_shared_out_evenly_and_handed_over_when_a_member_leaves(broker: Broker) -> None:
    await broker.publish([Event(source="shop", type="order:created")])
    async with broker.subscribe(["**"], group="g") as first:
        await owned_by(first, 4)
        async with broker.subscribe(["**"], group="g") as second:
            await owned_by(second, 2)
            await owned_by(first, 2)
        await owned_by(first, 4)


async def test_who_has_what_comes_again_has_no_partition_less(
    nats_server: NatsServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = iter(("b", "a"))  # who comes first in the order of names has its turn before the others
    monkeypatch.setattr(membership, "new_id", lambda: next(names))
    broker = await connect(url_of(nats_server, prefix=prefix, partitions=2, session=1))
    await broker.publish([Event(source="shop", type="order:created")])
    async with broker.subscribe(["**"], group="g") as first:
        await owned_by(first, 2)
        async with broker.subscribe(["**"], group="g") as second:
            await owned_by(second, 1)
            await owned_by(first, 1)
    await broker.close()


async def test_who_joins_while_the_server_is_killed_is_told_that_its_connection_is_lost(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Records.begin

    async def interrupted(records: Records) -> None:
        await begin(records)
        records._seen = 1_000_000  # a note that the server has lost, and will number so again
        records._link.lose("it was killed")

    monkeypatch.setattr(Records, "begin", interrupted)
    await broker.publish([Event(source="shop", type="order:created")])
    with pytest.raises(BrokerUnreachable, match="it was killed"):
        async with broker.subscribe(["**"], group="g"):
            pass

    monkeypatch.setattr(Records, "begin", begin)
    async with broker.subscribe(["**"], group="g") as member:
        await owned_by(member, 4)


async def test_what_a_member_takes_is_not_thought_lost_before_its_note_has_come_back(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_up_to, members, lost = Records.read_up_to, list[Membership](), list[bool]()
    init = Membership.__init__

    def kept(self: Membership, *arguments: Any) -> None:
        init(self, *arguments)
        members.append(self)

    async def looked(self: Records, sequence: int) -> None:
        notes, self.notes = self.notes, {}  # none of them has come
        lost.append(members[0].lost())
        self.notes |= notes
        await read_up_to(self, sequence)

    monkeypatch.setattr(Membership, "__init__", kept)
    monkeypatch.setattr(Records, "read_up_to", looked)
    await broker.publish([Event(source="shop", type="order:created")])
    async with broker.subscribe(["**"], group="g"):
        taken_in = lost[:]
        assert len(members[0].mine) == 5  # four, and what comes again

    assert len(taken_in) == 2, "it showed that it lives, and took its turn"
    assert not any(taken_in)


async def test_notes_that_are_forgotten_take_no_other_note_from_who_has_still_to_read_it(broker: Broker) -> None:
    assert isinstance(broker, JetStreamBroker)
    carrier = broker._carrier
    await carrier.streams.own()
    link = await carrier.wire.link()
    writer, reader = (Records(carrier.wire, link, carrier.names, "g", lambda: None) for _ in range(2))
    await writer.begin()
    await reader.begin()
    missed = []

    for number in range(200):
        gone = await writer.write(("member", str(number)), {})
        await writer.read_up_to(gone)
        removing = asyncio.create_task(writer.remove(("member", str(number))))  # as whoever tidies up does
        lasting = [await writer.write(("part", str(each)), {"round": number}) for each in range(4)]
        await removing
        await reader.read_up_to(await writer.write(("end",), {}))
        missed += [number for each in lasting if each not in {note.sequence for note in reader.notes.values()}]

    assert missed == []


async def drain(inbox: Inbox, got: list[str]) -> None:
    while True:
        arrivals = await inbox.receive()
        got += arrived_ids(arrivals)
        await inbox.settle(arrivals)


async def test_settling_all_settles_nothing_that_was_never_handed_over(broker: Broker) -> None:
    got: list[str] = []
    events = [Event(id=str(n), source="shop", type="order:created", key=f"k{n}") for n in range(200)]
    await broker.publish(events)
    async with broker.subscribe(["**"], group="g", prefetch=100) as first, within("all events", lambda: len(got)):
        assert isinstance(first, GroupInbox)
        await owned_by(first, 4)
        parts = [part for place, part in first.parts.items() if place != (AGAIN, 0)]
        await until(lambda: all(part.waiting for part in parts), "something of each, or one might use up the room")
        while not all(part.open for part in parts):
            got += arrived_ids(await first.receive(10))
        async with broker.subscribe(["**"], group="g") as second:
            await until(lambda: any(part.is_leaving for part in first.parts.values()), "the second's turn")
            await first.settle()
            readers = [asyncio.ensure_future(drain(inbox, got)) for inbox in (first, second)]
            await until(lambda: len(got) >= 200, "the rest")
            for reader in readers:
                reader.cancel()
            await asyncio.wait(readers)

    assert sorted(got) == sorted(str(n) for n in range(200))


async def test_what_is_still_handed_to_a_member_that_stands_still_comes_to_its_heir_first(
    nats_server: NatsServer, prefix: str
) -> None:
    broker = await connect(url_of(nats_server, prefix=prefix, partitions=1, session=1))
    await broker.publish([Event(source="shop", type="order:begun")])
    ids = [str(number) for number in range(40)]
    async with broker.subscribe(["order:created"], group="g") as frozen:
        assert isinstance(frozen, GroupInbox)
        assert frozen._life is not None
        await until(lambda: ("order", 0) in frozen.parts, "its turn")
        frozen._life.cancel()
        async with broker.subscribe(["order:created"], group="g") as heir:
            assert isinstance(heir, GroupInbox)
            await until(lambda: ("order", 0) in heir.membership.mine, "the end of its session")
            for id in ids:
                await broker.publish([Event(id=id, source="shop", type="order:created", key="k")])
            arrived = await take(heir, ids)
    await broker.close()

    assert [event.id for event in arrived] == ids


async def test_who_stood_still_asks_for_nothing_before_it_knows_that_it_was_not_replaced(
    nats_server: NatsServer, prefix: str
) -> None:
    broker = await connect(url_of(nats_server, prefix=prefix, partitions=1, session=1))
    await broker.publish([Event(source="shop", type="order:begun")])
    ids = [str(number) for number in range(40)]
    async with broker.subscribe(["order:created"], group="g") as frozen:
        assert isinstance(frozen, GroupInbox)
        assert frozen._life is not None
        await until(lambda: ("order", 0) in frozen.parts, "its turn")
        frozen._life.cancel()
        async with broker.subscribe(["order:created"], group="g") as heir:
            assert isinstance(heir, GroupInbox)
            await until(lambda: ("order", 0) in heir.parts, "the turn of its heir")
            receiving = asyncio.ensure_future(frozen.receive())  # as when its process goes on
            for id in ids:
                await broker.publish([Event(id=id, source="shop", type="order:created", key="k")])
            arrived = await take(heir, ids)
            receiving.cancel()
            await asyncio.wait([receiving])
    await broker.close()

    assert [event.id for event in arrived] == ids


async def test_who_was_taken_for_dead_settles_nothing_and_is_handed_nothing_more(
    broker: Broker, nats_server: NatsServer, prefix: str
) -> None:
    await broker.publish([Event(id=str(n), source="shop", type="order:created", key="k") for n in range(3)])
    async with broker.subscribe(["**"], group="g") as inbox, within("its end"):
        [first] = await inbox.receive(1)
        async with nats_client(nats_server) as client:
            for number in range(4):
                subject = f"{prefix}.=group.g.part.order.{number}"
                await client.jetstream(timeout=20).publish(subject, b'{"owner":"somebody-else"}')
        with pytest.raises(Fenced):
            await received_of(inbox, 4)
        for refused in (inbox.settle([first]), inbox.retry(first, 1), inbox.reject(first, "too late")):
            with pytest.raises(Fenced):
                await refused
    async with broker.subscribe(["**"], group="g") as inbox, within("all of it again"):
        again = await received_of(inbox, 3)

    assert arrived_ids(again) == ["0", "1", "2"]
    assert await broker.letters() == []
