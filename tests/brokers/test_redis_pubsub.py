"""What Redis publish/subscribe does, which keeps nothing, and what it cannot do."""

from urllib.parse import parse_qs

import pytest

from tests.brokers.another import RedisClient
from tests.brokers.carriers import those
from tests.servers.redis import RedisServer
from tidings.brokers import Wanted
from tidings.errors import NotSupported
from tidings.testing.broker_conformance.words import Connect, ids_of, new_event, take, take_arrivals

ONLY = those(lambda carrier: carrier.name == "redis+pubsub")


@ONLY
async def test_members_of_a_group_each_hear_everything_and_what_nobody_heard_is_gone(
    connect: Connect,
) -> None:
    broker = await connect()
    await broker.publish([new_event(0)])

    async with broker.subscribe(["**"], group="g") as first, broker.subscribe(["order:*"], group="g") as second:
        await broker.publish([new_event(1), new_event(2)])
        heard = [await take(inbox, ["id-1", "id-2"]) for inbox in (first, second)]

    assert [ids_of(events) for events in heard] == [["id-1", "id-2"]] * 2


@ONLY
async def test_what_it_cannot_do_it_says_in_a_sentence(connect: Connect) -> None:
    broker = await connect()
    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish([new_event(0)])
        [arrival] = await inbox.receive()
        for refused in (
            inbox.retry(arrival, 1),
            inbox.reject(arrival, "no"),
            broker.letters(),
            broker.groups(),
        ):
            with pytest.raises(NotSupported, match="cannot"):
                await refused
    assert await broker.setup(Wanted(("order",)), apply=True) == []


@ONLY
async def test_a_reader_that_is_slow_misses_nothing_while_the_server_can_wait_for_it(
    connect: Connect,
) -> None:
    broker = await connect()
    text = "x" * 1000
    async with broker.subscribe(["**"], group="g", prefetch=10) as inbox:
        for start in range(0, 4000, 500):
            await broker.publish([new_event(number, data=text) for number in range(start, start + 500)])
        arrived = ids_of(await take(inbox, [f"id-{number}" for number in range(4000)]))

    assert arrived == [f"id-{number}" for number in range(4000)]


@ONLY
async def test_a_message_nobody_can_read_is_handed_over_as_such_and_stops_nothing(
    connect: Connect, redis_server: RedisServer, url: str
) -> None:
    broker, prefix = await connect(), parse_qs(url.partition("?")[2])["prefix"][0]
    async with broker.subscribe(["order:created"], group="g") as inbox:
        await RedisClient(redis_server).publish(f"{prefix}order", b"\xff")
        await broker.publish([new_event(1)])
        arrivals = await take_arrivals(inbox, ["id-1"])

    assert [(each.event.type, each.event.data) for each in arrivals[:1]] == [("tidings:unreadable", b"\xff")]
    assert arrivals[0].failure is not None
