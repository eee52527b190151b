"""What goes in and what comes out: what an append may expect and gives, what a reader wants and gets."""

from enum import Enum

import msgspec

from tidings.log.position import Epoch, Position
from tidings.log.record import Record


class Expected(Enum):
    """What an append may expect of its stream, beside an exact version."""

    ANY = "any"
    NONE = "none"
    EXISTS = "exists"


ANY, NONE, EXISTS = Expected.ANY, Expected.NONE, Expected.EXISTS
Expect = Expected | int


class Appended(msgspec.Struct, frozen=True):
    """Where events were recorded. With `duplicate` they had been recorded before, there, and nothing was written.

    Positions are empty when the append is part of a transaction that has yet to commit.
    """

    first: Position
    last: Position
    stream_version: int | None = None
    duplicate: bool = False


class Where(msgspec.Struct, frozen=True):
    """What a reader wants to see: exact `types` and `lanes` (None: all), public events only, whole records or lean."""

    types: frozenset[str] | None = None
    lanes: frozenset[int] | None = None  # a lane holds the slots that leave it as remainder of LANES
    public: bool = False
    lean: bool = False
    passing: frozenset[int] = frozenset()  # orders that are not even looked at, damaged ones among them


ALL = Where()


class Slice(msgspec.Struct):
    """One look at the log: the `records` that fit, and `upto`: how far it looked. Cursors commit `upto`."""

    records: list[Record]
    after: Position
    upto: Position
    at_head: bool
    epoch: Epoch

    def position(self, record: Record) -> Position:
        """The position of one of these records."""
        return self.epoch.position(record.order)
