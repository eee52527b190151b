"""A full disk: publishers are told so, consumers keep their answers with the reserve, and all goes on with new room."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.crash.oracle import recorded
from tests.crash.patience import idle, parked, until
from tests.crash.processes import Start
from tests.crash.programs.coins import CoinPaid, paid
from tidings import App, Retry
from tidings.errors import DiskFull
from tidings.log import Log
from tidings.log.sqlite import SqliteLog
from tidings.log.sqlite.session import Session


async def limit(log: Log, *, room: int | None) -> None:
    """Give the file `room` more pages, or all there are."""
    assert isinstance(log, SqliteLog)

    def run(session: Session, careful: bool) -> None:
        (pages,) = session.connection.execute("PRAGMA page_count").fetchone()
        session.connection.execute(f"PRAGMA max_page_count = {2**30 if room is None else pages + room}").fetchone()

    await log.threads.write(run)


async def filled(app: App, events: int) -> int:
    """Publish until the log is full; the number of the next coin."""
    while True:
        try:
            await app.publish_many([paid(CoinPaid("filler", number)) for number in range(events, events + 5)])
        except DiskFull:
            return events
        events += 5


async def test_a_consumer_on_a_full_disk_loses_no_answer_and_goes_on_when_there_is_room(url: str) -> None:
    app, healed, booked = App("bank", url), asyncio.Event(), []
    soon = Retry(attempts=2, inline=0, wait=0.01)

    @app.on("coin:paid", retry=soon)
    async def book(coin: dict[str, object]) -> None:
        if coin["account"] == "poison" and not healed.is_set():
            raise ValueError("a false coin" * 500)
        booked.append((coin["account"], coin["number"]))

    async with app.running():
        await limit(app.log, room=60)
        published = await filled(app, 1)
        await limit(app.log, room=3)
        await app.publish_many([paid(CoinPaid("poison", number)) for number in range(1, 4)])
        await limit(app.log, room=0)
        await until(app, lambda: booked[-1:] == [("filler", published - 1)])
        with pytest.raises(DiskFull):
            await app.publish_many([paid(CoinPaid("filler", number)) for number in range(published, published + 50)])

        await limit(app.log, room=None)
        (dead,) = await parked(app, "dead", 1)
        assert (dead.event_id, dead.attempts) == ("poison:1", 2)
        await parked(app, "blocked", 2)
        await app.publish_many([paid(CoinPaid("filler", published))])
        healed.set()
        await app.log.ledger.retry("bank.book")
        await idle(app)
        events = await recorded(app.log)

    assert len(events) == published + 3
    assert {(account, number) for account, number in booked} == {
        *(("filler", number) for number in range(1, published + 1)),
        *(("poison", number) for number in (1, 2, 3)),
    }
    assert [number for account, number in booked if account == "poison"] == [1, 2, 3]


def small_disk(folder: Path) -> tuple[str, ...] | None:
    """The words before a command that see 8 MB at `folder`, where the system lets us have such a thing."""
    folder.mkdir()
    words = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
    script = f'mount -t tmpfs -o size=8m,mode=700 none "{folder}" && exec "$@"'
    if shutil.which("unshare") is None:
        return None
    tried = subprocess.run([*words, script, "sh", "true"], capture_output=True, timeout=20, check=False)
    return None if tried.returncode else (*words, script, "sh")


def test_on_a_disk_that_is_really_full_the_reserve_keeps_the_dead_letters(start: Start, tmp_path: Path) -> None:
    before = small_disk(tmp_path / "disk")
    if before is None:
        pytest.skip("no file system of our own can be mounted here (unshare --user --mount)")

    child = start("full_disk", tmp_path / "disk", before=before)
    said = {line[0]: line[1:] for line in child.lines()}

    print(said)
    assert child.wait() == 0, child.errors()
    assert said["dead"] == ["poison:1", "attempts=2"]
    assert said["cursor"] == ["lag=0"]
    assert said["reserve"] == ["used"]
    assert said["append"] == ["DiskFull"]
    assert said["again"] == ["recorded"]
    assert said["events"] == ["sound"]
