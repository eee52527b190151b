"""What a RabbitMQ lacks of what is wanted, and what a URL may say."""

import sys
from collections.abc import AsyncIterator, Sequence

import aiormq
import pytest

from tests.brokers.another import rabbitmq_client
from tests.brokers.words import own_name, url_of
from tests.servers.rabbitmq import RabbitmqServer
from tidings.brokers import Broker, Difference, Wanted, connect
from tidings.errors import BrokerError, BrokerUnreachable, ConfigurationError, MissingExtra
from tidings.testing.broker_conformance.words import arrived_ids, new_event, new_events, take, within

WANTED = Wanted(("order", "stock"), (("shop", ("order:*",)),))


@pytest.fixture
def prefix() -> str:
    return f"{own_name()}."


@pytest.fixture
async def broker(rabbitmq_server: RabbitmqServer, prefix: str) -> AsyncIterator[Broker]:
    broker = await connect(url_of(rabbitmq_server, prefix=prefix, session=2, partitions=2))
    yield broker
    await broker.close()


def states(found: Sequence[Difference]) -> list[tuple[str, str]]:
    return [(each.what, each.state) for each in found]


async def test_what_is_missing_is_told_and_made_when_asked_for_and_then_is_there(broker: Broker, prefix: str) -> None:
    names = [f"exchange {prefix}events", "group shop"]

    assert states(await broker.setup(WANTED, apply=False)) == [(name, "missing") for name in names]
    assert states(await broker.setup(WANTED, apply=True)) == [(name, "created") for name in names]
    assert states(await broker.setup(WANTED, apply=True)) == []


async def test_a_group_that_was_set_up_hears_what_came_before_its_first_member(broker: Broker) -> None:
    await broker.setup(WANTED, apply=True)
    await broker.publish([new_event(0)])

    assert [(each.group, each.lag, each.members) for each in await broker.groups()] == [("shop", 1, 0)]
    async with broker.subscribe(["order:*"], group="shop", start="latest") as inbox, within("the event"):
        assert arrived_ids(await inbox.receive()) == ["id-0"]


async def test_another_number_of_partitions_is_told_and_the_one_there_counts(
    broker: Broker, rabbitmq_server: RabbitmqServer, prefix: str
) -> None:
    other = await connect(url_of(rabbitmq_server, prefix=prefix, session=2, partitions=5))
    await broker.setup(WANTED, apply=True)

    [events] = await other.setup(WANTED, apply=True)
    async with broker.subscribe(["**"], group="g") as inbox:
        await other.publish([new_event(number, key=str(number)) for number in range(50)])
        arrived = await take(inbox, [f"id-{number}" for number in range(50)])
    await other.close()

    assert events.state == "differs"
    assert events.detail.startswith("5 partitions wanted, 2 found")
    assert len(arrived) == 50


async def test_a_queue_of_another_kind_in_the_way_is_told_and_left_alone(
    broker: Broker, rabbitmq_server: RabbitmqServer, prefix: str
) -> None:
    await broker.setup(Wanted(()), apply=True)
    async with rabbitmq_client(rabbitmq_server) as channel:
        await channel.queue_declare(f"{prefix}group.shop.0", durable=True)

    [group] = await broker.setup(WANTED, apply=True)
    with pytest.raises(BrokerError, match=r"group\.shop\.0"):
        async with broker.subscribe(["**"], group="shop"):
            pass

    assert (group.what, group.state) == ("group shop", "differs")
    assert "inequivalent arg" in group.detail


async def test_a_deleted_queue_is_noticed_and_made_again(
    broker: Broker, rabbitmq_server: RabbitmqServer, prefix: str
) -> None:
    async with broker.subscribe(["**"], group="g") as inbox, within("the notice"):
        async with rabbitmq_client(rabbitmq_server) as channel:
            await channel.queue_delete(f"{prefix}group.g.0")
        with pytest.raises(BrokerError, match="deleted"):
            await inbox.receive()

    async with broker.subscribe(["**"], group="g") as inbox:
        events = [new_event(number, key=str(number)) for number in range(20)]
        await broker.publish(events)
        assert len(await take(inbox, [event.id for event in events])) == 20


async def test_what_cannot_be_given_up_safely_is_not_settled(
    broker: Broker, rabbitmq_server: RabbitmqServer, prefix: str
) -> None:
    async with broker.subscribe(["**"], group="g") as inbox, within("the event"):
        await broker.publish([new_event(0)])
        [arrival] = await inbox.receive()
        async with rabbitmq_client(rabbitmq_server) as channel:
            await channel.queue_delete(f"{prefix}dead.g")
        with pytest.raises(BrokerError, match=r"dead\.g.* is gone"):
            await inbox.reject(arrival, "no")
    async with broker.subscribe(["**"], group="g") as inbox, within("the event"):
        [arrival] = await inbox.receive()
        await inbox.reject(arrival, "no")

    assert [letter.event.id for letter in await broker.letters()] == ["id-0"]


async def test_a_listener_leaves_nothing_behind(broker: Broker, rabbitmq_server: RabbitmqServer) -> None:
    async with broker.subscribe(["**"], group=None) as inbox, within("the events"):
        queue = inbox._readers[0]._queue  # type: ignore[attr-defined]  # nobody else is told how it is called
        await broker.publish(new_events(0, 2))
        await take(inbox, ["id-0", "id-1"])

    async with rabbitmq_client(rabbitmq_server) as channel:
        with pytest.raises(aiormq.exceptions.ChannelNotFoundEntity):
            await channel.queue_declare(queue, passive=True)
    assert await broker.groups() == []


async def test_systems_with_prefixes_of_their_own_hear_nothing_of_each_other(
    broker: Broker, rabbitmq_server: RabbitmqServer
) -> None:
    other = await connect(url_of(rabbitmq_server, prefix=own_name(), session=2, partitions=2))
    async with broker.subscribe(["**"], group="g") as inbox, other.subscribe(["**"], group="g") as others:
        await other.publish([new_event(0)])
        await broker.publish([new_event(1)])

        assert arrived_ids(await inbox.receive()) == ["id-1"]
        assert arrived_ids(await others.receive()) == ["id-0"]
    await other.close()


async def test_a_name_that_is_too_long_for_a_queue_is_told(broker: Broker) -> None:
    with pytest.raises(ConfigurationError, match="shorten the group's"):
        async with broker.subscribe(["**"], group="g" * 300):
            pass


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("amqp://localhost?partitons=3", "no setting 'partitons'"),
        ("amqp://localhost?partitions=0", "partitions must be above 0"),
        ("amqp://localhost?session=soon", "session='soon' is no number"),
        ("amqp://localhost?prefix=amq.x", "prefix"),
        ("amqp:", "names no server"),
    ],
)
async def test_a_url_that_makes_no_sense_is_refused_before_anything_is_connected(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        await connect(url)


@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
async def test_without_its_library_it_says_what_to_install(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("tidings.brokers.rabbitmq")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aiormq", None)

    with pytest.raises(MissingExtra, match=r"pip install 'tidings\[rabbitmq\]'"):
        await connect(f"{scheme}://localhost")


async def test_a_virtual_host_that_is_not_there_is_told(rabbitmq_server: RabbitmqServer) -> None:
    broker = await connect(f"{rabbitmq_server.url}no%2Fwhere")

    with pytest.raises(BrokerUnreachable, match="virtual host 'no/where'"):
        await broker.publish([new_event(0)])


async def test_a_file_of_the_authority_that_is_not_there_is_told(rabbitmq_server: RabbitmqServer) -> None:
    broker = await connect(f"amqps://127.0.0.1:{rabbitmq_server.port}?ca=/nowhere.pem")

    with pytest.raises(ConfigurationError, match=r"nowhere\.pem"):
        await broker.publish([new_event(0)])
