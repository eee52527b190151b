"""What a Redis server lacks and what its settings are worth, what a URL may say, and what is trimmed and what never."""

import asyncio
import sys
from asyncio import to_thread
from collections.abc import AsyncIterator, Sequence
from functools import partial

import pytest

from tests.brokers.another import RedisClient
from tests.brokers.words import LIMIT, own_name, url_of
from tests.servers.fixtures import FreshServer
from tests.servers.redis import RedisServer
from tidings.brokers import Arrival, Broker, Difference, Inbox, Wanted, connect
from tidings.errors import ConfigurationError, Fenced, MissingExtra
from tidings.events import Event
from tidings.testing.broker_conformance.words import arrived_ids, new_event, new_events, take, within

WANTED = Wanted(("order", "stock"), (("shop", ("order:*",)),))


@pytest.fixture
def prefix() -> str:
    return f"{own_name()}:"


@pytest.fixture
async def broker(redis_server: RedisServer, prefix: str) -> AsyncIterator[Broker]:
    broker = await connect(url_of(redis_server, prefix=prefix, partitions=2))
    yield broker
    await broker.close()


def states(found: Sequence[Difference]) -> list[tuple[str, str]]:
    return [(each.what, each.state) for each in found]


async def test_what_is_missing_is_told_and_made_when_asked_for_and_then_is_there(broker: Broker) -> None:
    names = ["streams of channel order", "streams of channel stock", "group shop"]

    assert states(await broker.setup(WANTED, apply=False)) == [(name, "missing") for name in names]
    assert states(await broker.setup(WANTED, apply=True)) == [(name, "created") for name in names]
    assert states(await broker.setup(WANTED, apply=True)) == []


async def test_another_number_of_partitions_is_told_and_the_one_there_counts(
    broker: Broker, redis_server: RedisServer, prefix: str
) -> None:
    other = await connect(url_of(redis_server, prefix=prefix, partitions=3))
    await broker.setup(WANTED, apply=True)

    [order, stock] = await other.setup(WANTED, apply=True)
    await other.publish([new_event(number, key=str(number)) for number in range(50)])
    await other.close()

    assert (order.state, stock.state) == ("differs", "differs")
    assert order.detail.startswith("3 partitions wanted, 2 found")
    assert len(await RedisClient(redis_server).keys(f"{prefix}stream:order:*")) == 2


async def test_settings_of_the_server_that_lose_what_was_acknowledged_are_told(fresh_server: FreshServer) -> None:
    server = await to_thread(fresh_server, RedisServer)
    broker, other = await connect(url_of(server, prefix="")), RedisClient(server)

    async def told(**settings: str) -> list[str]:
        for name, value in settings.items():
            await other.config_set(name, value)
        return [f"{each.what}: {each.detail}" for each in await broker.setup(Wanted(()), apply=True)]

    assert await told() == []
    [everysec] = await told(appendfsync="everysec")
    [never] = await told(appendonly="no")
    [_, evicts] = await told(**{"maxmemory-policy": "allkeys-lru"})
    await broker.close()

    assert everysec.startswith("server appendfsync: everysec: acknowledged events may be lost")
    assert never.startswith("server appendonly: no: acknowledged events are lost when the server ends")
    assert evicts.startswith("server maxmemory-policy: allkeys-lru: it removes streams")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://localhost/shop", "'shop' is no database"),
        ("redis://localhost?partitons=3", "no setting 'partitons'"),
        ("redis://localhost?partitions=0", "partitions has to be more than 0"),
        ("redis://localhost?session=soon", "session='soon' is no number"),
        ("redis://localhost?retain=often", "often"),
        ("redis+pubsub://localhost?retain=7d", "no setting 'retain'"),
        ("redis:", "names no server"),
    ],
)
async def test_a_url_that_makes_no_sense_is_refused_before_anything_is_connected(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        await connect(url)


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+pubsub", "rediss+pubsub"])
async def test_without_its_library_it_says_what_to_install(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hiredis", None)

    with pytest.raises(MissingExtra, match=r"pip install 'tidings\[redis\]'"):
        await connect(f"{scheme}://localhost")


async def test_systems_with_prefixes_of_their_own_hear_nothing_of_each_other(
    broker: Broker, redis_server: RedisServer
) -> None:
    other = await connect(url_of(redis_server, prefix=f"{own_name()}:"))
    async with broker.subscribe(["**"], group="g") as inbox, other.subscribe(["**"], group="g") as others:
        await other.publish([new_event(0)])
        await broker.publish([new_event(1)])

        assert arrived_ids(await inbox.receive()) == ["id-1"]
        assert arrived_ids(await others.receive()) == ["id-0"]
    assert [standing.group for standing in await broker.groups()] == ["g"]
    await other.close()


async def test_a_listener_leaves_nothing_behind(broker: Broker, redis_server: RedisServer, prefix: str) -> None:
    other = RedisClient(redis_server)
    await broker.publish([new_event(0)])
    before = sorted(await other.keys(f"{prefix}*"))

    async with broker.subscribe(["**"], group=None) as inbox, within("the event of a new channel"):
        await broker.publish([new_event(1), new_event(2, type="stock:reserved")])
        await take(inbox, ["id-1", "id-2"])

    assert set(await other.keys(f"{prefix}*")) - set(before) == {
        f"{prefix}stream:stock:{number}".encode() for number in range(2)
    }


async def test_a_member_that_left_leaves_nothing_of_itself(
    broker: Broker, redis_server: RedisServer, prefix: str
) -> None:
    async with broker.subscribe(["**"], group="g") as inbox:
        await broker.publish([new_event(0)])
        await take(inbox, ["id-0"])

    left = [await RedisClient(redis_server).keys(f"{prefix}{what}") for what in ("guard:*", "owners:*", "members:*")]
    assert left == [[], [], []]


async def test_what_is_not_for_a_group_is_settled_at_once_and_counts_no_more(
    broker: Broker, redis_server: RedisServer, prefix: str
) -> None:
    reader = await connect(url_of(redis_server, prefix=prefix))
    async with reader.subscribe(["order:paid"], group="g") as inbox, within("no lag"):
        receiving = asyncio.ensure_future(inbox.receive())
        await broker.publish(new_events(0, 20))
        while [(each.group, each.lag) for each in await broker.groups()] != [("g", 0)]:
            pass
        assert not receiving.done()
        receiving.cancel()
        await asyncio.wait([receiving])
    await reader.close()


async def test_an_inbox_whose_broker_was_closed_says_so_and_connects_no_more(
    broker: Broker, redis_server: RedisServer, prefix: str
) -> None:
    other = RedisClient(redis_server)
    async with broker.subscribe(["**"], group="g") as inbox, within("the event"):
        await broker.publish([new_event(0)])
        arrivals = await inbox.receive()
        await broker.close()
        for refused in (inbox.receive(), inbox.settle(arrivals)):
            with pytest.raises(Fenced):
                await refused
    assert await other.keys(f"{prefix}guard:*") == []
    assert [vars(vars(broker)[name])["_link"] for name in ("_wire", "_signs")] == [None, None]


class Trimmed:
    """A connection that keeps a hundred entries, or some time, of a single partition."""

    def __init__(self, server: RedisServer, prefix: str, broker: Broker) -> None:
        self.broker = broker
        self._server = server
        self._stream = f"{prefix}stream:order:0"

    async def fill(self, first: int, end: int) -> None:
        await self.broker.publish(new_events(first, end))

    async def length(self) -> int:
        return int(await RedisClient(self._server).xlen(self._stream))

    async def until_shorter(self, than: int) -> None:
        """A look is taken behind a publish, and once a second at most."""
        async with within("the trimming"):
            while await self.length() >= than:
                await self.broker.publish([Event(source="shop", type="order:noticed")])
                await asyncio.sleep(0.1)


async def settled(inbox: Inbox, count: int) -> list[str]:
    ids: list[str] = []
    async with within(f"{count} events", lambda: len(ids)):
        while len(ids) < count:
            ids += arrived_ids(await inbox.receive(count - len(ids)))
            await inbox.settle()
    return ids


async def test_trimming_stops_at_what_a_group_has_yet_to_receive_or_to_settle(
    redis_server: RedisServer, prefix: str
) -> None:
    broker = await connect(url_of(redis_server, prefix=prefix, partitions=1, retain=100))
    trimmed = Trimmed(redis_server, prefix, broker)
    subscribe = partial(broker.subscribe, ["order:created"])
    async with subscribe(group="slow") as slow, subscribe(group="fast") as fast:
        await trimmed.fill(0, 1000)
        await settled(fast, 1000)
        await settled(slow, 450)
        await trimmed.until_shorter(700)
        assert await trimmed.length() >= 550, "what a group has yet to settle was removed"
        assert await settled(slow, 550) == [f"id-{number}" for number in range(450, 1000)]
        await trimmed.until_shorter(300)
    await broker.close()


async def test_a_group_that_nobody_runs_for_long_holds_nothing(redis_server: RedisServer, prefix: str) -> None:
    broker = await connect(url_of(redis_server, prefix=prefix, partitions=1, retain=100, orphan_after="1s"))
    trimmed = Trimmed(redis_server, prefix, broker)
    async with broker.subscribe(["order:created"], group="old"):
        await trimmed.fill(0, 1000)
    assert await trimmed.length() == 1000, "it was there a moment ago"

    await trimmed.until_shorter(300)
    assert await trimmed.length() >= 100
    await broker.close()


async def test_a_group_that_is_forgotten_holds_nothing_and_leaves_nothing(
    redis_server: RedisServer, prefix: str
) -> None:
    broker, other = await connect(url_of(redis_server, prefix=prefix, retain=100)), RedisClient(redis_server)
    async with broker.subscribe(["order:created"], group="old") as inbox:
        await broker.publish(new_events(0, 3))
        arrivals = await inbox.receive()
        await inbox.reject(arrivals[0], "bad")
    await broker.forget("old")

    assert not [key for key in await other.keys(f"{prefix}*") if key.decode().endswith("old")]
    assert await other.hlen(f"{prefix}groups") == await other.hlen(f"{prefix}seen") == 0
    assert await broker.groups() == []
    await broker.close()


async def test_without_a_group_only_as_much_is_kept_as_is_wanted(redis_server: RedisServer, prefix: str) -> None:
    broker = await connect(url_of(redis_server, prefix=prefix, partitions=1, retain=100))
    trimmed = Trimmed(redis_server, prefix, broker)

    await trimmed.fill(0, 1000)
    await trimmed.until_shorter(300)
    assert await trimmed.length() >= 100
    await broker.close()


async def test_what_is_older_than_wanted_is_trimmed(redis_server: RedisServer, prefix: str) -> None:
    broker = await connect(url_of(redis_server, prefix=prefix, partitions=1, retain="1s"))
    trimmed = Trimmed(redis_server, prefix, broker)

    await trimmed.fill(0, 500)
    assert await trimmed.length() == 500
    await trimmed.until_shorter(400)
    await broker.close()


async def test_lag_counts_what_is_had_again_and_what_is_due_later(broker: Broker) -> None:
    async with broker.subscribe(["**"], group="g") as inbox, within("the events"):
        await broker.publish(new_events(0, 3))
        arrivals: list[Arrival] = []
        while len(arrivals) < 3:
            arrivals += await inbox.receive()
        await inbox.retry(arrivals[0], LIMIT)
        await inbox.reject(arrivals[1], "no")
        [standing] = await broker.groups()
        await inbox.settle([arrivals[2]])
        [settled] = await broker.groups()

    assert (standing.group, standing.lag, standing.members, standing.dead) == ("g", 2, 1, 1)
    assert settled.lag == 1


async def test_dead_letters_are_told_page_by_page(broker: Broker) -> None:
    async with broker.subscribe(["**"], group="g") as inbox, within("the letters"):
        await broker.publish(new_events(0, 600))
        count = 0
        while count < 600:
            arrivals = await inbox.receive()
            for arrival in arrivals:
                await inbox.reject(arrival, f"reason {count}")
                count += 1

    letters = await broker.letters("g")
    assert [letter.reason for letter in letters] == [f"reason {number}" for number in range(600)]
    assert len(await broker.letters()) == 600
