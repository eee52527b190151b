"""What a subscription promises: what its patterns select, from when it is there, and as much as was asked for."""

import asyncio

from tidings.brokers import Capabilities
from tidings.testing.broker_conformance.words import (
    Connect,
    arrived_ids,
    ids_of,
    new_event,
    new_events,
    take,
    take_until_marked,
    within,
)

_NAMES = ("order:created", "order:paid", "order", "order:created:late", "stock:reserved", "orders:created")


async def test_a_subscription_hears_what_its_patterns_select(connect: Connect, capabilities: Capabilities) -> None:
    heard = {
        ("order:created",): {0},
        ("order:*",): {0, 1},
        ("order.*",): {0, 1},
        ("order:**",): {0, 1, 2, 3},
        ("*:created", "stock:reserved"): {0, 4, 5},
        ("**",): {0, 1, 2, 3, 4, 5},
    }

    for number, (patterns, expected) in enumerate(heard.items()):
        broker = await connect()
        async with broker.subscribe(["mark", *patterns], group=f"g{number}") as inbox:
            events = [new_event(10 * number + index, type=name) for index, name in enumerate(_NAMES)]
            before = {event.id for event in events}
            await broker.publish(events)
            wanted = [events[index].id for index in sorted(expected)]
            arrived = [*await take(inbox, wanted), *await take_until_marked(broker, inbox, type="mark")]

        assert sorted(set(ids_of(arrived)) & before) == sorted(wanted), f"with {patterns}"


async def test_a_receiver_waits_for_what_comes(connect: Connect, capabilities: Capabilities) -> None:
    broker = await connect()

    async with broker.subscribe(["order:created"], group="g") as inbox:
        receiving = asyncio.ensure_future(inbox.receive())
        await broker.publish([new_event(0, type="stock:reserved")])
        await broker.publish([new_event(1)])
        async with within("the receipt of an event"):
            arrived = await receiving

    assert arrived_ids(arrived) == ["id-1"]


async def test_no_more_is_handed_over_than_was_asked_for(connect: Connect, capabilities: Capabilities) -> None:
    broker = await connect()
    sizes: list[int] = []

    async with broker.subscribe(["**"], group="g", prefetch=10) as inbox:
        await broker.publish(new_events(0, 40))
        async with within("the receipt of all events"):
            while sum(sizes) < 40:
                asked = 3 if len(sizes) < 4 else 500
                sizes.append(len(await inbox.receive(asked)))
                assert sizes[-1] <= min(asked, 10)
                await inbox.settle()

    assert sum(sizes) == 40


async def test_a_receive_that_was_cancelled_loses_nothing(connect: Connect, capabilities: Capabilities) -> None:
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        arrived = []
        for number in range(20):
            receiving = asyncio.ensure_future(inbox.receive())
            for _ in range(number % 5):
                await asyncio.sleep(0)
            await broker.publish([new_event(number)])
            receiving.cancel()
            await asyncio.wait([receiving])
            arrived += [] if receiving.cancelled() else [each.event for each in receiving.result()]
        missing = {f"id-{number}" for number in range(20)} - set(ids_of(arrived))
        arrived += await take(inbox, missing)

    assert sorted(ids_of(arrived)) == sorted(f"id-{number}" for number in range(20))
