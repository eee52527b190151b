"""A `Trace` as data: events, each with what its groups did with it and with the events it caused."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import msgspec

from tidings.log.lineage import What

State = Literal[
    "handled",
    "retry",
    "blocked",
    "dead",
    "passed",  # left out on purpose
    "dropped",  # given up by an operator
    "waiting",  # the group has not come so far
    "unknown",  # the group is past it, and nothing is kept of what it did
    "forgotten",  # the group was deleted
]


class Step(msgspec.Struct, frozen=True):
    """One thing that is kept of an event."""

    what: What
    at: datetime  # to a second where nothing failed
    member: str = ""
    calls: int = 0  # of the handler, in all
    reason: str = ""


class Reception(msgspec.Struct, frozen=True):
    """What one group did with one event."""

    group: str
    state: State
    at: datetime | None = None  # when it came to this
    member: str = ""
    calls: int = 0
    reason: str = ""
    due: datetime | None = None  # of a retry
    behind: str | None = None  # the id of the event that a blocked one waits for
    lag: int = 0  # events between the group and one it has yet to come to
    is_paused: bool = False
    steps: tuple[Step, ...] = ()  # all that is kept, in the order in which it happened


class Traced(msgspec.Struct):
    """One event of a trace."""

    id: str
    source: str
    type: str
    version: int
    position: str
    recorded_at: datetime
    key: str | None = None
    stream: str | None = None
    causation_id: str | None = None
    correlation_id: str | None = None
    by: str | None = None  # the group whose handler returned it
    is_asked: bool = False
    is_foreign: bool = False  # another service's, arrived from the bus
    receptions: list[Reception] = []
    unheard_by: list[str] = []  # groups that do not hear it
    repeats: list[Step] = []  # it came again, and was dropped as a duplicate
    effects: list["Traced"] = []
    left_out: int = 0  # events it caused that are not shown


class Trace(msgspec.Struct):
    """The way to an event from its oldest known cause, and all that came of it, as far as was looked."""

    asked: str  # id
    root: Traced
    lost_cause: str | None = None  # the root's cause, which is not in this log
    upto: str = ""  # the position looked to
    is_complete: bool = True  # was that the log's end, and nothing left out?

    def events(self) -> Iterator[Traced]:
        """Every event, causes before effects."""
        waiting = [self.root]
        while waiting:
            event = waiting.pop()
            yield event
            waiting += reversed(event.effects)
