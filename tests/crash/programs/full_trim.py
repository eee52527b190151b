"""Fills the disk its log is on, then trims: `full_trim FOLDER`. Says what held."""

import asyncio
import sys
from pathlib import Path

from tests.crash.programs.coins import CoinPaid, paid
from tests.crash.programs.full_disk import fill
from tests.crash.programs.talk import say
from tidings.errors import DiskFull
from tidings.log import Log, Retain, open_log
from tidings.log.census import Census
from tidings.log.retention import Retention
from tidings.log.trimming import sweep

OLD = 4000
RULES = Retention({"**": Retain(size=1)})


async def append(log: Log, first: int, count: int) -> None:
    await log.append([paid(CoinPaid("a", number)) for number in range(first, first + count)])


async def main(folder: Path) -> None:
    log = await open_log(f"sqlite:///{folder}/log.db")
    for first in range(0, OLD, 1000):
        await append(log, first, 1000)
    fill(folder / "filler")
    number = OLD
    try:
        while number < 10 * OLD:
            await append(log, number, 100)
            number += 100
    except DiskFull:
        say("append", "DiskFull")
    before = (await log.disk()).free
    steps = [step async for step in sweep(log, RULES, Census(), 0.0)]
    gone = sum(tally.events for step in steps for tally in step.removed.values())
    say("trimmed", "all" if gone == number - 1 else gone)
    say("room", "made" if (await log.disk()).free > before else "none")
    for first in range(number, number + 1000, 100):
        await append(log, first, 100)
    say("again", "recorded")
    findings = [finding.what async for step in log.verify() for finding in step.flaws]
    say("file", findings or "sound")
    await log.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
