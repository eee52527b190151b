"""How a child speaks with its test: lines on its pipes."""

import asyncio
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from tidings.concurrency import DedicatedThread
from tidings.testing import History


def say(*words: object) -> None:
    """One line, in one write, there at once."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def own_history(folder: str) -> History:
    """This process' file in `folder`: what a killed one leaves torn is no other's line."""
    Path(folder).mkdir(exist_ok=True)
    return History(Path(folder) / str(os.getpid()))


class Told:
    """The lines the test writes."""

    def __init__(self) -> None:
        self._thread = DedicatedThread("told")

    async def line(self) -> list[str]:
        """The next one; an ended test writes none, and ends its child."""
        line: str = await self._thread.call(sys.stdin.readline)
        if not line:
            raise SystemExit("the test has ended")
        return line.split()

    async def until(self, word: str) -> None:
        """Wait for a line that begins with `word`."""
        while (await self.line())[0] != word:
            pass


def report(*what: str) -> None:
    """Say what the readers report: `claim`, `fence`, `trouble` ..., with the moment and the facts."""

    class Saying(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            facts: dict[str, Any] = getattr(record, "tidings", {})
            if facts.get("what") in what:
                told = [f"{name}={facts[name]}" for name in ("group", "lanes", "fence") if name in facts]
                say(facts["what"], time.monotonic(), *told)

    logger = logging.getLogger("tidings")
    logger.setLevel(logging.INFO)
    logger.addHandler(Saying(logging.INFO))


async def forever() -> None:
    """Until somebody ends it."""
    await asyncio.Event().wait()
