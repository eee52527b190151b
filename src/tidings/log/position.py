"""Positions: opaque, sortable text that names one place in one life of one log.

A position is `<epoch>-<order>`. The *order* is the log's own number, rising with every event. The *epoch* names the
life of the log the number belongs to: it changes when a backup is opened, because from then on the same numbers are
given to other events. Text sorts as the log does, so positions can be compared without knowing what they mean.
"""

import secrets
from functools import lru_cache

import msgspec

from tidings.errors import LogTruncated

Position = str
START: Position = ""
_ORDER_DIGITS = 16


class Epoch(msgspec.Struct, frozen=True):
    """One life of a log: how many came before it, a random mark, and the order after which it began."""

    counter: int
    mark: str
    begins_after: int = 0

    @classmethod
    def first(cls) -> "Epoch":
        """The life of a log just created."""
        return cls(1, secrets.token_hex(4))

    def following(self, tip: int) -> "Epoch":
        """The life that begins when a copy of this log, ending at order `tip`, is opened as the log."""
        return Epoch(self.counter + 1, secrets.token_hex(4), tip)

    @property
    def name(self) -> str:
        """What positions of this life begin with."""
        return _name(self.counter, self.mark)

    def position(self, order: int) -> Position:
        """The position of `order`; order 0 is the start of the log, which is the same in every life."""
        return f"{_name(self.counter, self.mark)}-{order:016x}" if order else START


@lru_cache
def _name(counter: int, mark: str) -> str:
    return f"{counter:04x}{mark}"


def order_in(position: Position) -> int:
    """The order that a position of the log at hand says, taken at its word."""
    return int(position[-_ORDER_DIGITS:], 16) if position else 0


def before(position: Position, orders: int = 1) -> Position:
    """The place so many orders before a position: by one, and who reads on from there meets what is recorded at it."""
    order = order_in(position) - orders
    return f"{position[:-_ORDER_DIGITS]}{order:0{_ORDER_DIGITS}x}" if order > 0 else START


def order_of(position: Position, epochs: list[Epoch], tip: int) -> int:
    """The order `position` stands for in a log with this history of `epochs` (oldest first) ending at order `tip`.

    Raises:
        LogTruncated: the position is of a life this log does not share, or past its end.
    """
    if position == START:
        return 0
    name, _, digits = position.rpartition("-")
    try:
        order = int(digits, 16)
    except ValueError:
        raise LogTruncated(position) from None
    for index, epoch in enumerate(epochs):
        if epoch.name == name:
            end = epochs[index + 1].begins_after if index + 1 < len(epochs) else tip
            if order <= end:
                return order
    raise LogTruncated(position, epochs[-1].position(tip))
