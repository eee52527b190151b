"""What a NATS server lacks, what a URL may say, and what is left behind and what never."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tests.brokers.another import nats_client
from tests.brokers.words import own_name, url_of
from tests.servers.nats import NatsServer
from tidings.brokers import Broker, Channels, Difference, Wanted, connect
from tidings.errors import BrokerError, BrokerUnreachable, ConfigurationError, MissingExtra, NotSupported
from tidings.events import Event
from tidings.testing.broker_conformance.words import arrived_ids, ids_of, new_event, new_events, take, within

WANTED = Wanted(("order", "stock"), (("shop", ("order:*",)),))


@pytest.fixture
def prefix() -> str:
    return own_name()


@pytest.fixture
async def broker(nats_server: NatsServer, prefix: str) -> AsyncIterator[Broker]:
    broker = await connect(url_of(nats_server, prefix=prefix, partitions=2))
    yield broker
    await broker.close()


async def streams(server: NatsServer, prefix: str) -> set[str]:
    """What follows the prefix in the names of streams, and of their consumers."""
    async with nats_client(server) as client:
        found: set[str] = set()
        for stream in await client.jetstream(timeout=20).streams_info():
            if stream.config.name is not None and stream.config.name.startswith(prefix):
                name = stream.config.name.removeprefix(prefix)
                infos = await client.jetstream(timeout=20).consumers_info(stream.config.name)
                found |= {name, *(f"{name} {info.name}" for info in infos)}
        return found


def states(found: Sequence[Difference]) -> list[tuple[str, str]]:
    return [(each.what, each.state) for each in found]


async def test_what_is_missing_is_told_and_made_when_asked_for_and_then_is_there(broker: Broker, prefix: str) -> None:
    names = [f"stream {prefix}_order", f"stream {prefix}_stock", "group shop"]

    assert states(await broker.setup(WANTED, apply=False)) == [(name, "missing") for name in names]
    assert states(await broker.setup(WANTED, apply=True)) == [(name, "created") for name in names]
    assert states(await broker.setup(WANTED, apply=True)) == []


async def test_what_differs_is_told_and_left_as_it_is(broker: Broker, nats_server: NatsServer, prefix: str) -> None:
    other = await connect(url_of(nats_server, prefix=prefix, partitions=3, retain="7d", window=60))
    await broker.setup(Wanted(("order",)), apply=True)

    found = await other.setup(Wanted(("order",)), apply=True)
    await other.publish([new_event(number, key=str(number)) for number in range(50)])
    await other.close()

    assert {each.state for each in found} == {"differs"}
    assert [each.detail.partition(":")[0] for each in found] == [
        "3 partitions wanted, 2 found",
        "max_age 604800 wanted, 0 found",
        "duplicate_window 60 wanted, 120 found",
    ]
    async with broker.subscribe(["**"], group="g") as inbox:
        assert len(await take(inbox, ids_of(new_events(0, 50)))) == 50


async def test_a_stream_of_somebody_else_is_not_taken_for_a_channel(
    broker: Broker, nats_server: NatsServer, prefix: str
) -> None:
    async with nats_client(nats_server) as client:
        await client.jetstream(timeout=20).add_stream(name=f"{prefix}_order", subjects=[f"{prefix}.order.>"])

    with pytest.raises(BrokerError, match="none of tidings'"):
        await broker.publish([new_event(0)])


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nats://localhost?partitons=3", "no setting 'partitons'"),
        ("nats://localhost?partitions=0", "partitions has to be more than 0"),
        ("nats://localhost?session=soon", "session='soon' is no number"),
        ("nats://localhost?retain=often", "often"),
        ("nats://localhost?prefix=", "prefix may not be empty"),
        ("nats://localhost?jetstream=no&retain=7d", "no setting 'retain'"),
        ("nats://localhost?jetstream=perhaps", "'perhaps' is neither yes nor no"),
        ("nats:", "names no server"),
    ],
)
async def test_a_url_that_makes_no_sense_is_refused_before_anything_is_connected(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        await connect(url)


async def test_without_the_library_for_credentials_it_says_what_to_install(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "shop.creds"
    await asyncio.to_thread(file.write_text, "-----BEGIN JWT\na.b\n-----END JWT\n-----BEGIN SEED\nSU\n-----END SEED\n")
    monkeypatch.setitem(sys.modules, "nkeys", None)
    broker = await connect(f"{nats_server.url}?credentials={file}")

    with pytest.raises(MissingExtra, match=r"pip install 'tidings\[nats\]'"):
        await broker.publish([new_event(0)])


async def test_systems_with_prefixes_of_their_own_hear_nothing_of_each_other(
    broker: Broker, nats_server: NatsServer, prefix: str
) -> None:
    for strange in (f"{prefix}_order", f"{prefix}.order", f"{prefix}-letters", f"{prefix}*"):
        other = await connect(url_of(nats_server, prefix=strange, partitions=1))
        async with broker.subscribe(["**"], group="g") as inbox, other.subscribe(["**"], group="g") as others:
            await other.publish([new_event(0)])
            await broker.publish([Event(id=strange, source="shop", type="order:created")])

            assert arrived_ids(await inbox.receive()) == [strange]
            await inbox.settle()
            assert arrived_ids(await others.receive()) == ["id-0"]
        assert [standing.group for standing in await broker.groups()] == ["g"]
        await other.close()


async def test_a_listener_leaves_nothing_behind(broker: Broker, nats_server: NatsServer, prefix: str) -> None:
    await broker.publish([new_event(0)])
    before = await streams(nats_server, prefix)

    async with broker.subscribe(["**"], group=None) as inbox:
        await broker.publish([new_event(1), new_event(2, type="stock:reserved")])
        await take(inbox, ["id-1", "id-2"])

    assert await streams(nats_server, prefix) == {*before, "_stock"}


async def test_a_member_that_left_is_a_member_no_more(broker: Broker, nats_server: NatsServer, prefix: str) -> None:
    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish([new_event(0)])
        await take(inbox, ["id-0"])
        assert [(each.group, each.members) for each in await broker.groups()] == [("g", 1)]

    [standing] = await broker.groups()
    assert (standing.group, standing.lag, standing.members, standing.dead) == ("g", 0, 0, 0)
    assert {each for each in await streams(nats_server, prefix) if each.startswith("-groups ")} == set()


async def test_what_is_not_for_a_group_is_settled_at_once_and_counts_no_more(broker: Broker) -> None:
    async with broker.subscribe(["order:paid"], group="g") as inbox, within("no lag"):
        receiving = asyncio.ensure_future(inbox.receive())
        await broker.publish(new_events(0, 20))
        while [(each.group, each.lag) for each in await broker.groups()] != [("g", 0)]:
            pass
        assert not receiving.done()
        receiving.cancel()
        await asyncio.wait([receiving])


async def test_a_channel_is_called_as_is_said_and_is_heard_where_it_is_said(
    nats_server: NatsServer, prefix: str
) -> None:
    channels = Channels({"order:paid": "money.in/out"})
    broker = await connect(url_of(nats_server, prefix=prefix, partitions=1), channels=channels)
    async with broker.subscribe(["order:paid"], group="g") as inbox:
        await broker.publish([new_event(0), new_event(1, type="order:paid")])
        await take(inbox, ["id-1"])
        assert {"_money=2Ein=2Fout", "_order"} < await streams(nats_server, prefix)
    await broker.close()


async def test_what_takes_longer_than_the_servers_patience_is_not_handed_over_again(
    nats_server: NatsServer, prefix: str
) -> None:
    broker = await connect(url_of(nats_server, prefix=prefix, partitions=1, session=0.4))
    async with broker.subscribe(["**"], group="g") as inbox, broker.subscribe(["**"], group=None) as other:
        await broker.publish([new_event(0, key="k")])
        for each in (inbox, other):
            await take(each, ["id-0"], settles=False)
        again = [asyncio.ensure_future(each.receive()) for each in (inbox, other)]
        await asyncio.wait(again, timeout=1.5)  # several times the patience
        assert [each.done() for each in again] == [False, False]
        await broker.publish([new_event(1, key="k")])
        async with within("the next event"):
            assert [arrived_ids(each) for each in await asyncio.gather(*again)] == [["id-1"], ["id-1"]]
    await broker.close()


async def test_an_inbox_whose_broker_was_closed_says_so_and_connects_no_more(broker: Broker) -> None:
    async with broker.subscribe(["**"], group="g") as inbox, within("the event"):
        await broker.publish([new_event(0)])
        arrivals = await inbox.receive()
        await broker.close()
        for refused in (inbox.receive(), inbox.settle(arrivals), inbox.reject(arrivals[0], "late")):
            with pytest.raises(BrokerUnreachable, match="was closed"):
                await refused


async def test_without_jetstream_nothing_is_asked_that_only_it_can(nats_server: NatsServer, prefix: str) -> None:
    broker = await connect(url_of(nats_server, prefix=prefix, jetstream="no"))
    async with broker.subscribe(["**"], group="g") as inbox, within("the event"):
        await broker.publish([new_event(0)])
        [arrival] = await inbox.receive()
        for refused in (inbox.retry(arrival, 1), inbox.reject(arrival, "no"), broker.letters(), broker.groups()):
            with pytest.raises(NotSupported):
                await refused
    assert await broker.setup(WANTED, apply=True) == []
    assert await streams(nats_server, prefix) == set()
    await broker.close()


async def test_who_falls_behind_without_jetstream_is_waited_for(nats_server: NatsServer, prefix: str) -> None:
    broker = await connect(url_of(nats_server, prefix=prefix, jetstream="no"))
    got: list[str] = []
    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish(new_events(0, 25_000))
        async with within("all events", lambda: len(got)):
            while len(got) < 25_000:
                got += arrived_ids(await inbox.receive())
                await inbox.settle()
    await broker.close()

    assert got == ids_of(new_events(0, 25_000))
