"""What is claimed of order: among the events of a key, among all, or nothing."""

from collections import defaultdict

from tidings.brokers import Capabilities
from tidings.testing.broker_conformance.words import Connect, ids_of, new_event, take

_KEYS = 7
_COUNT = 210


async def test_events_arrive_in_the_order_that_is_claimed(connect: Connect, capabilities: Capabilities) -> None:
    events = [new_event(number, key=f"k{number % _KEYS}") for number in range(_COUNT)]
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        for start in range(0, _COUNT, 30):
            await broker.publish(events[start : start + 30])
        arrived = await take(inbox, ids_of(events), at_most=50)

    published, by_key = defaultdict[str | None, list[str]](list), defaultdict[str | None, list[str]](list)
    for event in events:
        published[event.key].append(event.id)
    for event in arrived:
        by_key[event.key].append(event.id)
    assert capabilities.order == "none" or by_key == published, f"order={capabilities.order!r} is claimed"
    assert capabilities.order != "total" or ids_of(arrived) == ids_of(events), "order='total' is claimed"


async def test_what_comes_again_comes_in_the_order_that_is_claimed(
    connect: Connect, capabilities: Capabilities
) -> None:
    if not (capabilities.groups and capabilities.remembers):
        return  # nothing comes again
    events = [new_event(number, key="k") for number in range(50)]
    broker = await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish(events)
        await take(inbox, ids_of(events[:20]), settles=False, at_most=10)
    async with broker.subscribe(["**"], group="g") as inbox:
        again = await take(inbox, ids_of(events), at_most=10)

    assert capabilities.order == "none" or ids_of(again) == ids_of(events), f"order={capabilities.order!r} is claimed"
