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

from tests.brokers.redis_words import AnotherClient, going_on, own_prefix, until, url_of
from tests.servers.redis import RedisServer
from tidings.brokers import Arrival, Broker, Inbox, connect
from tidings.errors import Fenced
from tidings.events import Event
from tidings.testing.broker_conformance.words import arrived_ids, within

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
        "tests.brokers.redis_member",
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
def url(redis_server: RedisServer, prefix: str) -> str:
    return url_of(redis_server, prefix=prefix, partitions=4, session=1)


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


async def owners(server: RedisServer, prefix: str) -> Counter[bytes]:
    """How many partitions each member has."""
    owned = await AnotherClient(server).hgetall(f"{prefix}owners:g")
    return Counter(member for stream, member in owned.items() if b"stream:" in stream)


async def shared_out(server: RedisServer, prefix: str, expected: list[int]) -> None:
    async with within(f"{expected} partitions"):
        while sorted((await owners(server, prefix)).values()) != expected:
            pass


async def test_a_read_that_was_under_way_when_its_member_froze_takes_nothing_from_its_successor(
    broker: Broker, url: str, redis_server: RedisServer, prefix: str
) -> None:
    got: list[str] = []
    await broker.publish([Event(id="first", source="shop", type="order:created", data=0)])
    async with member(url) as frozen, going_on(broker, lambda arrivals: got.extend(arrived_ids(arrivals))):
        async with within("its beginning"):
            await frozen.begun.wait()
        await shared_out(redis_server, prefix, [2, 2])
        frozen.tell(signal.SIGSTOP)
        await shared_out(redis_server, prefix, [4])
        expected = {str(number) for number in range(100)}
        await broker.publish([Event(id=id, source="shop", type="order:created", key=id, data=0) for id in expected])
        await until(lambda: expected <= set(got), "all events at the successor")


async def test_partitions_are_shared_out_evenly_and_handed_over_when_a_member_leaves(
    broker: Broker, url: str, redis_server: RedisServer, prefix: str
) -> None:
    await broker.publish([Event(source="shop", type="order:created")])
    async with going_on(broker, lambda arrivals: None):
        await shared_out(redis_server, prefix, [4])
        async with going_on(broker, lambda arrivals: None):
            await shared_out(redis_server, prefix, [2, 2])
            async with going_on(broker, lambda arrivals: None):
                await shared_out(redis_server, prefix, [1, 1, 2])
        await shared_out(redis_server, prefix, [4])


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


async def test_who_was_taken_for_dead_settles_nothing_and_is_handed_nothing_more(
    broker: Broker, redis_server: RedisServer, prefix: str
) -> None:
    await broker.publish([Event(id=str(n), source="shop", type="order:created", key="k") for n in range(3)])
    async with broker.subscribe(["**"], group="g") as inbox, within("its end"):
        arrivals = await inbox.receive(1)
        other = AnotherClient(redis_server)
        [guard] = await other.keys(f"{prefix}guard:*")
        assert await other.delete(guard) == 1
        with pytest.raises(Fenced):
            await inbox.reject(arrivals[0], "too late")
        with pytest.raises(Fenced):
            await received_of(inbox, 4)
    async with broker.subscribe(["**"], group="g") as inbox, within("all of it again"):
        again = await received_of(inbox, 3)

    assert arrived_ids(again) == ["0", "1", "2"]


async def test_a_read_under_way_ends_with_the_guard_and_takes_no_event_that_comes_then(
    broker: Broker, redis_server: RedisServer, prefix: str
) -> None:
    other = AnotherClient(redis_server)
    await broker.publish([Event(id="0", source="shop", type="order:created", key="k")])
    async with broker.subscribe(["**"], group="g") as inbox, within("its end"):
        await inbox.settle(await inbox.receive())
        receiving = asyncio.ensure_future(inbox.receive())
        [guard] = await other.keys(f"{prefix}guard:*")
        while not any(each["cmd"] == "xreadgroup" and "b" in each["flags"] for each in await other.client_list()):
            pass
        assert await other.delete(guard) == 1
        await broker.publish([Event(id="1", source="shop", type="order:created", key="k")])
        with pytest.raises(Fenced):
            await receiving
        streams = await other.keys(f"{prefix}stream:*")
        pending = [(await other.xpending(stream, "g"))["pending"] for stream in streams]

    assert sum(pending) == 0, "who was taken for dead was handed an event"


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
