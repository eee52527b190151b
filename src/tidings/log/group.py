"""Groups: who reads what, which lanes of it a member owns, and how a group stands."""

from typing import Literal

import msgspec

from tidings.log.position import Epoch, Position

LANES = 16
ORPHAN_AFTER = 7 * 86_400.0  # seconds


class Group(msgspec.Struct, frozen=True):
    """A named reader: `patterns` say what it hears (none: it reads nothing), `start` where a new one begins.

    When nobody has run it for `orphan_after` seconds it is an orphan: nothing is kept for it any more.
    """

    name: str
    patterns: tuple[str, ...] = ("**",)
    start: Literal["earliest", "latest"] | Position = "earliest"
    orphan_after: float = ORPHAN_AFTER


class Lease(msgspec.Struct):
    """The lanes of a group that one member owns, how far each is done, and the fence that proves it."""

    group: str
    member: str
    fence: int
    lanes: dict[int, int]  # lane -> order up to which it is done
    cursor: Position  # the lowest of them
    epoch: Epoch
    state: Literal["live", "paused"] = "live"
    members: int = 1

    @property
    def uneven(self) -> bool:
        """Are some lanes further than others? Then what they have done must be passed over."""
        return len(set(self.lanes.values())) > 1


class Report(msgspec.Struct, frozen=True):
    """What one member last said of its work on a group; every member of a group may say something else."""

    group: str
    member: str
    at: float  # seconds since 1970 UTC
    handled: float = 0.0  # events a second
    arriving: float = 0.0  # events for this group that were recorded, a second
    seconds: float = 0.0  # from one event's call to the next one's, on average
    hindrance: str = ""  # what keeps this process from getting on, in words


class GroupStatus(msgspec.Struct, frozen=True):
    """A group as operators see it: `live`, `paused` by somebody, or `orphaned`, as nobody has run it for long."""

    name: str
    patterns: tuple[str, ...]
    state: str
    position: Position
    lag: int  # events between its slowest lane and the head, whether or not it wants them
    retry: int
    blocked: int
    dead: int
    members: tuple[str, ...]  # those alive that own lanes
    last_seen: float = 0.0  # when somebody last ran it; to about an hour, where that process died with its machine
    why: str = ""  # the reason of a pause
    note: str = ""  # see `Ledger.note`
    reports: tuple[Report, ...] = ()


class GroupLanes(msgspec.Struct, frozen=True):
    """A group that reads, and the order up to which each of its lanes is done."""

    name: str
    patterns: tuple[str, ...]
    state: str
    lanes: tuple[int, ...]
