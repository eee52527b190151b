"""Live events as an async iterator, on a log in memory and one on disk."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.handling.stage import BOUND, OrderCreated, StockReserved
from tidings import App, Event
from tidings.errors import ConfigurationError, ContractError, LogTruncated, UnreadableEvent
from tidings.handling.listening import Listener

PUBLISHER = """
import asyncio, sys
from tidings import App

async def main():
    async with App("shop", sys.argv[1]) as app:
        for number in range(3):
            await app.publish("order:created", {"order_id": number})

asyncio.run(main())
"""


@pytest.fixture(params=["memory", "sqlite"])
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[App]:
    url = "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/log.db"
    async with App("shop", url, contracts=[OrderCreated, StockReserved]) as app:
        yield app


async def heard(listener: Listener, count: int) -> list[Any]:
    async with asyncio.timeout(BOUND):
        return [await anext(listener) for _ in range(count)]


async def test_a_listener_hears_what_comes_as_a_handler_would(app: App) -> None:
    await app.publish(OrderCreated(1))

    async with app.listen("order:*") as orders:
        await app.publish(OrderCreated(2))
        await app.publish(StockReserved(2))
        await app.publish("order:noted", {"order_id": 3})
        assert await heard(orders, 2) == [OrderCreated(2), {"order_id": 3}]


async def test_a_listener_waits_for_the_next_event(app: App) -> None:
    async with app.listen(OrderCreated) as orders:
        waiting = asyncio.create_task(heard(orders, 1))
        await asyncio.sleep(0)
        await app.publish(OrderCreated(1))

        assert await waiting == [OrderCreated(1)]


async def test_with_events_the_whole_envelope_is_given(app: App) -> None:
    async with app.listen(OrderCreated, events=True) as orders:
        made = await app.publish(OrderCreated(1), subject="s")
        [event] = await heard(orders, 1)

    assert isinstance(event, Event)
    assert (event.id, event.position, event.subject, event.data) == (made.id, made.position, "s", OrderCreated(1))


async def test_a_listener_begins_where_it_is_told_to(app: App) -> None:
    first = await app.publish(OrderCreated(1))
    await app.publish(OrderCreated(2))
    assert first.position is not None

    assert await heard(app.listen(after="earliest"), 2) == [OrderCreated(1), OrderCreated(2)]
    assert await heard(app.listen(after=first.position), 1) == [OrderCreated(2)]
    with pytest.raises(LogTruncated):
        await heard(app.listen(after="0001abcdef01-0000000000000001"), 1)


async def test_no_group_is_recorded(app: App) -> None:
    async with app.listen("**") as everything:
        await app.publish(OrderCreated(1))
        await heard(everything, 1)

    assert await app.log.ledger.groups() == []


async def test_an_event_that_cannot_be_read_is_named_and_can_be_passed_over(app: App) -> None:
    broken = Event(source="shop", type="order:created", data={"order_id": "one"})
    place = (await app.log.append([broken])).first
    await app.publish(OrderCreated(2))

    orders = app.listen(OrderCreated, after="earliest")
    with pytest.raises(UnreadableEvent, match=r"order:created at .* cannot be read") as refused:
        await heard(orders, 1)

    assert refused.value.position == place
    assert isinstance(refused.value.__cause__, ContractError)
    assert await heard(orders, 1) == [OrderCreated(2)]
    assert await heard(app.listen(OrderCreated, after="earliest", undecodable="skip"), 1) == [OrderCreated(2)]


async def test_an_event_nobody_asked_for_may_be_unreadable(app: App) -> None:
    await app.log.append([Event(source="shop", type="stock:reserved", data="?")])
    await app.publish(OrderCreated(1))

    assert await heard(app.listen("order:*", after="earliest"), 1) == [OrderCreated(1)]


async def test_closing_the_application_ends_its_listeners(app: App) -> None:
    async def listen(listener: Listener) -> list[Any]:
        return [each async for each in listener]

    async with App("other", app.log_url if app.log_url != "memory:" else None, contracts=[OrderCreated]) as other:
        waiting = asyncio.create_task(listen(other.listen()))
        behind = other.listen(after="earliest")
        await other.publish(OrderCreated(1))
        assert await heard(behind, 1) == [OrderCreated(1)]

    assert await asyncio.wait_for(waiting, BOUND) in ([], [OrderCreated(1)])
    with pytest.raises(StopAsyncIteration):
        await anext(behind)


async def test_closing_a_listener_ends_its_reader(app: App) -> None:
    listener = app.listen()
    await listener.__aenter__()
    waiting = asyncio.create_task(anext(listener, "over"))
    await asyncio.sleep(0)

    await listener.aclose()

    assert await asyncio.wait_for(waiting, BOUND) == "over"


async def test_a_cancelled_reader_leaves_nothing_behind_and_may_read_on(app: App) -> None:
    async with app.listen() as listener:
        waiting = asyncio.create_task(anext(listener))
        await app.log.head()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert app.log.bell._ears == ()

        await app.publish(OrderCreated(1))
        assert await heard(listener, 1) == [OrderCreated(1)]


async def test_two_tasks_cannot_read_one_listener(app: App) -> None:
    async with app.listen() as listener:
        waiting = asyncio.create_task(anext(listener))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="give each reader its own"):
            await anext(listener)
        waiting.cancel()


async def test_listeners_at_one_place_share_what_is_decoded(app: App) -> None:
    async with app.listen("order:*") as one, app.listen("order:*") as two:
        reading = asyncio.gather(heard(one, 1), heard(two, 1))
        await asyncio.sleep(0)
        await app.publish(OrderCreated(1))
        [[first], [second]] = await reading

    assert first is second


async def test_values_that_could_be_changed_are_not_shared(app: App) -> None:
    async with app.listen("note:taken") as one, app.listen("note:taken") as two:
        await app.publish("note:taken", {"text": "hello"})
        [first], [second] = await heard(one, 1), await heard(two, 1)
        first["text"] = "changed"

    assert second == {"text": "hello"}


async def test_many_events_come_in_order_a_bounded_look_at_a_time(app: App) -> None:
    async with app.listen(OrderCreated) as orders:
        for start in range(0, 2500, 500):
            await app.publish_many([OrderCreated(start + number) for number in range(500)])

        assert [order.order_id for order in await heard(orders, 2500)] == list(range(2500))
        assert len(orders._waiting) == 0


async def test_what_makes_no_sense_is_refused_at_once(app: App) -> None:
    with pytest.raises(ConfigurationError, match="is no event"):
        app.listen(int)
    with pytest.raises(ConfigurationError, match="undecodable='ignore'"):
        app.listen(undecodable="ignore")  # type: ignore[arg-type]  # what a user may write
    with pytest.raises(ConfigurationError, match="is not open"):
        App("closed").listen()


async def test_a_listener_hears_what_another_process_publishes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    async with App("viewer", url, contracts=[OrderCreated]) as app, app.listen("order:*") as orders:
        source = str(Path(__file__).parents[2] / "src")
        publisher = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PUBLISHER, url, env={"PYTHONPATH": source}
        )
        try:
            async with asyncio.timeout(60):
                assert [await anext(orders) for _ in range(3)] == [OrderCreated(number) for number in range(3)]
                assert await publisher.wait() == 0
        finally:
            if publisher.returncode is None:
                publisher.kill()
