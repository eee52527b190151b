"""A process killed in each window of each kind of transaction: all of it is done, or none, and the next one goes on."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.crash.oracle import effects, file_of, intact, returned, sound
from tests.crash.patience import parked
from tests.crash.processes import Child, Start
from tests.crash.programs.coins import CoinPaid, paid
from tests.crash.programs.window import ACCOUNT
from tidings import App, Retry

WINDOWS = ["begun", "written", "committed", "told"]


async def pay(url: str, *numbers: int) -> None:
    async with App("till", url) as app:
        await app.publish_many([paid(CoinPaid(ACCOUNT, number)) for number in numbers])


@pytest.mark.parametrize("count", [1, 3])  # one goes a shorter way
def test_an_append_killed_in_any_window_is_whole_or_absent_and_can_be_repeated(
    count: int, start: Start, url: str
) -> None:
    for number, window in enumerate(WINDOWS):
        numbers = [1 + number * count + each for each in range(count)]
        child = start("window", url, window, "append:" + ",".join(map(str, numbers)))
        assert child.wait() == -signal.SIGKILL, child.errors()

        found = {event.id for event in asyncio.run(sound(url))}
        kept = [f"{ACCOUNT}:{each}" in found for each in numbers]
        assert kept == [window in ("committed", "told")] * count

        asyncio.run(pay(url, *numbers))  # as a publisher does that was told nothing

    events = asyncio.run(sound(url))
    assert [event.id for event in events] == [f"{ACCOUNT}:{number}" for number in range(1, 4 * count + 1)]


@pytest.mark.parametrize(
    ("what", "failing"),
    [
        ("settle:bank.book", 0.0),  # handlers inside the transaction, and the events they return
        ("settle:bank.book", 0.5),  # some of them set aside
        ("settle:bank.note", 0.0),  # recorded statements
        ("settle:bank.hear", 0.0),  # progress alone
        ("join", 0.0),
        ("claim", 0.0),
        ("leave", 0.0),
    ],
)
def test_a_transaction_killed_in_any_window_leaves_each_effect_done_once(
    what: str, failing: float, start: Start, url: str, tmp_path: Path
) -> None:
    for number, window in enumerate(WINDOWS):
        asyncio.run(pay(url, *range(1 + number * 10, 11 + number * 10)))
        child = start("window", url, window, what, failing)
        if what == "leave":
            child.expect("idle")
            child.tell("leave")
        assert child.wait() == -signal.SIGKILL, child.errors()
    last = start("finish", url, tmp_path / "heard")
    last.expect("finished")

    events = asyncio.run(sound(url))
    effects(url, "booked", events)
    effects(url, "noted", events)
    returned(events)
    intact(url)


def test_lanes_given_back_by_a_member_killed_before_it_could_say_so_are_taken_up(
    start: Start, url: str, tmp_path: Path
) -> None:
    stays = start("worker", url, tmp_path / "heard", 1)
    owning(stays, 16)
    leaves = start("window", url, "committed", "leave")
    owning(leaves, 8)

    leaves.tell("leave")
    assert leaves.wait() == -signal.SIGKILL, leaves.errors()

    owning(stays, 8)
    owning(stays, 16, within=5.0)


def owning(child: Child, lanes: int, *, within: float = 20.0) -> None:
    """Wait until it has claimed so many lanes of each of its three groups."""
    owned: dict[str, str] = {}
    for line in child.lines(within=within):
        if line[0] == "claim":
            owned[line[2]] = line[3]
        if list(owned.values()) == [f"lanes={lanes}"] * 3:
            return
    raise AssertionError(child.errors())


async def test_a_wish_committed_by_an_operator_killed_before_they_could_ring_is_heard(start: Start, url: str) -> None:
    app = App("bank", url)
    healed, called = asyncio.Event(), asyncio.Event()

    @app.on("coin:paid", retry=Retry.never())
    async def book(coin: object) -> None:
        called.set()
        if not healed.is_set():
            raise ValueError("not a coin")

    async with app.running():
        await app.publish("coin:paid", {"account": "a", "number": 1}, key="a")
        await parked(app, "dead", 1)
        healed.set()

        child = await asyncio.to_thread(start, "wish", file_of(url), "committed", "retry", "bank.book")
        assert await asyncio.to_thread(child.wait) == -signal.SIGKILL

        await parked(app, "dead", 0)
        await parked(app, "retry", 0, within=3.0)
