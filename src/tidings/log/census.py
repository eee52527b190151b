"""A `Census`: how much of each kind lies where in a log, counted once and kept up to date.

Rules by size have to know what there is, and nothing in a log says how much there is of a name. So the log is read once
in the background, and from then on only what has come is counted.
"""

from collections.abc import AsyncIterator, Callable, Iterable

import msgspec

from tidings.log.interface import Log
from tidings.log.position import START, Position, order_in
from tidings.log.retention import Kind, Survey, Tally, Trimmed

BLOCK = 5000  # orders


class Block(msgspec.Struct):
    """What lies between two places."""

    after: Position
    upto: Position
    kinds: dict[Kind, Tally]
    quiet_until: float = 0.0  # what it still has is held back: no need to look again before

    @property
    def first(self) -> int:
        """The order it comes after."""
        return order_in(self.after)

    @property
    def last(self) -> int:
        """The order it goes up to."""
        return order_in(self.upto)


class Census:
    """The counts of one log, block by block."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.is_sound = True  # False: somebody else has trimmed meanwhile, so that there is less than was counted
        self._closed = START  # blocks up to here are complete; the one behind still grows
        self._trimmed = 0  # as the log had it when this was counted

    async def count(self, log: Log, upto: Position | None = None) -> AsyncIterator[Block]:
        """Count what has come, or everything anew when somebody else has trimmed; no further than `upto`, or about."""
        if upto == START:
            return
        found = await self._begin(log)
        while True:
            self.is_sound = self.is_sound and found.trimmed == self._trimmed
            block = Block(found.after, found.upto, found.kinds)
            if block.kinds:
                self.blocks.append(block)
            if found.at_head or (upto is not None and block.last >= order_in(upto)):
                return
            self._closed = found.upto
            yield block
            found = await log.survey(self._closed, BLOCK)

    def subtract(self, block: Block, step: Trimmed) -> None:
        """Count what was removed no more."""
        for kind, tally in step.removed.items():
            left = block.kinds.get(kind, Tally())
            left.events -= tally.events
            left.bytes -= tally.bytes
            if left.events <= 0:
                block.kinds.pop(kind, None)
            self._trimmed += tally.events
        self.is_sound = self.is_sound and step.total == self._trimmed

    async def _begin(self, log: Log) -> Survey:
        while self.blocks and self.blocks[-1].upto > self._closed:
            self.blocks.pop()
        found = await log.survey(self._closed, BLOCK)
        if self._closed != START and not (self.is_sound and found.trimmed == self._trimmed):
            self.blocks, self._closed = [], START
            found = await log.survey(START, BLOCK)
        self.is_sound, self._trimmed = True, found.trimmed
        return found

    def kinds(self) -> set[Kind]:
        """Every kind there is."""
        return {kind for block in self.blocks for kind in block.kinds}

    def tally(self, wanted: Callable[[Kind], bool]) -> Tally:
        """How much there is of these kinds."""
        return total(self.blocks, wanted)


def total(blocks: Iterable[Block], wanted: Callable[[Kind], bool]) -> Tally:
    """How much these blocks have of the wanted kinds."""
    tally = Tally()
    for block in blocks:
        for kind, one in block.kinds.items():
            if wanted(kind):
                tally.add(one)
    return tally
