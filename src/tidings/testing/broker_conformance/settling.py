"""What settling promises: what was settled is done with, what was not comes again. Only of carriers with groups."""

import contextlib

from tidings.brokers import Capabilities
from tidings.testing.broker_conformance.words import (
    Connect,
    ids_of,
    new_event,
    new_events,
    take,
    take_until_marked,
)


async def test_what_was_not_settled_comes_again_when_its_member_left(
    connect: Connect, capabilities: Capabilities
) -> None:
    if not (capabilities.groups and capabilities.remembers):
        return
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish(new_events(0, 10))
        await take(inbox, ids_of(new_events(0, 10)), settles=False)
    async with broker.subscribe(["**"], group="g") as inbox:
        again = await take(inbox, ids_of(new_events(0, 10)))

    assert set(ids_of(again)) == set(ids_of(new_events(0, 10)))


async def test_what_was_not_settled_goes_to_others_when_its_member_died(
    connect: Connect, capabilities: Capabilities
) -> None:
    if not (capabilities.groups and capabilities.remembers):
        return
    broker, dying = await connect(), await connect()
    events = new_events(0, 10)

    async with contextlib.AsyncExitStack() as stack:
        inbox = await stack.enter_async_context(dying.subscribe(["**"], group="g"))
        await broker.publish(events)
        await take(inbox, ids_of(events), settles=False)
        await dying.close()  # under its inbox, as when a process ends
        async with broker.subscribe(["**"], group="g") as heir:
            inherited = await take(heir, ids_of(events))
        stack.pop_all()  # the dead do not say goodbye

    assert set(ids_of(inherited)) == set(ids_of(events))


async def test_what_was_settled_never_comes_again(connect: Connect, capabilities: Capabilities) -> None:
    if not (capabilities.groups and capabilities.remembers):
        return
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish(new_events(0, 10))
        await take(inbox, ids_of(new_events(0, 10)))
    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish(new_events(10, 12))
        arrived = [*await take(inbox, ["id-10", "id-11"]), *await take_until_marked(broker, inbox)]

    assert [event for event in arrived if event.id in ids_of(new_events(0, 10))] == []


async def test_an_open_inbox_hands_nothing_over_twice(connect: Connect, capabilities: Capabilities) -> None:
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish(new_events(0, 10))
        arrived = await take(inbox, ids_of(new_events(0, 10)), settles=False, at_most=3)
        await broker.publish([new_event(10)])
        arrived += await take(inbox, ["id-10"], settles=False, at_most=3)

    assert sorted(ids_of(arrived)) == sorted(ids_of(new_events(0, 11)))


async def test_settling_again_or_with_nothing_received_is_harmless(
    connect: Connect, capabilities: Capabilities
) -> None:
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await inbox.settle()
        await broker.publish([new_event(0)])
        await take(inbox, ["id-0"])
        await inbox.settle()
        await broker.publish([new_event(1)])

        assert ids_of(await take(inbox, ["id-1"])) == ["id-1"]
