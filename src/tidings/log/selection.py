"""Which events may go, and who holds the others back: the same answer from every log.

A log asks within the transaction that removes them, so that nobody can need an event between the question and its end.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from tidings.events import PatternSet
from tidings.log.retention import Cut, Holder, Kind, Tally

HOLDING = ("live", "paused")  # states in which a group still wants what it has not heard


class Candidate(NamedTuple):
    """An event that a cut speaks of."""

    order: int
    type: str
    bytes: int
    recorded_at: int
    stream: str | None
    stream_version: int | None


class Reading(NamedTuple):
    """A group as trimming sees it: its slowest lane is at `order`."""

    name: str
    patterns: Sequence[str]
    state: str
    order: int


class Floors:
    """How far each name has been heard by all that hear it."""

    def __init__(self, groups: Iterable[Reading]) -> None:
        holding = sorted((group for group in groups if group.state in HOLDING), key=lambda group: group.order)
        self._groups = [(group, PatternSet(group.patterns)) for group in holding if group.patterns]
        self._known: dict[str, Reading | None] = {}

    def slowest(self, type: str) -> Reading | None:
        """The group that is least far of those that hear this name; None: nobody hears it."""
        if type not in self._known:
            hearing = (group for group, hears in self._groups if hears.matches(type))
            self._known[type] = next(hearing, None)
        return self._known[type]


class Selection:
    """What is removed, and what is held back, of some candidates in the order of the log."""

    def __init__(
        self,
        cuts: Mapping[str, Cut],
        floors: Floors,
        parked: Mapping[int, str],
        span: Callable[[str], tuple[int, int]],
    ) -> None:
        self.orders: list[int] = []
        self.removed: dict[Kind, Tally] = {}
        self.held: dict[tuple[Kind, Holder], Tally] = {}
        self._cuts = cuts
        self._floors = floors
        self._parked = parked  # order -> a group that has set it aside
        self._span = span  # the first and last version that a stream has
        self._spans: dict[str, tuple[int, int]] = {}

    def consider(self, candidates: Iterable[Candidate]) -> None:
        """Choose among these."""
        for one in candidates:
            cut = self._cuts[one.type]
            if one.order > cut.upto or (one.stream is not None and not cut.streams):
                continue
            kind = Kind(one.type, one.stream is not None)
            holder = self._holder(one)
            tally = Tally(1, one.bytes, one.recorded_at)
            if holder is not None:
                self.held.setdefault((kind, holder), Tally()).add(tally)
                continue
            self.orders.append(one.order)
            self.removed.setdefault(kind, Tally()).add(tally)

    def _holder(self, one: Candidate) -> Holder | None:
        slowest = self._floors.slowest(one.type)
        if slowest is not None and one.order > slowest.order:
            return Holder("cursor", slowest.name)
        if one.order in self._parked:
            return Holder("parked", self._parked[one.order])
        if one.stream is not None and not self._begins(one.stream, one.stream_version or 0):
            return Holder("stream")
        return None

    def _begins(self, stream: str, version: int) -> bool:
        """Does the stream begin here by now, and does something follow? With a hole it would tell half a story."""
        if stream not in self._spans:
            self._spans[stream] = self._span(stream)
        first, last = self._spans[stream]
        if version != first or version == last:
            return False
        self._spans[stream] = (first + 1, last)
        return True
