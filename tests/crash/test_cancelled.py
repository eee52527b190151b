"""Cancelled at any await, and in any window of the writer: no half event, and the log goes on as if nothing was."""

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.crash.oracle import effects, recorded, returned
from tests.crash.patience import idle
from tests.crash.programs.coins import CoinPaid, paid
from tests.crash.programs.worker import bank, make_tables
from tidings import App
from tidings.log import Log, Settlement, open_log
from tidings.log.group import Group
from tidings.log.position import order_in
from tidings.log.sqlite import SqliteLog
from tidings.testing import History

STEPS = 12  # iterations of the loop until any of these calls has returned, or waits for a thread


async def cancelled_after(steps: int, call: Coroutine[Any, Any, object]) -> bool:
    """Run `call` for some iterations of the loop, then cancel it; was it under way still?"""
    task = asyncio.ensure_future(call)
    for _ in range(steps):
        await asyncio.sleep(0)
    return await cancelled(task)


async def cancelled(task: "asyncio.Task[Any]") -> bool:
    task.cancel()
    return await ended(task)


async def ended(task: "asyncio.Task[Any]") -> bool:
    """Wait for its end; was it cancelled?"""
    async with asyncio.timeout(20):
        try:
            await task
        except asyncio.CancelledError:
            return True
    return False


class Gate:
    """Holds the writer's thread in a window until it is let through."""

    def __init__(self, log: Log, window: str) -> None:
        assert isinstance(log, SqliteLog)
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._window: str | None = window
        self._open: threading.Event = threading.Event()
        self.reached: asyncio.Event = asyncio.Event()
        log.threads.writer.hook = self._at

    def let_through(self) -> None:
        self._window = None
        self._open.set()

    def _at(self, point: str) -> None:
        if point == self._window:
            self._loop.call_soon_threadsafe(self.reached.set)
            self._open.wait(20)


async def test_a_cancelled_publish_is_whole_or_absent_and_can_be_repeated(url: str) -> None:
    async with App("till", url) as app:
        for steps in range(STEPS):
            events = [paid(CoinPaid(f"a{steps}", number)) for number in (1, 2, 3)]
            await cancelled_after(steps, app.publish_many(events))
            await app.publish_many(events)

        found = [event.id for event in await recorded(app.log)]
        assert found == [f"a{steps}:{number}" for steps in range(STEPS) for number in (1, 2, 3)]


@pytest.mark.parametrize("window", ["begun", "written", "committed"])
async def test_a_publish_cancelled_in_a_window_of_the_writer_is_whole_or_absent(window: str, url: str) -> None:
    events = [paid(CoinPaid("a", number)) for number in (1, 2, 3)]
    async with App("till", url) as app:
        gate = Gate(app.log, window)
        task = asyncio.create_task(app.publish_many(events))
        await gate.reached.wait()
        waiting = asyncio.create_task(app.publish("coin:paid", {"account": "b", "number": 1}, id="b:1"))
        await asyncio.sleep(0)
        assert await cancelled(task)
        gate.let_through()
        await waiting

        assert len(await recorded(app.log)) in (1, 4)
        await app.publish_many(events)
        assert sorted(event.id for event in await recorded(app.log)) == ["a:1", "a:2", "a:3", "b:1"]


async def test_a_cancelled_scan_leaves_the_reader_free(url: str) -> None:
    async with App("till", url) as app:
        await app.publish_many([paid(CoinPaid("a", number)) for number in range(1, 2001)])
        for steps in range(STEPS):
            await cancelled_after(steps, app.log.scan("", limit=2000))

        assert len((await app.log.scan("", limit=2000)).records) == 2000


@pytest.mark.parametrize("window", [None, "begun", "written", "committed"])
async def test_a_cancelled_settlement_is_whole_or_absent(window: str | None, url: str) -> None:
    log = await open_log(url)
    await log.append([paid(CoinPaid("a", number)) for number in range(1, STEPS + 1)])
    await log.ledger.join(Group("bank.book"))
    member = await log.ledger.enter()

    for step in range(1, STEPS + 1):
        lease = await log.ledger.claim("bank.book", member)
        answer = Settlement(lease, upto=lease.epoch.position(step))
        answer.writes = [
            ("CREATE TABLE IF NOT EXISTS noted(step)", (), None),
            (f"INSERT INTO noted VALUES ({step})", (), 1),
        ]
        if window is None:
            await cancelled_after(step - 1, log.ledger.settle(answer))
        else:
            gate = Gate(log, window)
            task = asyncio.ensure_future(log.ledger.settle(answer))
            await gate.reached.wait()
            await cancelled(task)
            gate.let_through()

        settled = order_in((await log.ledger.claim("bank.book", member)).cursor)
        assert settled in (0, step - 1, step)
        noted = [row[0] for row in await log.recorder().fetch("SELECT step FROM noted")] if settled else []
        assert (step in noted) == (settled == step)
        if settled < step:
            await log.ledger.settle(answer)
    assert [row[0] for row in await log.recorder().fetch("SELECT step FROM noted")] == list(range(1, STEPS + 1))
    await log.close()


@pytest.mark.parametrize("times", [1, 3])
async def test_an_application_cancelled_while_it_works_leaves_each_effect_to_be_done_once(
    times: int, url: str, chance: random.Random, trials: Callable[[int], int]
) -> None:
    loop, enough, left, before = asyncio.get_running_loop(), asyncio.Event(), 0, threads()

    def called(what: str, event_id: str) -> None:
        nonlocal left
        left -= 1
        if not left:
            loop.call_soon_threadsafe(enough.set)

    def application() -> App:
        return bank(url, History(), chance, failing=0.05, called=called)

    async with application() as app:
        await make_tables(app)

    for trial in range(trials(25)):
        async with App("till", url) as app:
            await app.publish_many([paid(CoinPaid(f"a{number % 4}.{trial}", number // 4 + 1)) for number in range(40)])
        left = chance.randrange(1, 100)
        enough.clear()
        running = asyncio.create_task(application().run())
        async with asyncio.timeout(20):
            await enough.wait()
        for _ in range(times):  # whoever is cancelled twice has not even time to drain
            for _ in range(chance.randrange(STEPS)):
                await asyncio.sleep(0)
            running.cancel()
        await ended(running)
        await nothing_left(before)

    app = application()
    async with app.running():
        await idle(app, within=600.0)
        events = await recorded(app.log)
    await asyncio.to_thread(effects, url, "booked", events)
    await asyncio.to_thread(effects, url, "noted", events)
    returned(events)


async def test_opening_a_log_can_be_cancelled_at_any_time(url: str) -> None:
    before = threads()
    for steps in range(STEPS):
        with contextlib.suppress(asyncio.CancelledError):
            await cancelled_after(steps, opened_and_closed(url))
        await nothing_left(before)


async def opened_and_closed(url: str) -> None:
    log = await open_log(url)
    await log.close()


def threads() -> set[threading.Thread]:
    """Those of ours, also of carriers: one of Kafka's client ends with its server's absence, and that may be killed."""
    return {each for each in threading.enumerate() if each.name.startswith("tidings-")}


async def nothing_left(before: set[threading.Thread]) -> None:
    """No thread of the log's and no task but ours, soon: their end is announced to nobody."""
    loop = asyncio.get_running_loop()
    until = loop.time() + 10
    while names := [each.name for each in threads() - before]:
        assert loop.time() < until, f"left behind: {names}"
        await asyncio.to_thread(time.sleep, 0.01)
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    left = [task for task in tasks if "tidings" in repr(task.get_coro()) and "test" not in repr(task.get_coro())]
    assert not left, left
