"""Members of a group come, go, stand still and are killed: nothing is lost, invented, or handed over once it was
settled; and the events of a key stay in order."""

import asyncio
import os
import random
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import pytest

from tests.brokers.nats_words import another_client, going_on, own_prefix, until, url_of
from tests.servers.nats import NatsServer
from tidings.brokers import Arrival, Broker, Inbox, connect
from tidings.brokers.nats.consumers import AGAIN
from tidings.brokers.nats.inbox import GroupInbox
from tidings.errors import Fenced
from tidings.events import Event
from tidings.testing.broker_conformance.words import arrived_ids, take, within

KEYS = 12


class Line(NamedTuple):
    """What a member's process says."""

    what: str
    time: float
    key: str
    number: int


class Member:
    """One process; its lines are kept."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[Line] = []
        self.begun = asyncio.Event()

    async def listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            words = line.decode().split()
            if words[:1] == ["begun"]:
                self.begun.set()
            elif words[:1] in (["received"], ["settled"]) and len(words) == 4 and line.endswith(b"\n"):
                self.lines.append(Line(words[0], float(words[1]), words[2], int(words[3])))

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@asynccontextmanager
async def member(url: str) -> AsyncIterator[Member]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.brokers.nats_member",
        url,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])},
    )
    one = Member(process)
    listening = asyncio.ensure_future(one.listen())
    try:
        yield one
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await asyncio.wait([listening])


@pytest.fixture
def prefix() -> str:
    return own_prefix()


@pytest.fixture
def url(nats_server: NatsServer, prefix: str) -> str:
    return url_of(nats_server, prefix=prefix, partitions=4, session=1)


@pytest.fixture
async def broker(url: str) -> AsyncIterator[Broker]:
    broker = await connect(url)
    yield broker
    await broker.close()


class Published:
    """Goes on publishing: the numbers of each key count up."""

    def __init__(self, broker: Broker) -> None:
        self.counts = Counter[str]()
        self._broker = broker

    async def more(self, count: int) -> None:
        events = []
        for _ in range(count):
            key = f"k{sum(self.counts.values()) % KEYS}"
            events.append(Event(source="shop", type="order:created", key=key, data=self.counts[key]))
            self.counts[key] += 1
        await self._broker.publish(events)


async def received_of(inbox: Inbox, count: int) -> list[Arrival]:
    arrivals: list[Arrival] = []
    while len(arrivals) < count:
        arrivals += await inbox.receive()
    return arrivals


def all_lines(members: list[Member]) -> list[Line]:
    return sorted((line for one in members for line in one.lines), key=lambda line: line.time)


def received(members: list[Member]) -> set[tuple[str, int]]:
    """A member that is killed may have settled what it could not print any more; what it received it always did."""
    return {(line.key, line.number) for line in all_lines(members) if line.what == "received"}


def check_history(members: list[Member], counts: Counter[str]) -> None:
    """Count what should never be."""
    lines = all_lines(members)
    published = {(key, number) for key, count in counts.items() for number in range(count)}
    done: dict[tuple[str, int], float] = {}
    first = defaultdict[str, list[int]](list)
    resurrected = 0
    for line in lines:
        one = (line.key, line.number)
        if line.what == "settled":
            done.setdefault(one, line.time)
        else:
            resurrected += one in done
            if line.number not in first[line.key]:
                first[line.key].append(line.number)
    invented = {(line.key, line.number) for line in lines} - published
    reordered = [key for key, numbers in first.items() if numbers != sorted(numbers)]
    lost = published - received(members)

    assert (len(lost), len(invented), resurrected, reordered) == (0, 0, 0, [])


async def test_members_that_are_killed_and_stand_still_lose_nothing_and_keep_every_key_in_order(
    broker: Broker, url: str, seed: int
) -> None:
    chance, published = random.Random(seed), Published(broker)
    async with AsyncExitStack() as stack:
        members = [await stack.enter_async_context(member(url)) for _ in range(3)]
        async with within("the beginning of all members"):
            await asyncio.gather(*(one.begun.wait() for one in members))
        await published.more(200)
        await until(lambda: len(received(members)) > 100, "progress of three")
        killed, stopped, _ = chance.sample(members, 3)
        killed.tell(signal.SIGKILL)
        await published.more(200)
        await until(lambda: len(received(members)) > 250, "progress after a death")
        stopped.tell(signal.SIGSTOP)
        await published.more(400)
        await until(lambda: len(received(members)) == 800, "all events, with one member killed and one standing still")
        stopped.tell(signal.SIGCONT)
        members.append(await stack.enter_async_context(member(url)))
        async with within("the beginning of another"):
            await members[-1].begun.wait()
        for _ in range(10):
            await published.more(40)
        await until(lambda: len(received(members)) == 1200, "all events, with one that came back and one that is new")

    check_history(members, published.counts)


async def test_members_that_join_and_leave_keep_every_key_in_order(broker: Broker, url: str) -> None:
    got: list[tuple[str | None, str]] = []
    other = await connect(url)

    def seen(arrivals: list[Arrival]) -> None:
        got.extend((each.event.key, each.event.id) for each in arrivals)

    events = [Event(id=f"{n}", source="shop", type="order:created", key=f"k{n % KEYS}") for n in range(3000)]
    async with going_on(broker, seen, prefetch=50) as failures:
        for start in range(0, 3000, 500):
            await broker.publish(events[start : start + 500])
            async with going_on(other, seen, prefetch=50) as others:
                await until(lambda start=start: len(got) >= start + 400, "most of what was published")  # type: ignore[misc]
            assert others == []
        await until(lambda: len(got) >= 3000, "the rest")
    await other.close()

    assert failures == []
    by_key = defaultdict[str | None, list[int]](list)
    for key, id in dict.fromkeys(got):
        by_key[key].append(int(id))
    assert {key: numbers for key, numbers in by_key.items() if numbers != sorted(numbers)} == {}
    assert len(set(got)) == 3000


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


async def test_a_member_keeps_a_partition_until_what_it_has_of_it_is_answered(broker: Broker) -> None:
    await broker.publish([Event(id=str(n), source="shop", type="order:created", key=f"k{n}") for n in range(40)])
    async with broker.subscribe(["**"], group="g") as first, within("the events"):
        mine = await received_of(first, 40)
        async with broker.subscribe(["**"], group="g") as second:
            waiting = asyncio.ensure_future(second.receive())
            await broker.publish(
                [Event(id=f"{n}", source="shop", type="order:created", key=f"k{n}") for n in range(40, 80)]
            )
            done, _ = await asyncio.wait([waiting], timeout=0.3)
            assert not done, "partitions have changed hands with unanswered events"
            await first.settle(mine)
            theirs = await waiting

    assert {int(id) for id in arrived_ids(theirs)} <= set(range(40, 80))


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
        while not all(part.open for place, part in first.parts.items() if place != (AGAIN, 0)):
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


async def test_who_was_taken_for_dead_settles_nothing_and_is_handed_nothing_more(
    broker: Broker, nats_server: NatsServer, prefix: str
) -> None:
    await broker.publish([Event(id=str(n), source="shop", type="order:created", key="k") for n in range(3)])
    async with broker.subscribe(["**"], group="g") as inbox, within("its end"):
        [first] = await inbox.receive(1)
        async with another_client(nats_server) as client:
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


async def test_members_that_hear_other_channels_starve_no_stream(url: str) -> None:
    old, new = await connect(url), await connect(url)
    names = ["order:created", "stock:reserved"]
    got: set[str] = set()

    async def read(inbox: Inbox) -> None:
        while len(got) < 200:
            arrivals = await inbox.receive()
            got.update(arrived_ids(arrivals))
            await inbox.settle(arrivals)

    async with (
        old.subscribe(["order:*"], group="g") as narrow,
        new.subscribe(["order:*", "stock:*"], group="g") as wide,
    ):
        readers = [asyncio.ensure_future(read(inbox)) for inbox in (narrow, wide)]
        await new.publish([Event(id=f"{n}", source="shop", type=names[n % 2], key=f"k{n}") for n in range(200)])
        await until(lambda: len(got) == 200, "all events of both channels")
        for reader in readers:
            reader.cancel()
        await asyncio.wait(readers)
    await old.close()
    await new.close()
