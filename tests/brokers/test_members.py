"""Members that share out a channel's partitions among themselves, with no server to do it for them."""

import asyncio

import pytest

from tests.brokers.carriers import NATS, REDIS, Carrier, those
from tests.brokers.words import Opened, own_name, received_of, until
from tests.servers.server import Server
from tidings.brokers import Inbox, Wanted
from tidings.events import Event
from tidings.testing.broker_conformance.words import arrived_ids, new_event, within

share_by_themselves = those(lambda carrier: carrier in (REDIS, NATS))


@pytest.fixture
def url(carrier: Carrier, shared: Server) -> str:
    return carrier.url(shared, own_name(), partitions=4, session=1)


@share_by_themselves
async def test_a_member_keeps_a_partition_until_what_it_has_of_it_is_answered(opened: Opened, url: str) -> None:
    broker = await opened(url)
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


@share_by_themselves
async def test_members_that_hear_other_channels_starve_no_stream(opened: Opened, url: str) -> None:
    old, new = await opened(url), await opened(url)
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


@share_by_themselves
async def test_a_group_that_was_set_up_hears_what_came_before_its_first_member(opened: Opened, url: str) -> None:
    broker = await opened(url)
    await broker.setup(Wanted(("order", "stock"), (("shop", ("order:*",)),)), apply=True)
    await broker.publish([new_event(0)])

    async with broker.subscribe(["order:*"], group="shop", start="latest") as inbox, within("the event"):
        assert arrived_ids(await inbox.receive()) == ["id-0"]
