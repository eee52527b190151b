"""Keys keep their order, and so many of them are handled at a time as was said."""

import asyncio
import itertools
import threading

import msgspec
import pytest

from tests.handling.direct.stage import letters, orders
from tests.handling.stage import BOUND, Heard, OrderCreated
from tidings import App, Retry
from tidings.brokers import Arrival, Broker
from tidings.brokers.channels import PARTITIONS, partition_of
from tidings.brokers.log_inbox import LogInbox


async def test_keys_keep_their_order_and_slow_ones_hold_up_no_other(broker: Broker, url: str) -> None:
    app, heard, release = App("shop", broker=url), Heard[int](), asyncio.Event()

    @app.on(OrderCreated, concurrency=8)
    async def note(order: OrderCreated) -> None:
        if order.order_id == 0:
            await release.wait()
        heard.note(order.order_id)

    async with app.running():
        events = orders(*range(600))
        await broker.publish(events)
        others = [n for n in range(600) if n % 3 != 0]
        await heard.reach(len(others))
        assert not set(others) - set(heard), "they are past the one that waits, and beyond what one receive hands over"
        release.set()
        await heard.reach(600)

    for key in range(3):
        assert [n for n in heard if n % 3 == key] == [n for n in range(600) if n % 3 == key]


@pytest.mark.parametrize("is_plain", [False, True], ids=["async", "plain"])
async def test_a_member_with_two_partitions_of_eight_handles_no_fewer_keys_at_a_time(
    broker: Broker, url: str, is_plain: bool
) -> None:
    app, heard, at_once = App("shop", broker=url), Heard[int](), 16 if is_plain else 8
    begun, released, freed = itertools.count(1), asyncio.Event(), threading.Event()

    async def waits(order: OrderCreated) -> None:
        if next(begun) == at_once:
            released.set()
        await released.wait()
        heard.note(order.order_id)

    def blocks(order: OrderCreated) -> None:
        if next(begun) == at_once:
            freed.set()
        if freed.wait(BOUND):
            heard.note(order.order_id)

    app.on(OrderCreated, concurrency=at_once, group="shop.note", retry=Retry.never())(blocks if is_plain else waits)
    keys = [key for key in map(str, range(1000)) if partition_of(key, PARTITIONS) in (0, 4)]
    events = orders(*range(len(keys)))
    await broker.publish([msgspec.structs.replace(each, key=key) for each, key in zip(events, keys, strict=True)])
    async with app.running():
        await heard.reach(len(keys))


async def test_a_plain_handler_that_overruns_keeps_its_key(broker: Broker, url: str) -> None:
    app, heard, release = App("shop", broker=url), Heard[int](), asyncio.Event()
    loop = asyncio.get_running_loop()

    @app.on(OrderCreated, timeout=0.1, retry=Retry.never())
    def note(order: OrderCreated) -> None:
        if order.order_id == 0:
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result(BOUND)
            return
        heard.note(order.order_id)

    async with app.running():
        await broker.publish(orders(0, 1, 2, 3))
        await heard.reach(2)
        assert heard == [1, 2], "3 has the key of the call that has not returned"
        release.set()
        await heard.reach(3)
        [letter] = await letters(broker, 1)

    assert letter.event.id == "id-0"


@pytest.mark.parametrize(("count", "expected"), [(3, ["handled", "asked"]), (40, ["asked", "handled"])])
async def test_a_few_are_handled_before_more_is_asked_for_and_behind_many_more_is_asked_for_first(
    broker: Broker, url: str, monkeypatch: pytest.MonkeyPatch, count: int, expected: list[str]
) -> None:
    """What came alone would only be held up; the server need not wait for the handlers of many."""
    app, steps, handled = App("shop", broker=url), list[str](), Heard[int]()
    receive = LogInbox.receive

    async def noted(self: LogInbox, at_most: int = 500) -> list[Arrival]:
        steps.append("asked")
        return await receive(self, at_most)

    monkeypatch.setattr(LogInbox, "receive", noted)

    @app.on(OrderCreated)
    async def note(order: OrderCreated) -> None:
        if "handled" not in steps:
            steps.append("handled")
        handled.note(order.order_id)

    await broker.publish(orders(*range(count)))
    async with app.running():
        await handled.reach(count)

    assert steps[1:3] == expected
