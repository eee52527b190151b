"""What groups promise: each of them all, its members a share; and who claims no groups has none."""

import asyncio

from tidings.brokers import Broker, Capabilities, Inbox
from tidings.testing.broker_conformance.words import (
    Connect,
    arrived_ids,
    ids_of,
    new_event,
    new_events,
    take,
    take_arrivals,
    take_until_marked,
    within,
)

_COUNT = 200


async def test_each_group_receives_each_event_once_when_nothing_fails(
    connect: Connect, capabilities: Capabilities
) -> None:
    events = new_events(0, 100)
    broker, other = await connect(), await connect()

    async with broker.subscribe(["**"], group="a") as first, other.subscribe(["**"], group="b") as second:
        await broker.publish(events)
        for inbox in (first, second):
            arrived = [*await take(inbox, ids_of(events)), *await take_until_marked(broker, inbox)]
            counted = [event.id for event in arrived if event.id in ids_of(events)]
            assert sorted(counted) == sorted(ids_of(events))


async def test_members_of_a_group_share_its_events_if_and_only_if_that_is_claimed(
    connect: Connect, capabilities: Capabilities
) -> None:
    events = [new_event(number, key=str(number)) for number in range(_COUNT)]
    connections = [await connect(), await connect()]
    each: list[list[str]] = [[], []]
    wanted = _COUNT if capabilities.groups else 2 * _COUNT
    everything, ready = asyncio.Event(), [asyncio.Event(), asyncio.Event()]

    async def receive(number: int, broker: Broker) -> None:
        async with broker.subscribe(["**"], group="g") as inbox:
            ready[number].set()
            while True:
                each[number] += arrived_ids(await inbox.receive())
                await inbox.settle()
                if sum(map(len, each)) >= wanted:
                    everything.set()

    tasks = [asyncio.ensure_future(receive(number, broker)) for number, broker in enumerate(connections)]
    try:
        async with within("the receipt of all events by the members", lambda: list(map(len, each))):
            await asyncio.gather(*[each_ready.wait() for each_ready in ready])
            for event in events:
                await connections[0].publish([event])
            await everything.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    copies = 1 if capabilities.groups else 2
    assert sorted(each[0] + each[1]) == sorted(ids_of(events) * copies), f"groups={capabilities.groups} is claimed"


async def test_a_group_that_does_not_get_on_holds_up_no_other(connect: Connect, capabilities: Capabilities) -> None:
    events = new_events(0, 300)
    broker, other = await connect(), await connect()

    async with broker.subscribe(["**"], group="slow") as slow, other.subscribe(["**"], group="fast") as fast:
        await broker.publish(events)
        await take(slow, ["id-0"], settles=False, at_most=1)

        assert set(ids_of(await take(fast, ids_of(events)))) == set(ids_of(events))


async def test_what_is_settled_does_not_come_again_to_a_member_that_joins(
    connect: Connect, capabilities: Capabilities
) -> None:
    if not capabilities.groups:
        return
    before, after = new_events(0, 800), new_events(800, 1000)  # settled by one while the other joins, and then new
    broker, other, seen, everything = await connect(), await connect(), set[str](), asyncio.Event()

    async def receive(inbox: Inbox) -> None:
        while True:
            arrivals = await inbox.receive()
            assert arrivals, "receive() has returned no event, and has to wait for one"
            seen.update(arrived_ids(arrivals))
            await inbox.settle(arrivals)
            if seen >= set(ids_of(after)):
                everything.set()

    async with broker.subscribe(["**"], group="g", prefetch=len(before)) as first:
        await broker.publish(before)
        held = await take_arrivals(first, ids_of(before))
        async with other.subscribe(["**"], group="g") as second:
            tasks = [asyncio.ensure_future(everything.wait()), asyncio.ensure_future(receive(second))]
            try:
                await first.settle(held)
                tasks.append(asyncio.ensure_future(receive(first)))
                await broker.publish(after)
                async with within("the receipt of what came later", lambda: len(seen)):
                    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    assert not seen & set(ids_of(before))


async def test_members_that_come_and_go_lose_nothing(connect: Connect, capabilities: Capabilities) -> None:
    if not (capabilities.groups and capabilities.remembers):
        return  # who is not there hears nothing, and nobody claims otherwise
    events = new_events(0, 200)
    broker, seen = await connect(), set[str]()
    async with broker.subscribe(["**"], group="g"):
        await broker.publish(events)

    async with within("the receipt of all events", lambda: len(seen)):
        while len(seen) < len(events):
            async with broker.subscribe(["**"], group="g", prefetch=30) as inbox:
                seen |= set(arrived_ids(await inbox.receive()))
                await inbox.settle()

    assert seen == set(ids_of(events))
