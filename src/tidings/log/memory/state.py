"""What a log in memory holds, and how it grows; shared by all that opened it under one name."""

import itertools
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from tidings.log.bell import Bell
from tidings.log.expectation import conflict, distinct, holds, recorded_before
from tidings.log.interface import Appended, Expect, Parked
from tidings.log.memory.group import KnownGroup
from tidings.log.memory.lineage import Fates
from tidings.log.memory.waiting import Waiting
from tidings.log.position import Epoch, Position, order_of
from tidings.log.record import Draft, Record
from tidings.log.refusals import no_group


class State:
    """Records by order, by id and by stream; and the groups that read them."""

    def __init__(self) -> None:
        self.epoch = Epoch.first()
        self.bell = Bell()
        self.records: list[Record] = []  # order n stands at n - 1
        self.public: list[bool] = []  # beside each record
        self.keys: list[str | None] = []
        self.by_id: dict[tuple[str, str], int] = {}  # (id, source) -> order
        self.streams: dict[str, list[Record]] = {}  # version n stands at n - 1
        self.groups: dict[str, KnownGroup] = {}
        self.waiting = Waiting()  # to be recorded later
        self.fates = Fates()
        self.alive: set[str] = set()  # members whose log is open
        self.numbers = itertools.count(1)  # of members
        self.users = 0

    @property
    def tip(self) -> int:
        """The order of the newest record."""
        return len(self.records)

    def order(self, position: Position) -> int:
        """The order `position` stands for; see `order_of`."""
        return order_of(position, [self.epoch], self.tip)

    def append(self, drafts: Sequence[Draft], stream: str | None, expect: Expect, now: float) -> Appended:
        """Record `drafts`, all or none; see `Log.append`."""
        before = recorded_before(drafts, [self._found(draft) for draft in drafts])
        position = self.epoch.position
        if before is not None:
            return Appended(position(before.first), position(before.last), before.stream_version, duplicate=True)
        version = len(self.streams.get(stream, ())) if stream is not None else None
        if stream is not None and version is not None and not holds(expect, version):
            raise conflict(stream, expect, version)
        first = self.tip + 1
        self._write(drafts, stream, now)
        return Appended(position(first), position(self.tip), None if version is None else version + len(drafts))

    def absorb(self, drafts: Sequence[Draft], now: float) -> int:
        """Record those that are not recorded, and say how many."""
        new = [draft for draft in distinct(drafts) if (draft.id, draft.source) not in self.by_id]
        self._write(new, None, now)
        return len(new)

    def content(self, draft: Draft) -> tuple[str, bytes, str | None] | None:
        """What is recorded under the id of `draft`: type, data, key."""
        found = self._found(draft)
        return None if found is None else found[2:]

    def log_time(self, now: float) -> int:
        """Microseconds since 1970, which never fall, whatever the clock does."""
        return max(int(now * 1e6), self.records[-1].recorded_at if self.records else 0)

    def group(self, name: str) -> KnownGroup:
        """A group that an operator named.

        Raises:
            ConfigurationError: there is none of this name.
        """
        if name not in self.groups:
            raise no_group(name)
        return self.groups[name]

    def with_record(self, one: Parked) -> Parked:
        """A parked event as callers see it; without its record when the log does not have it."""
        record = self.records[one.order - 1] if one.order <= self.tip else None
        return replace(one, record=record, position=self.epoch.position(one.order))

    def bury(self, members: Iterable[str], now: float) -> None:
        """Free the lanes of `members` in every group."""
        for name in members:
            for group in self.groups.values():
                group.give_back(name, now)

    def ring(self, *, control: bool = False) -> None:
        """Tell whoever listens that there is news; `control` when it is not of events."""
        self.bell.news(self.epoch.position(self.tip), self.bell.control + control)

    def _found(self, draft: Draft) -> tuple[int, int | None, str, bytes, str | None] | None:
        order = self.by_id.get((draft.id, draft.source))
        if order is None:
            return None
        record = self.records[order - 1]
        return order, record.stream_version, record.type, record.data, self.keys[order - 1]

    def _write(self, drafts: Sequence[Draft], stream: str | None, now: float) -> None:
        recorded_at = self.log_time(now)
        for draft in drafts:
            self._add(draft, stream, recorded_at)
        if drafts:
            self.ring()

    def _add(self, draft: Draft, stream: str | None, recorded_at: int) -> None:
        record = Record(
            self.tip + 1,
            draft.type,
            draft.version,
            draft.data,
            draft.checksum,
            draft.slot,
            recorded_at,
            stream,
            None,
            draft.envelope,
        )
        if stream is not None:
            self.streams.setdefault(stream, []).append(record)
            record.stream_version = len(self.streams[stream])
        self.records.append(record)
        self.public.append(draft.public)
        self.keys.append(draft.key)
        self.by_id[draft.id, draft.source] = record.order
