"""Members of a group on Kafka: one that is slow, one that joins, and one that is hurried out."""

import asyncio
import threading
from asyncio import to_thread

from tests.brokers.words import LIMIT, at_work, insisting, own_name, url_of
from tests.servers.fixtures import FreshServer
from tests.servers.kafka import KafkaServer
from tidings.brokers import connect
from tidings.brokers.channels import partition_of
from tidings.errors import BrokerError
from tidings.testing.broker_conformance.words import new_event, new_events, within


async def test_a_member_that_is_slow_neither_blocks_others_from_joining_nor_keeps_its_partitions(
    kafka_server: KafkaServer,
) -> None:
    url = url_of(kafka_server, prefix=f"{own_name()}.", partitions=6, session=1, discovery=0.1)
    broker, other = await connect(url), await connect(url)
    events = new_events(0, 60)
    async with broker.subscribe(["order:*"], group="g", prefetch=10) as slow:
        await broker.publish(events)
        held = await slow.receive()
        async with other.subscribe(["order:*"], group="g") as quick:
            seen: set[str] = set()
            async with within("what is not held by the first", lambda: len(seen)):
                while not seen:
                    arrivals = await quick.receive()
                    seen |= {each.event.id for each in arrivals}
                    await quick.settle(arrivals)
            await slow.settle(held)  # some are not its own any more, which is no matter
            assert seen
    await broker.close()
    await other.close()


def threads() -> set[threading.Thread]:
    """Those of members."""
    return {each for each in threading.enumerate() if each.name == "tidings-kafka-inbox"}


async def none_left(before: set[threading.Thread]) -> None:
    """Those that are new end soon."""
    left = threads() - before
    for each in left:
        await to_thread(each.join, LIMIT)
    assert not [each for each in left if each.is_alive()]


async def test_who_joins_comes_to_as_many_partitions_of_a_topic_as_who_was_there(kafka_server: KafkaServer) -> None:
    """Whatever else the group reads: its topic of what it hears again is no share of the work."""
    url = url_of(kafka_server, prefix=f"{own_name()}.", partitions=8, session=1, discovery=0.1)
    brokers, news = [await connect(url) for _ in range(2)], asyncio.Event()
    heard: list[set[str]] = [set(), set()]

    async def receive(number: int) -> None:
        async with brokers[number].subscribe(["order:*"], group="g") as inbox:
            while True:
                arrivals = await inbox.receive()
                heard[number] |= {str(each.event.key) for each in arrivals}
                await inbox.settle(arrivals)
                news.set()

    async def shared(round: int) -> list[int]:
        """An event for each partition is published; how many of them each member hears."""
        keys = {partition_of(f"{round}.{number}", 8): f"{round}.{number}" for number in range(200)}
        for each in heard:
            each.clear()
        await brokers[0].publish([new_event(round, key=key) for key in keys.values()])
        while heard[0] | heard[1] < set(keys.values()):
            news.clear()
            await news.wait()
        return [len(each) for each in heard]

    async with at_work(receive(0)):
        async with within("the first member's work"):
            await shared(0)
        async with at_work(receive(1)), within("an even share", lambda: heard):
            for round in range(1, 10_000):
                if await shared(round) == [4, 4]:
                    break
    for broker in brokers:
        await broker.close()

    assert [len(each) for each in heard] == [4, 4]


async def test_a_member_that_is_told_twice_to_leave_leaves_no_thread_behind(kafka_server: KafkaServer) -> None:
    broker = await connect(url_of(kafka_server, prefix=f"{own_name()}.", session=1, discovery=0.1))
    before, reading = threads(), asyncio.Event()

    async def read() -> None:
        async with broker.subscribe(["order:*"], group="g") as inbox:
            reading.set()
            await inbox.receive()

    task = asyncio.create_task(read())
    await reading.wait()
    for _ in range(2):  # whoever is told again does not wait for the end
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([task])
    closing = asyncio.create_task(broker.close())
    closing.cancel()
    await asyncio.wait([closing])
    await broker.close()

    await none_left(before)


async def test_who_leaves_a_frozen_server_with_a_commit_on_its_way_waits_no_longer_than_it_may(
    fresh_server: FreshServer,
) -> None:
    server = await to_thread(fresh_server, KafkaServer)
    broker = await connect(url_of(server, prefix=f"{own_name()}.", timeout=3, session=6, discovery=0.1))
    await insisting(lambda: broker.publish(new_events(0, 10)))
    before = threads()
    async with broker.subscribe(["order:*"], group="g") as inbox:
        arrivals = await inbox.receive()
        await to_thread(server.pause)
        settling = asyncio.create_task(inbox.settle(arrivals))
        await asyncio.sleep(0)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 2 * 3
    settling.cancel()
    await asyncio.wait([settling])
    await to_thread(server.resume)

    await none_left(before)
    await broker.close()


async def test_who_closes_the_broker_while_a_member_joins_keeps_it_waiting_for_nothing(
    kafka_server: KafkaServer,
) -> None:
    broker = await connect(url_of(kafka_server, prefix=f"{own_name()}.", discovery=0.1))

    async def join() -> None:
        async with broker.subscribe(["order:*"], group="g") as inbox:
            await inbox.receive()

    for steps in range(1, 9):
        joining = asyncio.create_task(join())
        for _ in range(steps):
            await asyncio.sleep(0)
        await broker.close()
        async with within("the end of the member"):
            await asyncio.wait([joining])
        assert isinstance(joining.exception(), BrokerError)
