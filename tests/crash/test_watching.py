"""Groups seen from another process: who runs them, since when nobody does, and what their members say."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.crash.oracle import rows
from tests.crash.patience import until
from tests.crash.processes import Start
from tests.crash.programs.coins import CoinPaid, paid
from tests.crash.test_members import owning, pay
from tidings import App
from tidings.handling.oversight.alerts import Alerts
from tidings.handling.oversight.sight import Sight
from tidings.log.group import Group

SOURCE = Path(__file__).parents[2] / "src"


def groups(url: str) -> dict[str, Any]:
    """What `tidings groups` says in a process of its own: the one group there is."""
    command = [sys.executable, "-m", "tidings", "groups", "--url", url, "--json"]
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment)
    found: dict[str, Any] = json.loads(told.stdout)
    return found


async def seen(url: str, holds: Callable[[Sight], bool]) -> Sight:
    """The one group of a log, once something holds of it, as a process without handlers sees it."""
    async with App("onlooker", url) as app:
        found: list[Sight] = []

        async def is_so() -> bool:
            found[:] = await app.groups.list()
            return bool(found) and holds(found[0])

        await until(app, is_so)
        return found[0]


def test_a_killed_process_runs_nothing_even_before_anybody_has_buried_it(start: Start, url: str) -> None:
    child = start("patient", url, 15.0)
    owning(child, 16)
    before = groups(url)
    killed_at = time.time()
    child.kill()
    asyncio.run(pay(url, CoinPaid("a", 1)))

    after = groups(url)

    assert (len(before["members"]), before["reason"]) == (1, None)
    assert after["members"] == []
    assert after["reason"].startswith("nobody runs it: last seen ")
    assert (
        killed_at - 5.0 < datetime.fromisoformat(after["last_seen"]).timestamp() <= time.time()
    )  # it touched its file twice a second
    assert rows(url, "SELECT owner FROM tidings_lanes WHERE owner IS NOT NULL")


def test_after_a_takeover_the_one_who_took_over_is_the_member(start: Start, url: str) -> None:
    stays = start("patient", url, 15.0)
    owning(stays, 16)
    dies = start("patient", url, 15.0)
    owning(dies, 8)
    owning(stays, 8)

    both = asyncio.run(seen(url, lambda sight: len(sight.status.members) == 2))
    dies.kill()
    owning(stays, 16)
    one = asyncio.run(seen(url, lambda sight: len(sight.status.members) == 1))

    assert {member.split("-")[0] for member in both.status.members} == {str(stays.pid), str(dies.pid)}
    assert one.status.members[0].split("-")[0] == str(stays.pid)
    assert (one.status.state, one.reason) == ("live", None)


def test_what_a_process_measures_of_itself_is_seen_from_another(start: Start, url: str) -> None:
    asyncio.run(pay(url, *[CoinPaid("a", number) for number in range(1000)]))
    slow = start("slow", url, 0.05)
    owning(slow, 16)

    asyncio.run(seen(url, lambda sight: bool(sight.status.reports and sight.status.reports[0].handled)))
    told = groups(url)

    assert told["reason"].startswith("catching up: ")
    assert 0 < told["waiting"] < 1000
    slow.kill()
    assert groups(url)["reason"].startswith("nobody runs it: ")


async def test_the_watch_over_groups_is_taken_over_and_tells_a_thing_once(start: Start, url: str) -> None:
    watched = Alerts(lag=0.2, patience=0.1, every=0.2)
    async with App("bank", url, alerts=watched) as first, App("bank", url, alerts=watched) as second:
        await first.log.ledger.join(Group("bank.gone", ("coin:paid",)))
        await first.publish_many([paid(CoinPaid("a", 1))])
        async with second.running():
            async with first.running():
                await until(first, lambda: _is_told(first, 1))
            await first.log.ledger.reset("bank.gone", await first.log.head())
            await until(first, lambda: _is_told(first, 2))  # whoever is left says that it is over
        found = await first.log.scan("", limit=1000)

    told = [record.type for record in found.records if record.type.startswith("tidings:")]
    assert told == ["tidings:group:lagging", "tidings:group:caught-up"]


async def _is_told(app: App, count: int) -> bool:
    found = await app.log.scan("", limit=1000)
    return sum(record.type.startswith("tidings:") for record in found.records) == count
