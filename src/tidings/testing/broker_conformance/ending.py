"""What closing and restarting promise: nothing foreign is raised, and what is durable is there again."""

from tidings.brokers import Broker, Capabilities
from tidings.errors import TidingsError
from tidings.testing.broker_conformance.words import (
    Connect,
    Restart,
    ids_of,
    new_event,
    new_events,
    take,
    take_until_marked,
    within,
)


async def test_closing_twice_is_harmless(connect: Connect, capabilities: Capabilities) -> None:
    broker, unused = await connect(), await connect()
    await broker.publish([new_event(0)])

    for each in (broker, unused):
        await each.close()
        await each.close()


async def test_a_closed_broker_says_so_or_connects_again(connect: Connect, capabilities: Capabilities) -> None:
    keeper, broker = await connect(), await connect()

    async with keeper.subscribe(["**"], group="g") as inbox:
        await broker.publish([new_event(0)])
        await broker.close()
        taken = ["id-0", *(["id-1"] if await _works(broker) else [])]

        assert sorted(ids_of(await take(inbox, taken))) == taken


async def test_closing_one_connection_leaves_the_others_alone(connect: Connect, capabilities: Capabilities) -> None:
    broker, other = await connect(), await connect()

    async with broker.subscribe(["**"], group="g") as inbox:
        await other.publish([new_event(0)])
        await other.close()
        await broker.publish([new_event(1)])

        assert sorted(ids_of(await take(inbox, ["id-0", "id-1"]))) == ["id-0", "id-1"]


async def test_what_was_published_outlives_a_restart_if_and_only_if_that_is_claimed(
    connect: Connect, capabilities: Capabilities, restart: Restart
) -> None:
    broker = await connect()
    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish(new_events(0, 2))
        await take(inbox, ["id-0", "id-1"])
    await broker.publish(new_events(2, 5))
    await broker.close()
    await restart()

    again = await connect()
    async with again.subscribe(["**"], group="g") as inbox:
        left = ids_of(new_events(2, 5))
        arrived = [*await take(inbox, left if capabilities.durable else ()), *await take_until_marked(again, inbox)]

    kept = sorted(set(ids_of(arrived)) & set(ids_of(new_events(0, 5))))
    expected = left if capabilities.durable else []
    assert kept == expected, f"durable={capabilities.durable} is claimed, and after a restart {kept} arrived"


async def _works(broker: Broker) -> bool:
    """Can it be used? If not, it has to say so in our words, and at once."""
    try:
        async with within("an answer of a closed broker"):
            await broker.publish([new_event(1)])
    except TidingsError:
        return False
    return True
