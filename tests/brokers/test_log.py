"""A log as a carrier: groups, members, cursors, and what an inbox may be asked in which order."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tidings import Broker, Event
from tidings.brokers import connect
from tidings.errors import ConfigurationError, LogError
from tidings.log import open_log
from tidings.testing.broker_conformance.words import arrived_ids

_names = itertools.count()
BOUND = 10.0


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return {"memory": f"memory:carrier-{next(_names)}", "sqlite": f"sqlite:///{tmp_path}/bus.db"}[request.param]


@pytest.fixture
async def broker(url: str) -> AsyncIterator[Broker]:
    broker = await connect(url)
    async with asyncio.timeout(BOUND):
        yield broker
    await broker.close()


def order(number: int, name: str = "order:created", *, key: str | None = None) -> Event:
    return Event(id=str(number), source="shop", type=name, data=number, key=key or str(number % 5))


async def test_a_group_receives_what_its_patterns_select(broker: Broker) -> None:
    await broker.publish([order(1), order(2, "stock:reserved"), order(3, "order:paid")])

    async with broker.subscribe(["order:*"], group="inventory") as inbox:
        events = [arrival.event for arrival in await inbox.receive()]

    assert [(event.id, event.source, event.key) for event in events] == [("1", "shop", "1"), ("3", "shop", "3")]
    assert [(event.position, event.recorded_at, event.stream) for event in events] == [(None, None, None)] * 2


async def test_the_same_events_again_are_carried_once(broker: Broker) -> None:
    await broker.publish([order(1)])
    await broker.publish([order(1), order(2)])

    async with broker.subscribe(["**"], group="inventory") as inbox:
        assert arrived_ids(await inbox.receive()) == ["1", "2"]


async def test_what_was_not_settled_is_received_again_by_who_comes_next(broker: Broker) -> None:
    await broker.publish([order(1), order(2)])

    async with broker.subscribe(["**"], group="inventory") as inbox:
        assert arrived_ids(await inbox.receive(1)) == ["1"]
        await inbox.settle()
        assert arrived_ids(await inbox.receive(1)) == ["2"]
    async with broker.subscribe(["**"], group="inventory") as inbox:
        assert arrived_ids(await inbox.receive()) == ["2"]


async def test_waiting_for_more_does_not_settle_what_was_handed_over(broker: Broker) -> None:
    await broker.publish([order(1)])

    async with broker.subscribe(["order:created"], group="inventory") as inbox:
        await inbox.receive()
        more = asyncio.create_task(inbox.receive())
        await broker.publish([order(2, "stock:reserved")])
        await asyncio.wait([more], timeout=0.1)  # it looks at what is not for it
        await broker.publish([order(3)])
        assert arrived_ids(await more) == ["3"]
    async with broker.subscribe(["order:created"], group="inventory") as inbox:
        assert arrived_ids(await inbox.receive()) == ["1", "3"]


async def test_an_event_that_was_set_aside_is_not_received(broker: Broker, url: str) -> None:
    keeper = await open_log(url)
    await broker.publish([order(1), order(2), order(3)])
    async with broker.subscribe(["**"], group="inventory") as inbox:
        await inbox.receive(1)
        await inbox.settle()
        await keeper.ledger.set_aside("inventory", (await keeper.scan("", limit=2)).upto, "damaged")
    async with broker.subscribe(["**"], group="inventory") as inbox:
        assert arrived_ids(await inbox.receive()) == ["3"]
    await keeper.close()


async def test_groups_do_not_share_and_members_of_one_do(broker: Broker, url: str) -> None:
    other = await connect(url)
    seen: dict[str, list[str]] = {"first": [], "second": [], "audit": []}
    done = asyncio.Event()

    async def read(carrier: Broker, group: str, name: str) -> None:
        async with carrier.subscribe(["**"], group=group) as inbox:
            while True:
                seen[name] += arrived_ids(await inbox.receive())
                await inbox.settle()
                if len(seen["first"]) + len(seen["second"]) == len(seen["audit"]) == 100:
                    done.set()

    readers = [
        asyncio.create_task(read(broker, "inventory", "first")),
        asyncio.create_task(read(other, "inventory", "second")),
        asyncio.create_task(read(other, "audit", "audit")),
    ]
    await broker.publish([order(number) for number in range(100)])
    await done.wait()
    for reader in readers:
        reader.cancel()
    await asyncio.wait(readers)
    await other.close()

    everything = sorted(map(str, range(100)))
    assert sorted(seen["first"] + seen["second"]) == everything
    assert sorted(seen["audit"]) == everything


async def test_a_member_that_takes_over_receives_what_was_not_settled_and_nothing_again(
    broker: Broker, url: str
) -> None:
    other, keeper = await connect(url), await open_log(url)

    async with broker.subscribe(["**"], group="inventory") as inbox:
        async with other.subscribe(["**"], group="inventory") as leaving:
            tasks = [asyncio.create_task(each.receive()) for each in (inbox, leaving)]
            while len((await keeper.ledger.groups())[0].members) < 2:
                await asyncio.wait(tasks, timeout=0.01)
            await broker.publish([order(number, key=str(number)) for number in range(100)])
            mine, theirs = [set(arrived_ids(await task)) for task in tasks]
            await inbox.settle()
        again = set(arrived_ids(await inbox.receive()))

    assert mine
    assert mine & theirs == set()
    assert again == theirs
    await other.close()
    await keeper.close()


async def test_a_new_group_may_begin_at_the_end(broker: Broker) -> None:
    await broker.publish([order(1)])

    async with broker.subscribe(["**"], group="inventory", start="latest") as inbox:
        await broker.publish([order(2)])
        assert arrived_ids(await inbox.receive()) == ["2"]


async def test_a_log_says_what_it_can_do_as_a_carrier(broker: Broker, url: str) -> None:
    durable = url.startswith("sqlite:")

    assert (broker.capabilities.durable, broker.capabilities.fsync) == (durable, durable)
    assert (broker.capabilities.groups, broker.capabilities.replay, broker.capabilities.order) == (True, True, "total")
    assert broker.url == url


async def test_a_carrier_that_was_closed_opens_again_when_it_is_needed(url: str) -> None:
    keeper = await open_log(url)
    broker = await connect(url)
    await broker.publish([order(1)])
    await broker.close()
    await broker.close()

    await broker.publish([order(2)])

    async with broker.subscribe(["**"], group="inventory") as inbox:
        assert len(await inbox.receive()) == 2
    await broker.close()
    await keeper.close()


async def test_a_carrier_that_is_away_fails_when_it_is_used_and_works_when_it_is_back(tmp_path: Path) -> None:
    broker = await connect(f"sqlite:///{tmp_path}/disk/bus.db")
    with pytest.raises(ConfigurationError, match="does not exist"):
        await broker.publish([order(1)])
    with pytest.raises(ConfigurationError, match="does not exist"):
        async with broker.subscribe(["**"], group="inventory"):
            pass

    await asyncio.to_thread((tmp_path / "disk").mkdir)

    await broker.publish([order(1)])
    await broker.close()


async def test_a_carrier_whose_log_was_closed_elsewhere_works_at_the_next_try(url: str) -> None:
    keeper = await open_log(url)
    broker = await connect(url)
    await broker.publish([order(1)])
    log = broker._log  # type: ignore[attr-defined]
    await log.close()

    with pytest.raises(LogError, match="closed"):
        await broker.publish([order(2)])
    await broker.publish([order(2)])

    assert len((await keeper.scan("")).records) == 2
    await broker.close()
    await keeper.close()


async def test_an_unknown_scheme_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="not the URL of a broker"):
        await connect("carrier-pigeon://loft")
