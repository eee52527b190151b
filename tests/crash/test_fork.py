"""A log that was open when its process forked belongs to the parent: the child is told so, and does no harm."""

import asyncio
import os
import signal
import time

from tests.crash.oracle import intact, sound
from tests.crash.processes import WITHIN, Start
from tests.crash.programs.coins import CoinPaid, paid
from tidings import App


def test_a_fork_is_refused_its_parents_log_and_does_not_disturb_it(start: Start, url: str) -> None:
    parent = start("forking", url)

    said = {line[0]: line[1:] for line in parent.lines()}

    refused = {name: words for name, words in said.items() if name not in ("close", "done")}
    assert refused == {name: ["UsedAfterFork"] for name in ("publish", "scan", "claim", "health")}, parent.errors()
    assert said["close"] == ["worked"]
    assert "done" in said
    assert parent.wait() == 0
    assert [event.id for event in asyncio.run(sound(url))] == ["parent:1", "parent:2"]
    intact(url)


async def test_a_child_that_lives_on_keeps_none_of_the_locks_of_a_parent_that_dies(start: Start, url: str) -> None:
    parent = await asyncio.to_thread(start, "heir", url)
    child = int((await asyncio.to_thread(parent.expect, "child"))[1])
    await asyncio.to_thread(parent.expect, "claim")
    heard = asyncio.Event()
    app = App("bank", url)

    @app.on(CoinPaid, group="bank.hear")
    async def hear(coin: CoinPaid) -> None:
        heard.set()

    try:
        async with app.running():
            began = time.monotonic()
            await asyncio.to_thread(parent.kill)
            await app.publish(paid(CoinPaid("heir", 1)))
            async with asyncio.timeout(WITHIN):
                while not all(group.lanes == 16 for group in (await app.health()).groups):
                    await app.clock.sleep(0.05)
                await heard.wait()
        assert time.monotonic() - began < 5.0  # 1 is promised; 14 it was, with the lock in the child's hands
    finally:
        os.kill(child, signal.SIGKILL)
