"""Groups whose events are held back, killed at any instant: what waits in a process is never all there is of it."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable

import msgspec

from tests.crash.oracle import intact, rows, sound
from tests.crash.processes import Start
from tests.crash.programs.flowing import GrainFallen
from tidings import App, Event

SACKS = 7


async def pour(url: str, first: int, count: int) -> None:
    async with App("field", url, contracts=[GrainFallen]) as app:
        for start in range(first, first + count, 20):
            numbers = range(start, min(start + 20, first + count))
            await app.publish_many([GrainFallen(str(number % SACKS), number) for number in numbers])


def effects(events: list[Event], name: str) -> Counter[int]:
    """How often each grain was answered with an event of this name."""
    return Counter(_number(event) for event in events if event.type == name)


def _number(event: Event) -> int:
    number: int = msgspec.json.decode(event.data)["number"]
    return number


def last_handled(url: str) -> set[tuple[object, ...]]:
    return set(rows(url, "SELECT sack, max(number) FROM last GROUP BY sack"))


def test_what_is_held_back_survives_kills_and_is_answered_once(
    start: Start, url: str, chance: random.Random, trials: Callable[[int], int]
) -> None:
    poured = 0
    for _ in range(trials(15)):
        count = chance.randrange(20, 120)
        asyncio.run(pour(url, poured, count))
        poured += count
        members = [start("flowing", url, chance.randrange(2**32)) for _ in range(chance.randrange(1, 3))]
        for member in members:
            member.expect("ready")
        members[0].listen(chance.randrange(150))
        time.sleep(chance.random() * 0.05)  # the instant of the fault, which nothing marks
        for member in members:
            member.kill()
    heir = start("flowing", url, 0, "finish")
    heir.expect("finished")
    assert heir.wait() == 0, heir.errors()

    events = asyncio.run(sound(url))
    once = dict.fromkeys(range(poured), 1)
    for name in ("grain:milled", "grain:ranked", "grain:cared"):
        assert effects(events, name) == once, name
    assert last_handled(url) == {(str(number % SACKS), number) for number in range(poured - SACKS, poured)}
    intact(url)
    print(f"{trials(15)} times killed, {poured} grains, {len(events)} recorded")
