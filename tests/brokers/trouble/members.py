"""Members of a group come, go, stand still and are killed under load: nothing is lost, and every key stays in order."""

import asyncio
import random
from asyncio import to_thread
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.brokers.carriers import Carrier, has_server, those
from tests.brokers.crew import Crew
from tests.brokers.judging import Judge
from tests.brokers.words import Opened, joined, own_name, telling
from tests.servers.server import Server
from tidings.testing.checker import History


@those(lambda carrier: carrier.keeps)
async def test_members_that_come_go_stand_still_and_are_killed_lose_nothing_and_keep_every_key_in_order(
    carrier: Carrier, url: str, opened: Opened, tmp_path: Path, seed: int
) -> None:
    history, judge, broker = History(), Judge(carrier), await opened(url)
    async with joined(broker):
        pass  # from here on its events are kept
    async with Crew(carrier, url, tmp_path / "members", random.Random(seed)) as crew:
        await crew.joins(3)
        async with telling(broker, history) as teller:
            await teller.tells(100)
            crew.is_killed()
            await crew.hears(judge.owed(history))
            if carrier.shared:  # who stands still with the lock of a file stops everybody
                crew.freezes()
            await teller.tells(100)
            await crew.hears(judge.owed(history))
            crew.thaw()
            await crew.joins()
            await teller.tells(100)
            await crew.leaves()
            await teller.tells(100)
        await crew.hears(judge.owed(history))
        whole = await crew.history(history)

    print(f"{carrier.name}: {judge.acquit(whole, 'g')}")


@pytest.mark.chaos
@those(lambda carrier: carrier.keeps and has_server(carrier))
async def test_members_are_killed_many_times_and_the_server_with_them(
    carrier: Carrier, mortal: Server, opened: Opened, tmp_path: Path, seed: int, trials: Callable[[int], int]
) -> None:
    history, judge, chance = History(), Judge(carrier), random.Random(seed)
    url = carrier.url(mortal, own_name())
    broker = await opened(url)
    async with joined(broker):
        pass  # from here on its events are kept
    await asyncio.sleep(carrier.ripens)
    async with Crew(carrier, url, tmp_path / "members", chance) as crew:
        await crew.joins(3)
        async with telling(broker, history) as teller:
            for trial in range(1, trials(20) + 1):
                teller.upto = teller.acknowledged + chance.randrange(50, 200)
                await _disturb(crew, chance.choice(["kill", "kill", "freeze", "leave"]))
                if trial % 5 == 0:
                    crew.thaw()
                    await crew.hears(judge.owed(history))
                if trial % 10 == 0:
                    await to_thread(judge.kill, mortal)
                    await to_thread(judge.revive, mortal)
        crew.thaw()
        await crew.hears(judge.owed(history))
        whole = await crew.history(history)

    report = judge.acquit(whole, "g")
    print(f"{carrier.name}: {trials(20)} deeds, server killed {len(judge.outages)} times: {report}")


async def _disturb(crew: Crew, deed: str) -> None:
    """One of them goes, and another comes."""
    match deed:
        case "kill":
            crew.is_killed()
        case "freeze":
            crew.freezes()
        case "leave":
            await crew.leaves()
    await crew.joins()
