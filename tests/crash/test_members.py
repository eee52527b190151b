"""Members that die, stand still, come and go: their lanes find another owner soon, and no former owner settles."""

import asyncio
import fcntl
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.oracle import file_of, rows
from tests.crash.processes import WITHIN, Child, Start
from tests.crash.programs.coins import CoinPaid, paid
from tidings import App
from tidings.log import open_log
from tidings.testing import History, check

TAKEOVER = 2.0  # seconds; 1 is promised, a busy machine may take longer


async def pay(url: str, *coins: CoinPaid) -> None:
    async with App("till", url) as app:
        await app.publish_many([paid(coin) for coin in coins])


def owning(child: Child, lanes: int, *, within: float = 20.0) -> float:
    """Wait until it has claimed so many lanes; the moment it did, by the machine's monotonic clock."""
    for line in child.lines(within=within):
        if line[0] == "claim" and f"lanes={lanes}" in line:
            return float(line[1])
    raise AssertionError(child.errors())


def test_the_lanes_of_a_killed_member_are_taken_over_within_a_second(
    start: Start, url: str, trials: Callable[[int], int]
) -> None:
    stays = start("patient", url, 15.0)
    owning(stays, 16)
    took = []

    for _ in range(trials(5)):
        dies = start("patient", url, 15.0)
        owning(dies, 8)
        owning(stays, 8)
        killed_at = time.monotonic()
        dies.kill()
        took.append(owning(stays, 16) - killed_at)

    print(f"taken over after {', '.join(f'{each:.2f}' for each in sorted(took)[-5:])} s at the longest")
    assert max(took) < TAKEOVER


def test_the_event_in_hand_of_a_killed_member_is_handed_to_another(start: Start, url: str) -> None:
    dies = start("patient", url, 15.0)
    owning(dies, 16)
    asyncio.run(pay(url, CoinPaid("a", 1)))
    assert dies.expect("begun")[1] == "a:1"
    takes = start("patient", url, 15.0)

    killed_at = time.monotonic()
    dies.kill()
    assert takes.expect("begun")[1] == "a:1"
    took = time.monotonic() - killed_at
    takes.tell("go")
    takes.expect("handled")
    takes.send(signal.SIGTERM)
    assert takes.wait() == 0

    assert rows(url, "SELECT event_id FROM noted") == [("a:1",)]
    print(f"in another hand after {took:.2f} s")
    assert took < TAKEOVER


def freeze(child: Child, url: str) -> None:
    """Stop it between two commits: one stopped within would keep the writers' lock, and all others out."""
    for _ in range(100):
        child.freeze()
        if not is_locked(url):
            return
        child.send(signal.SIGCONT)
    raise AssertionError("it was within a commit each time")


def is_locked(url: str) -> bool:
    """Does anybody have the writers' lock, or wait for it?"""
    for name in ("turn", "lock"):
        with (file_of(f"{url}-tidings") / name).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


@pytest.mark.parametrize("late", [True, False], ids=["settles-late", "settles-before-it-knows"])
def test_a_member_stopped_past_its_lease_is_fenced_when_it_comes_back(late: bool, start: Start, url: str) -> None:
    stopped = start("patient", url, 0.5)
    owning(stopped, 16)
    asyncio.run(pay(url, CoinPaid("a", 1)))
    stopped.expect("begun")
    freeze(stopped, url)

    takes = start("patient", url, 0.5)
    owning(takes, 16)  # the stopped one's name was struck off: all are free
    assert takes.expect("begun")[1] == "a:1"
    if not late:
        stopped.tell("go")  # it will settle as soon as it comes back, while the other one is still at work
        stopped.send(signal.SIGCONT)
        stopped.expect("handled")
        stopped.expect("fence")
    assert rows(url, "SELECT event_id FROM noted") == []
    takes.tell("go")
    takes.expect("handled")
    if late:
        settled(url)
        stopped.tell("go")
        stopped.send(signal.SIGCONT)
        stopped.expect("handled")
        stopped.expect("fence")

    owning(stopped, 8)  # and is a member again
    for child in (stopped, takes):
        child.send(signal.SIGTERM)
        assert child.wait() == 0
    assert rows(url, "SELECT event_id FROM noted") == [("a:1",)]


def settled(url: str) -> None:
    """Wait until the coin is noted."""

    async def look() -> None:
        async with App("bank", url) as app, asyncio.timeout(20):
            ear = app.log.bell.listen()
            while not await asyncio.to_thread(rows, url, "SELECT * FROM noted"):
                await ear.wait(0.02)

    asyncio.run(look())


def test_single_events_reach_consumers_that_join_and_die_none_lost_none_late(
    start: Start, url: str, tmp_path: Path, chance: random.Random
) -> None:
    published, heard = tmp_path / "published", tmp_path / "heard"
    publisher = start("publisher", url, published, "p", 10_000, chance.randrange(2**32), 1, 10)
    members = [start("listener", url, heard) for _ in range(2)]
    killed = 0

    while publisher.is_running:
        members.append(start("listener", url, heard))
        leaver = members.pop(chance.randrange(3))
        leaver.expect("claim")
        leaver.listen(chance.randrange(1000), within=0.2)
        killed += 1
        if chance.random() < 0.7:
            leaver.kill()
        else:
            leaver.send(signal.SIGTERM)
            assert leaver.wait() == 0, leaver.errors()
    assert publisher.wait() == 0, publisher.errors()
    for member in members:
        member.kill()
    last = start("listener", url, heard)
    last.expect("claim")
    asyncio.run(caught_up(url))
    last.send(signal.SIGTERM)
    assert last.wait() == 0, last.errors()

    history = History.read(published, heard)
    report = check(history, groups=["bank.hear"])
    print(f"{killed} members left: {report}; slowest delivery {slowest(history):.2f} s")
    assert report.is_clean, report
    assert report.delivered == {"bank.hear": 10_000}


async def caught_up(url: str) -> None:
    """Wait until no group lags."""
    log = await open_log(url)
    ear = log.bell.listen()
    async with asyncio.timeout(WITHIN):
        while any(group.lag for group in await log.ledger.groups()):
            await ear.wait(0.05)
    await log.close()


def slowest(history: History) -> float:
    """Seconds from an event's publishing to its first delivery, at the most."""
    asked = {fact.event_id: fact.moment for fact in history.facts if fact.what == "attempted"}
    first: dict[str, int] = {}
    for fact in history.facts:
        if fact.what == "delivered":
            first.setdefault(fact.event_id, fact.moment)
    return max(moment - asked[event_id] for event_id, moment in first.items()) / 1e9
