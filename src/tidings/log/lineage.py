"""What became of events: one row for all that a settlement simply handled, one of its own for each that was in trouble.

Rows have numbers that rise, and the story of an event in a group is told in their order: *passages* (an `upto` further
than `after`, all handled at their first call), and after each passage what it does not say of single events.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

EVERYWHERE = 2**62  # an order that no log reaches
COALESCE = 1_000_000  # microseconds that one passage may take in the progress of: a catch-up writes one row a second
LONGEST_REASON = 300  # characters; a parked event has the whole of it
GROUP_WIDE = ("reset", "forgotten")

What = Literal[
    "handled",
    "retry",  # parked, to be tried again
    "blocked",  # parked behind an earlier event of its key
    "dead",
    "passed",  # left out on purpose: throttled, superseded
    "retried",  # an operator made it due again
    "dropped",  # an operator gave it up
    "lost",  # the member that had these lanes died or stood still: it may have called the handler
    "reset",  # an operator moved the group to `after`, and it forgot what was parked
    "forgotten",  # an operator deleted the group
    "duplicate",  # it came again and was not recorded a second time; of no group
]


class Outcome(msgspec.Struct, gc=False):
    """What became of one event, where more is to be said than that it was handled at the first call."""

    order: int
    slot: int
    what: What
    attempts: int = 0  # calls in all
    reason: str = ""


class Fate(msgspec.Struct, gc=False):
    """One row: what became of the events past `after`, up to `upto`, in some lanes."""

    number: int
    group: str  # empty: the log's own doing
    what: What
    after: int
    upto: int
    lanes: int  # a bit each
    began: int  # microseconds since 1970, the log's own time
    ended: int
    member: str = ""
    attempts: int = 0
    reason: str = ""  # why; of a passage the patterns that its reader heard of, as `heard` writes them

    @property
    def is_passage(self) -> bool:
        """Does it speak of all that simply was handled, and not of one event?"""
        return self.what == "handled" and not self.attempts

    @property
    def patterns(self) -> tuple[str, ...]:
        """What the reader of a passage heard of; nothing where it did not say."""
        return tuple(self.reason.split())

    def concerns(self, order: int, lane: int) -> bool:
        """Does it speak of the event with this order and lane?"""
        return self.what in GROUP_WIDE or (self.after < order <= self.upto and bool(self.lanes >> lane & 1))


class Places:
    """Some events, by order and lane, in a form that many rows can quickly be held against."""

    def __init__(self, places: Iterable[tuple[int, int]]) -> None:
        known = sorted(set(places))
        self._orders = [order for order, _ in known]
        self._lanes = [lane for _, lane in known]

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last order."""
        return self._orders[0], self._orders[-1]

    def concerned(self, fate: Fate) -> bool:
        """Does the row speak of any of them?"""
        first, end = bisect_right(self._orders, fate.after), bisect_right(self._orders, fate.upto)
        return fate.what in GROUP_WIDE or any(fate.lanes >> lane & 1 for lane in self._lanes[first:end])


def heard(patterns: Sequence[str]) -> str:
    """Patterns as a passage keeps them: they have no spaces."""
    return " ".join(patterns)


def runs(orders: Sequence[int]) -> list[tuple[int, int]]:
    """Orders as few stretches `(after, upto]`."""
    found: list[tuple[int, int]] = []
    for order in sorted(set(orders)):
        if found and found[-1][1] == order - 1:
            found[-1] = (found[-1][0], order)
        else:
            found.append((order - 1, order))
    return found
