"""Members of a group on Kafka: one that is slow, and one that joins."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine

from tests.brokers.words import own_name, url_of
from tests.servers.kafka import KafkaServer
from tidings.brokers import connect
from tidings.brokers.channels import partition_of
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


@contextlib.asynccontextmanager
async def at_work(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """It goes on while the block does."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


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
