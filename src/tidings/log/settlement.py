"""`Settlement`: the answers to a batch, and all that commits with them."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from tidings.log.group import Lease
from tidings.log.lineage import Outcome
from tidings.log.parked import Parked
from tidings.log.position import Position
from tidings.log.record import Draft
from tidings.log.timers import Timer


class Work(Protocol):
    """Handlers that run inside the settlement's transaction, and put their answers into it."""

    def __call__(self, tx: Any, *, careful: bool) -> None:
        """Run them with `tx`; `careful` after a failure: each event in `tx.attempt()`, a savepoint of its own."""


class Settlement(msgspec.Struct):
    """The answers to a batch, committed in one transaction or, when the lease is lost, not at all."""

    lease: Lease
    upto: Position | None = None  # all that came before is answered
    events: list[Draft] = []  # effects; those recorded before are passed over
    timers: list[Timer] = []  # effects that are to be recorded later; those that wait or have fired are passed over
    parked: list[Parked] = []  # new, or changed
    cleared: list[int] = []  # parked events that are done with
    writes: list[tuple[str, Sequence[Any], int | None]] = []  # statements, with the rows each must touch
    work: Work | None = None
    patterns: tuple[str, ...] = ()  # what the reader hears of, for the lineage; empty: what the group hears
    outcomes: list[Outcome] = []  # for the lineage: handled after trouble, or passed over; `parked` speaks for itself

    @property
    def told(self) -> list[Outcome]:
        """What the lineage says of single events."""
        aside = [Outcome(one.order, one.slot, one.state, one.attempts, one.reason) for one in self.parked]
        return [*aside, *self.outcomes]
