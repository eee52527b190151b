"""One group as memory knows it: who its members are, who owns which lane, and how far each lane is."""

from dataclasses import dataclass, field
from typing import Literal, Self

from tidings.log.balance import all_or_none, share, whole
from tidings.log.group import LANES, ORPHAN_AFTER, Group, GroupStatus, Lease, Report
from tidings.log.parked import Parked
from tidings.log.position import Epoch


@dataclass(slots=True)
class Lane:
    """One of the group's `LANES`."""

    position: int  # all up to here is answered
    owner: str | None = None
    fence: int = 0  # the owner's; a settlement with another one commits nothing


@dataclass(slots=True)
class KnownGroup:
    """A group that somebody has joined."""

    patterns: tuple[str, ...]
    lanes: list[Lane]
    last_seen: float = 0.0  # when somebody last ran it
    orphan_after: float = ORPHAN_AFTER
    why: str = ""  # the reason of a pause
    note: str = ""
    reports: dict[str, Report] = field(default_factory=dict)  # by member
    state: Literal["live", "paused"] = "live"
    fence: int = 0  # the last one given out
    members: set[str] = field(default_factory=set)
    parked: dict[int, Parked] = field(default_factory=dict)  # by order

    @classmethod
    def starting(cls, group: Group, start: int, now: float) -> Self:
        """A new group, all of whose lanes begin after order `start`."""
        return cls(group.patterns, [Lane(start) for _ in range(LANES)], now, group.orphan_after)

    def take_share(self, member: str, *, alone: bool = False) -> bool:
        """Give `member` its fair share of the lanes; says whether anything changed. See `balance`."""
        is_new = member not in self.members
        self.members.add(member)
        owned = self._owned(member)
        divide = all_or_none if alone else share
        wanted = divide([lane.owner for lane in self.lanes], sorted(self.members), member)
        if wanted != owned:
            self._hand_over(member, wanted, owned)
        return is_new or wanted != owned

    def lease(self, name: str, member: str, epoch: Epoch) -> Lease:
        """What `member` owns, under the group's `name`."""
        owned = sorted(self._owned(member))
        lanes = {number: self.lanes[number].position for number in owned}
        fence = max((self.lanes[number].fence for number in owned), default=self.fence)
        cursor = epoch.position(min(lanes.values(), default=0))
        return Lease(name, member, fence, lanes, cursor, epoch, self.state, len(self.members))

    def honours(self, lease: Lease) -> bool:
        """Does the lease's member own these very lanes, under this fence?"""
        owned = {number for number in self._owned(lease.member) if self.lanes[number].fence == lease.fence}
        return bool(owned) and owned == lease.lanes.keys()

    def give_back(self, member: str, now: float) -> None:
        """Free the lanes of `member`, who is one no more."""
        if member in self.members:
            self.last_seen = max(self.last_seen, now)
        self.members.discard(member)
        self.reports.pop(member, None)
        for number in self._owned(member):
            self.lanes[number].owner = None

    def restart(self, order: int) -> None:
        """Move every lane to `order`, and forget what is parked."""
        self.fence += 1  # whoever is in the middle of a batch must not move the lanes back
        self.parked.clear()
        for lane in self.lanes:
            lane.position, lane.owner = order, None

    @property
    def slowest(self) -> int:
        """The order up to which all is answered."""
        return min(lane.position for lane in self.lanes)

    def standing(self, alive: set[str], now: float) -> str:
        """Its state, which is `orphaned` when nobody has run it for long."""
        return "orphaned" if not self._there(alive) and now - self.last_seen > self.orphan_after else self.state

    def status(self, name: str, epoch: Epoch, before_first: int, tip: int, alive: set[str], now: float) -> GroupStatus:
        """The group as operators see it."""
        position = self.slowest
        states = [one.state for one in self.parked.values()]
        members = self._there(alive)
        last_seen = now if members else self.last_seen
        return GroupStatus(
            name,
            self.patterns,
            self.standing(alive, now),
            epoch.position(position),
            tip - max(position, before_first),
            states.count("retry"),
            states.count("blocked"),
            states.count("dead"),
            tuple(members),
            last_seen,
            self.why,
            self.note,
            tuple(self.reports.values()),
        )

    def _there(self, alive: set[str]) -> list[str]:
        return sorted({whole(lane.owner) for lane in self.lanes if lane.owner is not None} & alive)

    def _owned(self, member: str) -> set[int]:
        return {number for number, lane in enumerate(self.lanes) if lane.owner == member}

    def _hand_over(self, member: str, wanted: set[int], owned: set[int]) -> None:
        self.fence += 1
        for number in wanted:
            self.lanes[number].owner, self.lanes[number].fence = member, self.fence
        for number in owned - wanted:
            self.lanes[number].owner = None
