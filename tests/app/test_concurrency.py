"""Several keys at a time: what one key does is nothing to the others."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.handling import stage
from tidings import App, event


@event("door:opened", key="door")
class DoorOpened:
    door: str
    number: int = 0


@pytest.fixture(params=["memory:", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> App:
    url = request.param if request.param == "memory:" else f"sqlite:///{tmp_path}/log.db"
    return App("house", url, contracts=[DoorOpened])


async def until(app: App, done: Callable[[], bool]) -> None:
    async def is_done() -> bool:
        return done()

    await stage.until(is_done, app.log)


def other_doors() -> list[str]:
    return [f"door-{number}" for number in range(64)]


async def test_a_handler_that_waits_keeps_nobody_but_its_lanes_waiting(app: App) -> None:
    let_go, heard = asyncio.Event(), []

    @app.on(DoorOpened, concurrency=4)
    async def hear(opened: DoorOpened) -> None:
        if opened.door == "stuck":
            await let_go.wait()
        heard.append(opened.door)

    async with app:
        await app.publish(DoorOpened("stuck"))
        async with app.running():
            for door in other_doors():
                await app.publish(DoorOpened(door))
            await until(app, lambda: len(heard) >= 40)  # of 64: those of the stuck one's lanes wait, a quarter or so
            assert "stuck" not in heard
            let_go.set()
            await until(app, lambda: len(heard) == 65)


async def test_each_key_stays_in_order_and_every_event_is_handled_once(app: App) -> None:
    heard: dict[str, list[int]] = {}

    @app.on(DoorOpened, concurrency=12)  # more than there are readers: each takes two keys at a time
    async def hear(opened: DoorOpened) -> None:
        await asyncio.sleep(0)
        heard.setdefault(opened.door, []).append(opened.number)

    async with app.running():
        for number in range(20):
            await app.publish_many([DoorOpened(f"door-{door}", number) for door in range(25)])
        await until(app, lambda: sum(map(len, heard.values())) == 500)

    assert heard == {f"door-{door}": list(range(20)) for door in range(25)}


async def test_two_applications_share_a_concurrent_group_evenly(tmp_path: Path) -> None:
    seen: dict[int, Any] = {0: 0, 1: 0}

    def member(number: int) -> App:
        app = App("house", f"sqlite:///{tmp_path}/log.db", contracts=[DoorOpened])

        @app.on(DoorOpened, concurrency=8, group="house.hear")
        async def hear(opened: DoorOpened) -> None:
            seen[number] += 1

        return app

    first, second = member(0), member(1)
    async with first.running(), second.running():

        async def lanes(app: App) -> int:
            return sum(group.lanes for group in (await app.health()).groups)

        async def are_even() -> bool:
            return (await lanes(first), await lanes(second)) == (8, 8)

        await stage.until(are_even, first.log)
        for number in range(200):
            await first.publish(DoorOpened(f"door-{number}"))
        await until(first, lambda: sum(seen.values()) == 200)

    assert min(seen.values()) > 50, seen
