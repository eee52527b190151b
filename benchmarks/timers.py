"""A hundred thousand events due within a minute: is any early, how late are they, and what does the waiting cost?"""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from time import monotonic, process_time, time

from benchmarks.harness import Place, Question, Row, Samples
from benchmarks.idle import wake_ups
from benchmarks.orders import SEED, Gauge, batches
from tidings import App, event

_PER_SECOND = 100_000 / 60
_SCHEDULED_PER_SECOND = 4_000  # at least; nothing is due before all is scheduled


@event("reminder:due", version=1)
class ReminderDue:
    """Says itself when it is due, in seconds since 1970."""

    at: float


def tidings(place: Place) -> Samples:
    """From the moment an event is due to its handler's call, its commit and flush included; by random moments."""
    return asyncio.run(_fire(place))


def waiting(place: Place) -> Samples:
    """Wake-ups and CPU of a process in which as many wait, and none is due yet."""
    return asyncio.run(_wait(place))


async def _fire(place: Place) -> Samples:
    app, late, done = _app(place), [], asyncio.Event()

    @app.on(ReminderDue)
    async def note(reminder: ReminderDue) -> None:
        late.append(1000 * (time() - reminder.at))
        if len(late) == place.size:
            done.set()

    async with app:
        begin = await _schedule(app, place.size, after=2 + place.size / _SCHEDULED_PER_SECOND)
        async with app.running():
            await asyncio.sleep(begin - time())
            began, used = monotonic(), process_time()
            await done.wait()
            cpu = 100 * (process_time() - used) / (monotonic() - began)
        early = min(late)
        after = ""
        while records := (found := await app.log.scan(after, limit=5000)).records:
            recorded = [each.recorded_at / 1e6 - float(each.data[6:-1]) for each in records]
            early, after = min(early, 1000 * min(recorded)), found.upto
    return {"late": late, "earliest": [early], "cpu": [cpu]}


async def _wait(place: Place) -> Samples:
    app = _app(place)
    async with app:
        await _schedule(app, place.size, after=3600)
        async with app.running():
            await asyncio.sleep(1)
            began, used, woken = monotonic(), process_time(), wake_ups()
            await asyncio.sleep(10)
            seconds = monotonic() - began
            return {"cpu": [100 * (process_time() - used) / seconds], "wake-ups": [(wake_ups() - woken) / seconds]}


def _app(place: Place) -> App:
    return App("reminders", f"sqlite:///{place.fresh}/reminders.db", contracts=[ReminderDue], metrics=Gauge())


async def _schedule(app: App, count: int, *, after: float) -> float:
    """Publish so many for random moments; returns when the first of them can be due."""
    dice, begin = random.Random(SEED), round(time() + after)
    moments = [begin + dice.randrange(int(1e6 * count / _PER_SECOND)) / 1e6 for _ in range(count)]
    start = datetime.fromtimestamp(begin, UTC)
    for batch in batches(moments, 500):
        due = [start + timedelta(microseconds=round(1e6 * (moment - begin))) for moment in batch]
        await asyncio.gather(*(app.publish(ReminderDue(at), at=when) for at, when in zip(batch, due, strict=True)))
    if time() > begin:
        raise RuntimeError("some were due before all were scheduled: the machine is too busy")
    return begin


QUESTION = Question(
    contenders={"tidings": tidings, "waiting": waiting},
    rows=[
        Row("timers, 100,000 due in a minute: lateness, p50", figure="late", unit="ms"),
        Row("… p99", figure="late", quantile=0.99, unit="ms", at_most=50),
        Row("… the earliest of all, after it was due", figure="earliest", quantile=0.0, unit="ms", at_least=0),
        Row("… CPU of the process", figure="cpu", unit="%"),
        Row("100,000 timers waiting, none due: CPU", of="waiting", figure="cpu", unit="%", at_most=0.2),
        Row("… wake-ups", of="waiting", figure="wake-ups"),
    ],
    size=100_000,
    quick_size=5_000,
)
