"""What brings events in: joined by `include`, at work while the handlers are, started again when it fails."""

import asyncio
from typing import Any

import pytest

from tests.handling.stage import BOUND, Heard
from tidings import App
from tidings.app import Source
from tidings.clock import ManualClock
from tidings.errors import ConfigurationError


class Ticks:
    """Publishes once when told to, and says when it was cancelled."""

    def __init__(self, name: str = "ticks", *failures: Exception) -> None:
        self.name = name
        self.failures = list(failures)
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.next = asyncio.Event()

    async def run(self, app: App) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.begun.set()
        try:
            await self.next.wait()
            await app.publish("clock:ticked", {"by": self.name})
        finally:
            self.ended.set()


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_source_runs_from_start_to_stop() -> None:
    app, ticks, heard = App("shop"), Ticks(), Heard[Any]()
    app.include(ticks)
    app.on("clock:ticked")(lambda event: heard.note(event))

    async with app:
        assert not ticks.begun.is_set()
        async with app.running():
            assert ticks.begun.is_set()
            ticks.next.set()
            assert await heard.reach(1) == [{"by": "ticks"}]


async def test_a_source_is_cancelled_at_the_stop_and_may_still_publish() -> None:
    class Flushing(Ticks):
        async def run(self, app: App) -> None:
            try:
                await self.next.wait()
            finally:
                await app.publish("clock:stopped")

    app = App("shop")
    app.include(Flushing())

    async with app:
        async with app.running():
            pass
        assert [record.type for record in (await app.log.scan("")).records] == ["clock:stopped"]


async def test_one_that_will_not_end_does_not_hold_the_stop_up_for_longer_than_the_drain() -> None:
    class Stubborn(Ticks):
        async def run(self, app: App) -> None:
            try:
                await self.next.wait()
            finally:
                await enough.wait()

    app, enough = App("shop", drain=0.05), asyncio.Event()
    app.include(Stubborn())

    async with asyncio.timeout(BOUND), app.running():
        pass
    enough.set()


async def test_sources_and_handlers_have_one_deadline() -> None:
    class Endless:
        name = "endless"

        async def run(self, app: App) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await enough.wait()

    app, enough = App("shop", drain=1.0), asyncio.Event()
    app.include(Endless())
    called = Heard[int]()

    @app.on("clock:ticked")
    async def hang(data: Any) -> None:
        called.note(1)
        await asyncio.Event().wait()

    async with app.running():
        await app.publish("clock:ticked", {})
        await called.reach(1)
        began = asyncio.get_running_loop().time()
    took = asyncio.get_running_loop().time() - began
    enough.set()

    assert 1.0 <= took < 1.9


async def test_one_that_fails_at_its_end_is_not_begun_again() -> None:
    class Failing(Ticks):
        async def run(self, app: App) -> None:
            self.begun.set()
            try:
                await self.next.wait()
            finally:
                raise OSError("too late")

    app, failing = App("shop"), Failing()
    app.include(failing)

    async with asyncio.timeout(BOUND):
        async with app.running():
            failing.begun.clear()
    assert not failing.begun.is_set()


async def test_a_source_that_fails_is_seen_in_health_and_run_again_with_growing_waits() -> None:
    clock = ManualClock()  # a wait of 0.1 s is up to 0.125 s by chance, the next one twice that
    app, ticks = App("shop", clock=clock), Ticks("ticks", OSError("no clock"), OSError("no clock yet"))
    app.include(ticks)

    async with app.running():
        await turns()
        [trouble] = (await app.health()).troubles
        assert trouble == "OSError: no clock"
        clock.advance(0.13)
        await turns()
        assert (await app.health()).sources[0].restarts == 2
        clock.advance(0.13)
        await turns()
        assert not ticks.begun.is_set()  # the second wait is longer
        clock.advance(0.13)
        await asyncio.wait_for(ticks.begun.wait(), BOUND)
        assert not (await app.health()).healthy  # it may fail again in a moment
        clock.advance(10)
        assert (await app.health()).healthy


async def test_one_that_returns_is_done_and_not_run_again() -> None:
    app, ticks = App("shop"), Ticks()
    app.include(ticks)
    ticks.next.set()

    async with app.running():
        await asyncio.wait_for(ticks.ended.wait(), BOUND)
        await turns()
        [health] = (await app.health()).sources

    assert (health.is_done, health.restarts, health.trouble) == (True, 0, None)


async def test_sources_run_again_when_the_application_does() -> None:
    app, ticks = App("shop"), Ticks()
    app.include(ticks)

    for _ in range(2):
        ticks.begun.clear()
        async with app.running():
            assert ticks.begun.is_set()
    assert (await asyncio.wait_for(ticks.ended.wait(), BOUND)) is True


async def test_what_is_no_source_or_comes_twice_or_too_late_is_refused() -> None:
    app = App("shop")
    app.include(Ticks())

    with pytest.raises(ConfigurationError, match="two sources are named 'ticks'"):
        app.include(Ticks())
    with pytest.raises(ConfigurationError, match="cannot be included"):
        app.include(type("Nothing", (), {"name": "nothing"})())
    async with app.running():
        with pytest.raises(ConfigurationError, match="comes too late"):
            app.include(Ticks("late"))


def test_a_source_is_known_by_its_shape() -> None:
    assert isinstance(Ticks(), Source)
