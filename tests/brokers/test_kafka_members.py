"""Members of a group on Kafka: one that is slow."""

from tests.brokers.words import own_name, url_of
from tests.servers.kafka import KafkaServer
from tidings.brokers import connect
from tidings.testing.broker_conformance.words import new_events, within


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
