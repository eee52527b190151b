"""An error after COMMIT: nobody knows what was recorded, everybody repeats, and it happens once."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.crash.oracle import effects, recorded, returned
from tests.crash.patience import idle
from tests.crash.programs.coins import CoinPaid, paid
from tests.crash.programs.worker import bank, make_tables
from tidings import App
from tidings.errors import CommitUnknown
from tidings.log.sqlite import SqliteLog
from tidings.testing import History


class Fault:
    """Raises after every sixth commit, the first one included."""

    def __init__(self, log: SqliteLog) -> None:
        self.raised = 0
        self._commits = 0
        self._writer = log.threads.writer
        self._writer.hook = self._at

    def end(self) -> None:
        """Raise no more."""
        self._writer.hook = lambda point: None

    def _at(self, point: str) -> None:
        if point == "committed":
            self._commits += 1
            if self._commits % 6 == 1:
                self.raised += 1
                raise OSError("the answer was lost")


def log_of(app: App) -> SqliteLog:
    assert isinstance(app.log, SqliteLog)
    return app.log


async def test_an_append_whose_commit_is_unknown_is_repeated_and_recorded_once(url: str) -> None:
    events = [paid(CoinPaid("a", number)) for number in range(1, 4)]
    async with App("till", url) as app:
        fault = Fault(log_of(app))

        with pytest.raises(CommitUnknown):
            await app.log.append(events)
        appended = await app.log.append(events)

        assert fault.raised == 1
        assert appended.duplicate
        assert [event.id for event in await recorded(app.log)] == ["a:1", "a:2", "a:3"]


async def test_a_settlement_whose_commit_is_unknown_has_each_effect_once(url: str, tmp_path: Path) -> None:
    app = bank(url, History(), random.Random(0), failing=0.1, called=lambda what, event_id: None)
    async with app:
        await make_tables(app)
        await app.publish_many([paid(CoinPaid(f"a{number % 3}", number // 3 + 1)) for number in range(30)])
        async with app.running():
            fault = Fault(log_of(app))
            await idle(app, within=60.0)
            fault.end()
        events = await recorded(app.log)

    print(f"{fault.raised} commits unknown")
    assert fault.raised > 4
    await asyncio.to_thread(effects, url, "booked", events)
    await asyncio.to_thread(effects, url, "noted", events)
    returned(events)
