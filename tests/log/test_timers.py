"""Timers against a model, with random schedules, cancellations, and a clock that jumps; and on a full disk."""

import asyncio
import itertools
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.log.sqlite.stage import file_size_limit
from tidings.clock import ManualClock
from tidings.errors import DiskFull
from tidings.events import Event
from tidings.log import Log, Timer, open_log
from tidings.log.record import draft, restore

_names = itertools.count()
JUMPS = [0.0, 0.5, 1.0, 5.0, 60.0, -1.0, -30.0, 3600.0, -3600.0]


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"memory:timers-{next(_names)}" if request.param == "memory" else f"sqlite:///{tmp_path}/log.db"


class Model:
    """What should wait, and what should be recorded."""

    def __init__(self) -> None:
        self.waiting: dict[str, tuple[int, int]] = {}  # id -> due, number
        self.recorded: list[str] = []
        self._numbers = itertools.count()

    def schedule(self, due: dict[str, int]) -> int:
        new = {each: when for each, when in due.items() if each not in self.waiting and each not in self.recorded}
        self.waiting |= {each: (when, next(self._numbers)) for each, when in new.items()}
        return len(new)

    def cancel(self, event_id: str) -> bool:
        return self.waiting.pop(event_id, None) is not None

    def fire(self, now: int, limit: int) -> tuple[int, int | None]:
        due = sorted((place, each) for each, place in self.waiting.items() if place[0] <= now)[:limit]
        for _, each in due:
            del self.waiting[each]
            self.recorded.append(each)
        return len(due), min((place[0] for place in self.waiting.values()), default=None)

    @property
    def in_order(self) -> list[str]:
        return sorted(self.waiting, key=self.waiting.__getitem__)


def new_timer(event_id: str, due: int) -> Timer:
    return Timer(due, draft(Event(id=event_id, source="shop", type="a", data=event_id), public=True))


async def step(log: Log, model: Model, clock: ManualClock, chance: random.Random) -> None:
    timers, now = log.ledger.timers, int(clock.now() * 1e6)
    what = chance.randrange(4)
    if what == 0:
        due = {
            f"id-{chance.randrange(200)}": now + chance.randrange(-2, 20) * 500_000 for _ in range(chance.randint(1, 9))
        }
        assert await timers.schedule([new_timer(*each) for each in due.items()]) == model.schedule(due)
    elif what == 1:
        event_id = f"id-{chance.randrange(200)}"
        assert await timers.cancel(event_id, "shop") is model.cancel(event_id)
    elif what == 2:
        clock.set(clock.now() + chance.choice(JUMPS))
    else:
        limit = chance.choice([1, 3, 100])
        fired = await timers.fire(clock.now(), limit, {})
        assert (fired.count, fired.next_due) == model.fire(now, limit)
    assert [timer.draft.id for timer in await timers.waiting()] == model.in_order


async def test_whatever_is_scheduled_cancelled_and_fired_is_what_the_model_says(
    url: str, seed: int, trials: Callable[[int], int]
) -> None:
    chance, clock, model = random.Random(seed), ManualClock(), Model()
    log = await open_log(url, clock=clock)

    for _ in range(trials(400)):
        await step(log, model, clock, chance)

    found = await log.scan("", limit=100_000)
    assert [restore(record, "").id for record in found.records] == model.recorded
    times = [record.recorded_at for record in found.records]
    assert times == sorted(times)
    await log.close()


async def test_what_cannot_fire_on_a_full_disk_waits_and_leaves_the_reserve_for_answers(tmp_path: Path) -> None:
    log = await open_log(f"sqlite:///{tmp_path}/log.db", clock=ManualClock())
    ids = [f"id-{number:03}" for number in range(200)]
    await log.ledger.timers.schedule([new_timer(each, due) for due, each in enumerate(ids)])
    size = await asyncio.to_thread(lambda: (tmp_path / "log.db-wal").stat().st_size)

    with file_size_limit(size + 100_000), pytest.raises(DiskFull):
        await fire_one_by_one(log, len(ids))

    fired = (await log.scan("", limit=1000)).records
    assert 0 < len(fired) < len(ids)
    assert await asyncio.to_thread((tmp_path / "log.db-tidings" / "reserve").exists)
    assert [timer.draft.id for timer in await log.ledger.timers.waiting()] == ids[len(fired) :]
    await log.ledger.timers.fire(1.0, 200, {})
    found = await log.scan("", limit=1000)
    assert [restore(record, "").id for record in found.records] == ids
    await log.close()


async def fire_one_by_one(log: Log, count: int) -> None:
    for _ in range(count):
        await log.ledger.timers.fire(1.0, 1, {})
