"""Members of a group on RabbitMQ: who reads what, in which order, and what if they come, leave or are killed."""

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.brokers.words import own_name, url_of
from tests.servers.rabbitmq import RabbitmqServer
from tidings.brokers import Broker, connect
from tidings.brokers.rabbitmq.membership import dealt
from tidings.testing.broker_conformance.words import (
    arrived_ids,
    ids_of,
    new_event,
    new_events,
    take_arrivals,
    within,
)

_KEYS = 20
Connected = Callable[[], Awaitable[Broker]]


@pytest.fixture
def prefix() -> str:
    return f"{own_name()}."


@pytest.fixture
async def connected(rabbitmq_server: RabbitmqServer, prefix: str) -> AsyncIterator[Connected]:
    brokers: list[Broker] = []

    async def connected() -> Broker:
        broker = await connect(url_of(rabbitmq_server, prefix=prefix, session=2, partitions=4))
        brokers.append(broker)
        return broker

    yield connected
    await asyncio.gather(*(broker.close() for broker in brokers))


@pytest.mark.parametrize("partitions", [1, 2, 8, 13])
def test_partitions_are_dealt_out_evenly_and_who_comes_takes_only_its_share(partitions: int) -> None:
    members = [f"m{number}" for number in range(10)]

    for count in range(1, len(members) + 1):
        owners = dealt(partitions, members[:count])
        shares = Counter(owners.values())
        sizes = [shares[member] for member in members[:count]]
        assert sum(sizes) == partitions
        assert max(sizes) - min(sizes) <= 1
        before = dealt(partitions, members[: count - 1])
        moved = [number for number in owners if owners[number] != before[number]]
        assert all(owners[number] == members[count - 1] for number in moved)


async def test_a_member_that_joins_takes_its_share_and_gives_it_back_when_it_leaves(connected: Connected) -> None:
    first, second = await connected(), await connected()
    seen: dict[str, list[str]] = defaultdict(list)

    async with reading(first, seen["first"]):
        await publish_until(first, lambda: len(seen["first"]) > 20)
        async with reading(second, seen["second"]):
            await publish_until(first, lambda: len(seen["second"]) > 20)
            before = len(seen["first"])
            await publish_until(first, lambda: len(seen["first"]) > before + 20)
        await publish_until(first, lambda: len({key_of(each) for each in seen["first"][-_KEYS * 4 :]}) == _KEYS)


def key_of(id: str) -> str:
    return f"k{int(id.removeprefix('id-')) % _KEYS}"


@contextlib.asynccontextmanager
async def reading(broker: Broker, seen: list[str]) -> AsyncIterator[None]:
    """A member that settles and notes what comes."""

    async def read() -> None:
        async with broker.subscribe(["**"], group="g") as inbox:
            while True:
                arrivals = await inbox.receive()
                await inbox.settle(arrivals)
                seen.extend(arrived_ids(arrivals))

    task = asyncio.ensure_future(read())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def publish_until(broker: Broker, condition: Callable[[], object]) -> None:
    number = 0
    async with within("the receipt by the members"):
        while not condition():
            await broker.publish([new_event(each, key=f"k{each % _KEYS}") for each in range(number, number + _KEYS)])
            number += _KEYS


async def test_an_event_for_later_goes_round_until_it_is_due_whoever_is_there(connected: Connected) -> None:
    first, second = await connected(), await connected()
    loop = asyncio.get_running_loop()

    async with first.subscribe(["**"], group="g") as inbox:
        await first.publish([new_event(0), new_event(1)])
        arrivals = {each.event.id: each for each in await take_arrivals(inbox, ["id-0", "id-1"])}
        asked = loop.time()
        await inbox.retry(arrivals["id-0"], 0.75)
        await inbox.settle([arrivals["id-1"]])
    async with second.subscribe(["**"], group="g") as inbox:
        [again] = await take_arrivals(inbox, ["id-0"])
        waited = loop.time() - asked
        assert (again.attempt, waited >= 0.74) == (2, True)
        await inbox.retry(again, 0.01)
        [again] = await take_arrivals(inbox, ["id-0"])
        assert again.attempt == 3


async def test_without_a_group_an_event_can_be_had_again_and_given_up(connected: Connected) -> None:
    broker = await connected()

    async with broker.subscribe(["**"], group=None) as inbox:
        await broker.publish([new_event(0)])
        [arrival] = await take_arrivals(inbox, ["id-0"])
        await inbox.retry(arrival, 0.05)
        [again] = await take_arrivals(inbox, ["id-0"])
        await inbox.reject(again, "no")

    assert again.attempt == 2
    assert (await broker.letters(), await broker.groups()) == ([], [])


async def test_who_looks_at_dead_letters_at_the_same_time_sees_all_of_them_in_order(connected: Connected) -> None:
    brokers = [await connected() for _ in range(3)]
    events = new_events(0, 30, key="k")
    async with brokers[0].subscribe(["**"], group="g") as inbox:
        await brokers[0].publish(events)
        for arrival in await take_arrivals(inbox, ids_of(events)):
            await inbox.reject(arrival, f"reason {arrival.event.id}", "x" * 50_000)

    seen = await asyncio.gather(*(broker.letters("g") for broker in brokers for _ in range(2)))
    await brokers[1].resolve(seen[0][3], again=False)
    await brokers[2].resolve(seen[0][3], again=True)
    left = await brokers[0].letters("g")

    assert [[letter.event.id for letter in letters] for letters in seen] == [ids_of(events)] * 6
    assert {letter.reason for letter in seen[0]} == {f"reason {id}" for id in ids_of(events)}
    assert [letter.event.id for letter in left] == [each for each in ids_of(events) if each != "id-3"]


async def test_lag_counts_what_each_member_has_and_what_nobody_has(connected: Connected) -> None:
    broker, asking = await connected(), await connected()
    lags: list[int | None] = []

    async def lag_becomes(expected: int) -> None:
        async with within(f"a lag of {expected}", lambda: lags):
            while lags[-1:] != [expected]:
                lags.append({each.group: each.lag for each in await asking.groups()}["g"])

    async with broker.subscribe(["**"], group="g", prefetch=4) as inbox:
        await broker.publish([new_event(number, key=str(number)) for number in range(50)])
        arrivals = await take_arrivals(inbox, (), at_least=1)
        await inbox.settle(arrivals)
        await lag_becomes(50 - len(arrivals))
    await lag_becomes(50 - len(arrivals))
