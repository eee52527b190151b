"""What a log in memory holds, and how it grows; shared by all that opened it under one name."""

import bisect
import itertools
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from tidings.log.bell import Bell, Counters
from tidings.log.expectation import conflict, distinct, holds, recorded_before
from tidings.log.memory.group import KnownGroup
from tidings.log.memory.lineage import Fates
from tidings.log.memory.waiting import Waiting
from tidings.log.parked import Parked
from tidings.log.position import Epoch, Position, order_of
from tidings.log.record import Adopted, Draft, Record
from tidings.log.refusals import no_group
from tidings.log.slices import Appended, Expect


class State:
    """Records by order, by id and by stream; and the groups that read them."""

    def __init__(self) -> None:
        self.epoch = Epoch.first()
        self.bell = Bell()
        self.tip = 0  # the order of the newest record there ever was
        self.trimmed = 0  # how many records there were and are not any more
        self.records: list[Record] = []  # by order, which has holes where records were trimmed
        self.public: set[int] = set()  # orders
        self.keys: dict[int, str | None] = {}  # by order
        self.by_id: dict[tuple[str, str], int] = {}  # (id, source) -> order
        self.streams: dict[str, list[Record]] = {}  # by version, the first of which may be trimmed
        self.versions: dict[str, int] = {}  # stream -> its newest version
        self.groups: dict[str, KnownGroup] = {}
        self.waiting = Waiting()  # to be recorded later
        self.fates = Fates()
        self.alive: set[str] = set()  # members whose log is open
        self.numbers = itertools.count(1)  # of members
        self.changes = itertools.count(1)  # of what is parked
        self.users = 0

    @property
    def before_first(self) -> int:
        """The order that all records come after."""
        return self.records[0].order - 1 if self.records else self.tip

    def order(self, position: Position) -> int:
        """The order `position` stands for; see `order_of`."""
        return order_of(position, [self.epoch], self.tip)

    def append(self, drafts: Sequence[Draft], stream: str | None, expect: Expect, now: float) -> Appended:
        """Record `drafts`, all or none; see `Log.append`."""
        before = recorded_before(drafts, [self._found(draft) for draft in drafts])
        position = self.epoch.position
        if before is not None:
            return Appended(position(before.first), position(before.last), before.stream_version, duplicate=True)
        version = self.versions.get(stream, 0) if stream is not None else None
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

    def adopt(self, given: Sequence[Adopted], now: float) -> int:
        """Record those that are not recorded, each where its stream says, or none; how many."""
        first = {id(draft) for draft in distinct([one.draft for one in given])}
        new = [one for one in given if id(one.draft) in first and (one.draft.id, one.draft.source) not in self.by_id]
        versions: dict[str, int] = {}
        for one in new:
            if one.stream is not None:
                version = versions.get(one.stream, self.versions.get(one.stream, 0))
                if version and one.version != version + 1:
                    raise conflict(one.stream, one.version - 1, version)
                versions[one.stream] = one.version
        for one in new:
            if one.stream is not None:
                self.versions[one.stream] = one.version - 1
            self._write([one.draft], one.stream, now)
        return len(new)

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
        return replace(one, record=self.record(one.order), position=self.epoch.position(one.order))

    def index_after(self, order: int) -> int:
        """Where in `records` what comes after `order` begins."""
        return bisect.bisect_right(self.records, order, key=_order)

    def record(self, order: int) -> Record | None:
        """The record of this order, if it is there."""
        index = self.index_after(order) - 1
        return self.records[index] if index >= 0 and self.records[index].order == order else None

    def bury(self, members: Iterable[str], now: float) -> None:
        """Free the lanes of `members` in every group."""
        for name in members:
            for group in self.groups.values():
                group.give_back(name, now)

    def ring(self, *, control: bool = False, timers: bool = False) -> None:
        """Tell whoever listens that there is news; `control` and `timers` say of what when it is not of events."""
        counters = Counters(self.bell.control + control, self.bell.timers + timers)
        self.bell.news(self.epoch.position(self.tip), counters)

    def _found(self, draft: Draft) -> tuple[int, int | None, str, bytes, str | None] | None:
        order = self.by_id.get((draft.id, draft.source))
        if order is None:
            return None
        record = self.record(order)
        assert record is not None
        return order, record.stream_version, record.type, record.data, self.keys[order]

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
            record.stream_version = self.versions[stream] = self.versions.get(stream, 0) + 1
        self.tip = record.order
        self.records.append(record)
        if draft.public:
            self.public.add(record.order)
        self.keys[record.order] = draft.key
        self.by_id[draft.id, draft.source] = record.order


def _order(record: Record) -> int:
    return record.order
