"""What a returned publish promises, and what one that failed or was cut short leaves behind."""

import asyncio
from collections.abc import Sequence

from tidings.brokers import Broker, Capabilities
from tidings.brokers.gathering import Gathering
from tidings.errors import BrokerError, InvalidEvent, TidingsError
from tidings.events import Event
from tidings.testing.broker_conformance.words import (
    LIMIT,
    Connect,
    ids_of,
    new_event,
    new_events,
    take,
    take_until_marked,
    within,
)

_TRIES = 5
_BATCH = 20


async def test_every_event_of_a_publish_that_returned_arrives(connect: Connect, capabilities: Capabilities) -> None:
    events = new_events(0, 300)
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish(events[:1])
        await broker.publish(events[1:])
        arrived = await take(inbox, ids_of(events))

    assert sorted(ids_of(arrived)) == sorted(ids_of(events))


async def test_many_publishers_at_a_time_lose_nothing(connect: Connect, capabilities: Capabilities) -> None:
    events = new_events(0, 500)
    connections = [await connect() for _ in range(3)]

    async with connections[0].subscribe(["**"], group="g") as inbox:
        publishing = [
            connections[number % 3].publish(events[start : start + 10])
            for number, start in enumerate(range(0, len(events), 10))
        ]
        async with within("publishing"):
            await asyncio.gather(*publishing)
        arrived = await take(inbox, ids_of(events))

    assert sorted(ids_of(arrived)) == sorted(ids_of(events))


async def test_publishing_nothing_is_harmless(connect: Connect, capabilities: Capabilities) -> None:
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish([])
        assert await take_until_marked(broker, inbox) == []


async def test_what_is_published_again_is_the_same_event(connect: Connect, capabilities: Capabilities) -> None:
    events = new_events(0, 5)
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish(events[:3])
        await broker.publish(events)
        arrived = await take(inbox, ids_of(events))

    assert set(ids_of(arrived)) == set(ids_of(events))


async def test_what_was_published_is_there_although_its_publisher_closed_at_once(
    connect: Connect, capabilities: Capabilities
) -> None:
    broker, leaving = await connect(), await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await leaving.publish(new_events(0, 100))
        await leaving.close()
        arrived = await take(inbox, ids_of(new_events(0, 100)))

    assert len(arrived) == 100


async def test_one_event_that_cannot_be_written_takes_all_with_it_where_publishing_is_atomic(
    connect: Connect, capabilities: Capabilities
) -> None:
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        try:
            await broker.publish([new_event(0), new_event(1, data=object()), new_event(2)])
        except TidingsError:
            arrived = await take_until_marked(broker, inbox)
        else:
            raise AssertionError("data that has no form on the wire was taken without an error")

    assert arrived == [] or not capabilities.atomic, f"atomic is claimed, and {ids_of(arrived)} arrived"


async def test_of_many_calls_at_a_time_each_fails_by_itself_and_the_others_keep_their_order(
    connect: Connect, capabilities: Capabilities
) -> None:
    """Gathered, as an application's calls are."""
    events, unwritable = new_events(0, 60, key="k"), new_event(60, data=object())
    broker = await connect()
    gathering = Gathering(broker)

    async with broker.subscribe(["**"], group="g") as inbox:
        async with within("publishing"):
            calls = [gathering.publish([event]) for event in (*events[:30], unwritable, *events[30:])]
            ended = await asyncio.gather(*calls, return_exceptions=True)
        arrived = await take(inbox, ids_of(events))

    assert [type(each) for each in ended if each is not None] == [InvalidEvent], ended
    in_order = list(dict.fromkeys(ids_of(arrived)))  # those that shared its send may come twice
    assert capabilities.order == "none" or in_order == ids_of(events), f"order={capabilities.order!r} is claimed"


async def test_a_publish_cut_short_is_whole_or_absent_where_that_is_claimed_and_can_be_repeated(
    connect: Connect, capabilities: Capabilities
) -> None:
    batches = [new_events(start, start + _BATCH) for start in range(0, 20 * _BATCH, _BATCH)]
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        for number, batch in enumerate(batches):
            publishing = asyncio.ensure_future(broker.publish(batch))
            for _ in range(number % 10):
                await asyncio.sleep(0)
            publishing.cancel()
            await asyncio.wait([publishing], timeout=LIMIT)
        first = set(ids_of(await take_until_marked(broker, inbox)))
        for batch in batches:
            await _publish_at_last(broker, batch)
        missing = [event.id for batch in batches for event in batch if event.id not in first]
        again = await take(inbox, missing)

    assert first | set(ids_of(again)) >= {event.id for batch in batches for event in batch}
    if capabilities.atomic:
        counts = {len(first & set(ids_of(batch))) for batch in batches}
        assert counts <= {0, _BATCH}, f"atomic is claimed, and {counts} events of {_BATCH} arrived"


async def _publish_at_last(broker: Broker, events: Sequence[Event]) -> None:
    """Publish, and again when that fails: a carrier may part with a connection on which calls were cancelled."""
    for _ in range(_TRIES - 1):
        try:
            await broker.publish(events)
        except BrokerError:
            continue
        return
    await broker.publish(events)
