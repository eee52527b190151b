"""Following a log: slices until the head, then a wait for the bell."""

from collections.abc import AsyncIterator
from typing import Protocol

from tidings.log.bell import Bell
from tidings.log.position import Position
from tidings.log.slices import Slice, Where

SLOW_LOOK = 0.5  # seconds: the bell is a hint, this is the truth


class Scanned(Protocol):
    """What `tail` needs of a log."""

    bell: Bell

    async def scan(self, after: Position, where: Where, limit: int) -> Slice:
        """One look."""


async def tail(log: Scanned, after: Position, where: Where, batch: int) -> AsyncIterator[Slice]:
    """Slices past `after`, for ever; those in which nothing fitted are left out."""
    ear = log.bell.listen()
    try:
        while True:
            found = await log.scan(after, where, batch)
            after = found.upto
            if found.records:
                yield found
            if found.at_head:
                await ear.wait(SLOW_LOOK)
    finally:
        log.bell.forget(ear)
