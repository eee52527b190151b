"""Many calls of publish share sends: who is alone goes at once, order is kept, each fails by itself, none is lost."""

import asyncio
import random
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec
import pytest

from tests.servers.redis import RedisServer
from tidings import App, Event
from tidings.brokers import connect
from tidings.brokers.gathering import MOST_BYTES, MOST_EVENTS, Gathering
from tidings.brokers.log import LogBroker
from tidings.errors import BrokerError, BrokerUnreachable, EventRefused
from tidings.testing.broker_conformance.words import ids_of, new_event, new_events, take, within


class Carrier(LogBroker):
    """A log in memory that remembers what each send was, holds sends up when told to, and may be wrong in some way."""

    def __init__(self) -> None:
        super().__init__(f"memory:{uuid.uuid4().hex}")
        self.sends: list[list[str]] = []
        self.senders: list[asyncio.Task[None] | None] = []
        self.began = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.judge: Callable[[Sequence[Event]], object] = len

    async def publish(self, events: Sequence[Event]) -> None:
        self.sends.append(ids_of(events))
        self.senders.append(asyncio.current_task())
        self.began.set()
        await asyncio.sleep(0)  # as to a server
        await self.may_go_on.wait()
        self.judge(events)
        await super().publish(events)

    async def has_begun(self, count: int) -> None:
        """Return when so many sends are under way, or over."""
        async with within(f"send {count}", lambda: self.sends):
            while len(self.sends) < count:
                self.began.clear()
                await self.began.wait()


@pytest.fixture
async def carrier() -> AsyncIterator[Carrier]:
    carrier = Carrier()
    yield carrier
    await carrier.close()


async def publish_each(gathering: Gathering, events: Sequence[Event]) -> list[BaseException | None]:
    """A call for each of them, all at a time; how each ended."""
    async with within("publishing"):
        return await asyncio.gather(*(gathering.publish([event]) for event in events), return_exceptions=True)


async def begun(carrier: Carrier, gathering: Gathering, events: Sequence[Event]) -> list["asyncio.Task[None]"]:
    """A task for each call, of which the first is held up in its send and the others wait."""
    carrier.may_go_on.clear()
    tasks = [asyncio.create_task(gathering.publish([event])) for event in events]
    await carrier.has_begun(1)
    return tasks


async def recorded(carrier: Carrier, ids: Sequence[str]) -> list[str]:
    """What arrives until these have."""
    async with carrier.subscribe(["**"], group="g") as inbox:
        return ids_of(await take(inbox, ids))


async def test_who_is_alone_is_sent_at_once_in_its_own_task(carrier: Carrier) -> None:
    gathering = Gathering(carrier)

    for event in new_events(0, 3):
        await gathering.publish([event])

    assert carrier.sends == [["id-0"], ["id-1"], ["id-2"]]
    assert carrier.senders == [asyncio.current_task()] * 3


async def test_who_comes_meanwhile_shares_the_next_send(carrier: Carrier) -> None:
    events = new_events(0, 50)

    ended = await publish_each(Gathering(carrier), events)

    assert ended == [None] * 50
    assert carrier.sends == [["id-0"], ids_of(events[1:])]
    assert await recorded(carrier, ids_of(events)) == ids_of(events)


async def test_a_send_has_a_most_of_events_and_of_bytes_but_no_call_is_parted(carrier: Carrier) -> None:
    large = msgspec.Raw(msgspec.json.encode("x" * (MOST_BYTES // 3)))
    small, heavy = new_events(0, MOST_EVENTS + 2), new_events(MOST_EVENTS + 2, MOST_EVENTS + 7, data=large)
    batch = new_events(5000, 5000 + 2 * MOST_EVENTS)
    gathering = Gathering(carrier)

    async with within("publishing"):
        calls = [*([event] for event in (*small, *heavy)), batch]
        await asyncio.gather(*(gathering.publish(events) for events in calls))

    assert [len(send) for send in carrier.sends] == [1, MOST_EVENTS, 1 + 2, 2, 1, 2 * MOST_EVENTS]


async def test_an_event_that_is_refused_is_told_to_its_caller_alone(carrier: Carrier) -> None:
    refused = {"id-3", "id-7", "id-9"}

    def judge(events: Sequence[Event]) -> None:
        for event in events:
            if event.id in refused:
                raise EventRefused(event.id, "it is too large")

    carrier.judge = judge
    events = new_events(0, 10)

    ended = await publish_each(Gathering(carrier), events)

    assert {event.id for event, error in zip(events, ended, strict=True) if error} == refused
    assert [error.event_id for error in ended if isinstance(error, EventRefused)] == ["id-3", "id-7", "id-9"]
    others = [id for id in ids_of(events) if id not in refused]
    assert await recorded(carrier, others) == others


async def test_an_error_that_names_no_event_concerns_only_those_who_meet_it_again(carrier: Carrier) -> None:
    def judge(events: Sequence[Event]) -> None:
        if any(event.type == "secret:told" for event in events):
            raise BrokerError("the channel 'secret' is forbidden")

    carrier.judge = judge
    events = [new_event(n, type="secret:told" if n % 3 == 2 else "order:created") for n in range(9)]

    ended = await publish_each(Gathering(carrier), events)

    assert [number for number, error in enumerate(ended) if error] == [2, 5, 8]
    assert await recorded(carrier, ["id-7"]) == ["id-0", "id-1", "id-3", "id-4", "id-6", "id-7"]


async def test_when_the_carrier_is_away_all_who_wait_are_told_by_one_send(carrier: Carrier) -> None:
    def judge(events: Sequence[Event]) -> None:
        raise BrokerUnreachable(carrier.url, "it does not answer")

    gathering = Gathering(carrier)
    carrier.judge = judge

    ended = await publish_each(gathering, new_events(0, 2 * MOST_EVENTS))

    assert {type(error) for error in ended} == {BrokerUnreachable}
    assert len({id(error) for error in ended}) == len(ended), "callers share an exception, and its traceback"
    assert carrier.sends == [["id-0"]]
    carrier.judge = len
    await gathering.publish([new_event(5000)])
    assert await recorded(carrier, ["id-5000"]) == ["id-5000"]


async def test_a_carrier_that_goes_away_under_a_shared_send_tells_all_who_wait(carrier: Carrier) -> None:
    def judge(events: Sequence[Event]) -> None:
        if len(events) > 1:
            raise BrokerUnreachable(carrier.url, "it does not answer")

    carrier.judge = judge

    ended = await publish_each(Gathering(carrier), new_events(0, 2 * MOST_EVENTS))

    assert ended[0] is None
    assert {type(error) for error in ended[1:]} == {BrokerUnreachable}
    assert len(carrier.sends) == 2


async def test_a_call_that_is_cancelled_while_it_waits_is_not_sent(carrier: Carrier) -> None:
    events = new_events(0, 5)
    tasks = await begun(carrier, Gathering(carrier), events)

    tasks[2].cancel()
    await asyncio.wait([tasks[2]])
    carrier.may_go_on.set()
    async with within("publishing"):
        await asyncio.wait(tasks)

    assert tasks[2].cancelled()
    assert carrier.sends == [["id-0"], ["id-1", "id-3", "id-4"]]


async def test_a_call_that_is_cancelled_in_a_shared_send_leaves_the_others_alone(carrier: Carrier) -> None:
    events = new_events(0, 5)
    tasks = await begun(carrier, Gathering(carrier), events)

    tasks[0].cancel()  # which was sending for itself
    await carrier.has_begun(2)
    tasks[3].cancel()
    carrier.may_go_on.set()
    async with within("publishing"):
        await asyncio.wait(tasks)

    assert [task.cancelled() for task in tasks] == [True, False, False, True, False]
    assert carrier.sends[1:] == [ids_of(events[1:])]
    assert await recorded(carrier, ids_of(events[1:])) == ids_of(events[1:])


async def test_closing_waits_until_all_are_answered(carrier: Carrier) -> None:
    events = new_events(0, 5)
    gathering = Gathering(carrier)
    tasks = await begun(carrier, gathering, events)

    closing = asyncio.create_task(gathering.close())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not closing.done()
    carrier.may_go_on.set()
    async with within("closing"):
        await closing

    assert await recorded(carrier, ids_of(events)) == ids_of(events)
    async with within("publishing"):
        assert await asyncio.gather(*tasks) == [None] * 5


async def test_who_waits_on_a_loop_that_ends_is_cancelled_and_not_left_waiting(carrier: Carrier) -> None:
    gathering = Gathering(carrier)
    tasks = await begun(carrier, gathering, new_events(0, 3))
    tasks[0].cancel()
    await carrier.has_begun(2)

    sender = carrier.senders[1]
    assert sender is not None
    sender.cancel()
    async with within("its end"):
        await asyncio.wait(tasks)

    assert all(task.cancelled() for task in tasks)
    carrier.may_go_on.set()
    await gathering.publish([new_event(9)])


async def test_each_callers_events_keep_their_order_whatever_is_refused(carrier: Carrier, seed: int) -> None:
    chance = random.Random(seed)
    refused = {f"id-{number}" for number in chance.sample(range(400), 40)}

    def judge(events: Sequence[Event]) -> None:
        for event in events:
            if event.id in refused:
                raise EventRefused(event.id, "it is too large")

    carrier.judge = judge
    gathering = Gathering(carrier)

    async def call(number: int) -> None:
        """Twenty events of one key, in calls that are awaited, or made at a time."""
        left = new_events(number * 20, number * 20 + 20, key=f"k{number}")
        while left:
            count = chance.randrange(1, 4)
            now, left = left[:count], left[count:]
            await asyncio.gather(*(gathering.publish([event]) for event in now), return_exceptions=True)

    async with within("publishing"):
        await asyncio.gather(*(call(number) for number in range(20)))

    wanted = [id for id in ids_of(new_events(0, 400)) if id not in refused]
    by_caller = defaultdict[int, list[int]](list)
    for id in await recorded(carrier, wanted):
        by_caller[int(id[3:]) // 20].append(int(id[3:]))
    assert sorted(number for those in by_caller.values() for number in those) == sorted(int(id[3:]) for id in wanted)
    assert all(those == sorted(those) for those in by_caller.values())


async def test_an_application_without_a_log_gathers_what_it_publishes(redis_server: RedisServer) -> None:
    url = f"{redis_server.url}?prefix={uuid.uuid4().hex[:8]}."
    broker = await connect(url)
    try:
        async with broker.subscribe(["**"], group="g") as inbox:
            async with App("shop", broker=url) as app, within("publishing"):
                values = [object() if number == 50 else number for number in range(200)]
                calls = [app.publish("order:created", value, key="k") for value in values]
                ended = await asyncio.gather(*calls, return_exceptions=True)
            published = [each for each in ended if isinstance(each, Event)]
            arrived = await take(inbox, ids_of(published))
    finally:
        await broker.close()

    assert [number for number, each in enumerate(ended) if isinstance(each, BaseException)] == [50]
    assert list(dict.fromkeys(ids_of(arrived))) == ids_of(published)


async def test_an_application_that_closes_has_published_what_it_was_given(redis_server: RedisServer) -> None:
    url = f"{redis_server.url}?prefix={uuid.uuid4().hex[:8]}."
    app = App("shop", broker=url)
    await app.__aenter__()
    tasks = [asyncio.create_task(app.publish("order:created", number, key="k")) for number in range(50)]
    for _ in range(3):
        await asyncio.sleep(0)

    async with within("closing"):
        await app.__aexit__(None, None, None)
        published = await asyncio.gather(*tasks)

    broker = await connect(url)
    async with broker.subscribe(["**"], group="g") as inbox:
        assert ids_of(await take(inbox, ids_of(published))) == ids_of(published)
    await broker.close()
