"""Several processes of one application: a share of the work for each, and each broadcast for all."""

import asyncio

from tests.handling.stage import BOUND, Heard, eventually
from tidings import App, Event
from tidings.brokers import Broker


async def test_a_member_that_joins_gets_its_share_of_a_backlog(broker: Broker, url: str) -> None:
    heard, second_has_begun = Heard[str](), asyncio.Event()

    def instance(name: str) -> App:
        app = App("shop", broker=url)

        @app.on("job:made")
        async def work(event: Event) -> None:
            await asyncio.sleep(0.002)
            heard.note(name)
            if name == "second":
                second_has_begun.set()

        return app

    await broker.publish([Event(source="web", type="job:made", key=str(number)) for number in range(1500)])
    async with instance("first").running():
        await heard.reach(10)
        async with instance("second").running(), asyncio.timeout(BOUND):
            await second_has_begun.wait()


async def test_each_process_hears_a_broadcast(broker: Broker, url: str) -> None:
    heard = Heard[str]()

    def instance(name: str) -> App:
        app = App("shop", broker=url)

        @app.on("cache:dropped", broadcast=True)
        async def drop(event: Event) -> None:
            heard.note(f"{name} {event.id}")

        return app

    first, second = instance("first"), instance("second")
    await broker.publish([Event(id="before", source="web", type="cache:dropped")])
    async with first.running(), second.running():

        async def both_listen() -> bool:
            return len(await broker.groups()) == 2

        await eventually(both_listen)
        await broker.publish([Event(id="1", source="web", type="cache:dropped")])
        await heard.reach(2)

    assert sorted(heard) == ["first 1", "second 1"]
    assert await broker.groups() == []


async def test_a_broadcast_that_fails_is_tried_at_once_and_dropped(broker: Broker, url: str) -> None:
    app, calls = App("shop", broker=url), Heard[str]()

    @app.on("cache:dropped", broadcast=True)
    async def drop(event: Event) -> None:
        calls.note(event.id)
        if event.id == "1":
            raise OSError("busy")

    async with app.running():

        async def listens() -> bool:
            return len(await broker.groups()) == 1

        await eventually(listens)
        await broker.publish([Event(id=each, source="web", type="cache:dropped") for each in ("1", "2")])
        await calls.reach(5)

    assert calls == ["1", "1", "1", "1", "2"]
    assert await broker.letters() == []
