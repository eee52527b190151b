"""Where a group begins: a new one as it says, one that is known where it was."""

from tidings.brokers import Capabilities
from tidings.testing.broker_conformance.words import Connect, ids_of, new_event, new_events, take, take_until_marked


async def test_a_new_group_hears_of_the_past_if_and_only_if_that_is_claimed(
    connect: Connect, capabilities: Capabilities
) -> None:
    broker = await connect()
    await broker.publish(new_events(0, 3))

    async with broker.subscribe(["**"], group="late", start="earliest") as inbox:
        await broker.publish([new_event(3)])
        arrived = await take(inbox, ["id-3", *(ids_of(new_events(0, 3)) if capabilities.replay else ())])
        arrived += await take_until_marked(broker, inbox)

    past = set(ids_of(arrived)) & set(ids_of(new_events(0, 3)))
    assert (len(past) == 3) == capabilities.replay, f"replay={capabilities.replay} is claimed, and it heard {past}"


async def test_a_new_group_may_begin_with_what_comes(connect: Connect, capabilities: Capabilities) -> None:
    broker = await connect()
    await broker.publish(new_events(0, 3))

    async with broker.subscribe(["**"], group="late", start="latest") as inbox:
        await broker.publish([new_event(3)])
        arrived = [*await take(inbox, ["id-3"]), *await take_until_marked(broker, inbox)]

    assert "id-3" in ids_of(arrived)
    assert not set(ids_of(arrived)) & set(ids_of(new_events(0, 3)))


async def test_a_known_group_goes_on_where_it_was(connect: Connect, capabilities: Capabilities) -> None:
    if not (capabilities.groups and capabilities.remembers):
        return  # nobody remembers where it was
    broker = await connect()

    async with broker.subscribe(["**"], group="g", start="latest") as inbox:
        await broker.publish(new_events(0, 2))
        await take(inbox, ["id-0", "id-1"])
    await broker.publish(new_events(2, 4))
    async with broker.subscribe(["**"], group="g", start="latest") as inbox:
        arrived = await take(inbox, ["id-2", "id-3"])

    assert sorted(ids_of(arrived)) == ["id-2", "id-3"]
