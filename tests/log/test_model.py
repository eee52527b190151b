"""Random use of a log and its ledger against a model of dicts and lists: whatever the order, they agree."""

import asyncio
import copy
import itertools
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tidings.clock import ManualClock
from tidings.errors import Fenced, IdReused, PartialDuplicate, VersionConflict
from tidings.events import Event
from tidings.log import ANY, EXISTS, NONE, START, Draft, Parked, Settlement, Where, open_log
from tidings.log.balance import share
from tidings.log.group import LANES, Group, Lease
from tidings.log.position import order_in
from tidings.log.record import draft, restore, slot_of

KEYS = ["a", "b", "c", None]
TYPES = ["created", "paid"]
GROUPS = ["g", "h"]
ids = st.lists(st.integers(0, 40), min_size=1, max_size=4, unique=True)
groups = st.sampled_from(GROUPS)
picks = st.integers(0, 10_000)


def event(number: int, *, other: bool = False) -> Event:
    """The event of this id; `other` content under the same id is a mistake of its producer."""
    return Event(
        id=f"id-{number}",
        source="shop",
        type=TYPES[number % 2],
        key=KEYS[number % 4],
        data={"number": number, "other": other},
    )


@dataclass
class Recorded:
    number: int
    other: bool
    stream: str | None
    version: int | None
    slot: int


@dataclass
class ModelGroup:
    positions: list[int]
    owners: list[str | None] = field(default_factory=lambda: [None] * LANES)
    fences: list[int] = field(default_factory=lambda: [0] * LANES)
    fence: int = 0
    state: str = "live"
    members: set[str] = field(default_factory=set)
    parked: dict[int, Parked] = field(default_factory=dict)

    def give_back(self, member: str) -> None:
        self.members.discard(member)
        self.owners = [None if owner == member else owner for owner in self.owners]


class LogMachine(RuleBasedStateMachine):
    """Steps, each taken by a log and by the model."""

    scheme: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        self.lives = itertools.count()
        self.clock = ManualClock()
        self.log = self.run(open_log(self.url(), clock=self.clock))
        self.events: list[Recorded] = []
        self.groups: dict[str, ModelGroup] = {}
        self.members: list[str] = []  # that are alive
        self.leases: list[Lease] = []

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(asyncio.wait_for(call, 30))

    def url(self) -> str:
        self.place = self.folder / str(next(self.lives))
        self.place.mkdir()
        return "memory:" if self.scheme == "memory" else f"sqlite:///{self.place}/log.db"

    def teardown(self) -> None:
        self.run(self.log.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    # --- the log ---

    @rule(
        numbers=ids,
        other=st.sampled_from([False, False, False, True]),
        stream=st.sampled_from([None, "s", "t"]),
        expect=st.sampled_from([ANY, ANY, NONE, EXISTS, 0, 1, 2, 3, 5]),
    )
    def append(self, numbers: list[int], other: bool, stream: str | None, expect: Any) -> None:
        events = [event(number, other=other) for number in numbers]
        known = [self.order_of(number) for number in numbers]
        call = self.log.append(events, stream=stream, expect=expect if stream else ANY)

        if any(order is not None and self.events[order - 1].other != other for order in known):
            self.refused(IdReused, call)
        elif all(known):
            orders = sorted(order for order in known if order is not None)
            again = self.run(call)
            assert again.duplicate
            assert (order_in(again.first), order_in(again.last)) == (orders[0], orders[-1])
            assert again.stream_version == self.events[orders[-1] - 1].version
        elif any(known):
            self.refused(PartialDuplicate, call)
        elif stream and not self.is_as_expected(stream, expect):
            self.refused(VersionConflict, call)
        else:
            first = len(self.events) + 1
            self.write(numbers, other, stream)
            appended = self.run(call)
            assert not appended.duplicate
            assert (order_in(appended.first), order_in(appended.last)) == (first, len(self.events))
            assert appended.stream_version == self.events[-1].version

    @rule(numbers=ids)
    def append_again_at_once(self, numbers: list[int]) -> None:
        """Two callers with the same events in one group commit, and one with others."""
        fresh = [number for number in numbers if self.order_of(number) is None]
        if not fresh:
            return
        events = [event(number) for number in fresh]

        async def both() -> list[Any]:
            return list(await asyncio.gather(self.log.append(events), self.log.append(events)))

        outcomes = self.run(both())

        self.write(fresh, False, None)
        assert sorted(outcome.duplicate for outcome in outcomes) == [False, True]
        assert outcomes[0].last == outcomes[1].last

    @rule(numbers=ids)
    def absorb(self, numbers: list[int]) -> None:
        new = [number for number in numbers if self.order_of(number) is None]
        self.write(new, False, None)

        assert self.run(self.log.absorb([event(number) for number in numbers], public=True)) == len(new)

    @rule(moment=st.floats(0, 2e9))
    def jump(self, moment: float) -> None:
        self.clock.set(moment)

    @rule(
        after=picks,
        limit=st.integers(1, 9),
        types=st.sampled_from([None, frozenset({"paid"}), frozenset({"lost"})]),
        lanes=st.none() | st.frozensets(st.integers(0, LANES - 1)),
        public=st.booleans(),
        lean=st.booleans(),
    )
    def scan(
        self,
        after: int,
        limit: int,
        types: frozenset[str] | None,
        lanes: frozenset[int] | None,
        public: bool,
        lean: bool,
    ) -> None:
        start = after % (len(self.events) + 1)
        found = self.run(self.log.scan(self.position(start), Where(types, lanes, public, lean), limit))

        wanted = [
            order
            for order, one in enumerate(self.events, start=1)
            if order > start
            and (types is None or event(one.number).type in types)
            and (lanes is None or one.slot % LANES in lanes)
            and (not public or one.stream is None)
        ]
        upto = wanted[limit - 1] if len(wanted) >= limit else len(self.events)
        assert [record.order for record in found.records] == wanted[:limit]
        assert order_in(found.upto) == upto
        assert found.at_head == (upto == len(self.events))

    @rule(
        stream=st.sampled_from(["s", "t"]),
        after=st.integers(0, 5),
        upto=st.none() | st.integers(0, 9),
        back=st.booleans(),
    )
    def read(self, stream: str, after: int, upto: int | None, back: bool) -> None:
        async def versions() -> list[Any]:
            slices = self.log.read(stream, after=after, upto=upto, backwards=back)
            return [record.stream_version async for found in slices for record in found.records]

        every = [one.version for one in self.events if one.stream == stream and one.version is not None]
        wanted = [version for version in every if version > after and (upto is None or version <= upto)]
        assert self.run(versions()) == (wanted[::-1] if back else wanted)

    # --- the ledger ---

    @precondition(lambda self: len(self.members) < 4)
    @rule()
    def enter(self) -> None:
        self.members.append(self.run(self.log.ledger.enter()))

    @precondition(lambda self: self.members)
    @rule(pick=picks)
    def leave(self, pick: int) -> None:
        member = self.members.pop(pick % len(self.members))
        self.run(self.log.ledger.leave(member))
        for group in self.groups.values():
            group.give_back(member)

    @precondition(lambda self: self.members)
    @rule(pick=picks)
    def pulse(self, pick: int) -> None:
        self.run(self.log.ledger.pulse(self.members[pick % len(self.members)]))
        for group in self.groups.values():
            for dead in group.members - set(self.members):
                group.give_back(dead)

    @rule(name=groups, start=st.sampled_from(["earliest", "latest"]))
    def join(self, name: str, start: Any) -> None:
        self.run(self.log.ledger.join(Group(name, start=start)))
        if name not in self.groups:
            self.groups[name] = ModelGroup([0 if start == "earliest" else len(self.events)] * LANES)

    @precondition(lambda self: self.members and self.groups)
    @rule(pick=picks)
    def claim(self, pick: int) -> None:
        name = sorted(self.groups)[pick % len(self.groups)]
        member = self.members[pick // 7 % len(self.members)]
        lease: Lease = self.run(self.log.ledger.claim(name, member))

        group = self.groups[name]
        group.members.add(member)
        owned = {lane for lane, owner in enumerate(group.owners) if owner == member}
        wanted = share(group.owners, sorted(group.members), member)
        if wanted != owned:
            assert lease.fence > group.fence
            group.fence = lease.fence
            for lane in wanted:
                group.owners[lane], group.fences[lane] = member, lease.fence
            for lane in owned - wanted:
                group.owners[lane] = None
        assert lease.lanes == {lane: group.positions[lane] for lane in wanted}
        assert order_in(lease.cursor) == min(lease.lanes.values(), default=0)
        assert (lease.state, lease.members) == (group.state, len(group.members))
        self.leases.append(lease)

    @precondition(lambda self: self.leases)
    @rule(pick=picks)
    def release(self, pick: int) -> None:
        lease = self.leases[pick % len(self.leases)]
        self.run(self.log.ledger.release(lease.group, lease.member))
        if lease.group in self.groups:
            self.groups[lease.group].give_back(lease.member)

    @precondition(lambda self: self.leases)
    @rule(
        pick=picks,
        upto=st.none() | picks,
        numbers=st.lists(st.integers(41, 60), max_size=3),
        parked=st.lists(
            st.tuples(picks, st.sampled_from(["retry", "retry", "blocked", "dead"]), st.sampled_from([0.0, 5.0, 9.0])),
            max_size=5,
        ),
        cleared=st.lists(picks, max_size=2),
        blocks=st.sampled_from([True, True, True, False]),
    )
    def settle(
        self,
        pick: int,
        upto: int | None,
        numbers: list[int],
        parked: list[tuple[int, Any, float]],
        cleared: list[int],
        blocks: bool,
    ) -> None:
        lease = self.leases[-1 - pick % min(len(self.leases), 4)]  # the latest are likely to hold
        order = None if upto is None else upto % (len(self.events) + 1)
        rows = [self.parked(at % len(self.events) + 1, state, due, blocks) for at, state, due in parked if self.events]
        done = [at % len(self.events) + 1 for at in cleared if self.events]
        settlement = Settlement(
            lease,
            upto=None if order is None else self.position(order),
            events=[self.draft(number) for number in numbers],
            parked=copy.deepcopy(rows),
            cleared=done,
        )
        group = self.groups.get(lease.group)
        owned = [] if group is None else zip(group.owners, group.fences, strict=True)
        held = {lane for lane, owner in enumerate(owned) if owner == (lease.member, lease.fence)}
        if group is None or not held or held != set(lease.lanes):
            self.refused(Fenced, self.log.ledger.settle(settlement))
            return

        first = len(self.events) + 1
        appended = self.run(self.log.ledger.settle(settlement))

        for lane in held:
            group.positions[lane] = max(group.positions[lane], order or 0)
        for at in done:
            group.parked.pop(at, None)
        for row in rows:
            group.parked[row.order] = row
        self.write([n for n in dict.fromkeys(numbers) if self.order_of(n) is None], False, None)
        if len(self.events) < first:
            assert appended is None
        else:
            assert (order_in(appended.first), order_in(appended.last)) == (first, len(self.events))

    @precondition(lambda self: self.leases)
    @rule(pick=picks, now=st.sampled_from([0.0, 4.0, 5.0, 10.0]), limit=st.sampled_from([1, 2, 500]))
    def due(self, pick: int, now: float, limit: int) -> None:
        lease = self.leases[pick % len(self.leases)]
        found = self.run(self.log.ledger.due(lease, now, limit))
        held = self.run(self.log.ledger.held(lease))

        mine = [one for one in self.in_order(lease.group) if one.slot % LANES in lease.lanes]
        by_key: dict[str, list[Parked]] = {}
        free = [one for one in mine if one.key is None or not one.blocks]
        for one in mine:
            if one.key is not None and one.blocks:
                by_key.setdefault(one.key, []).append(one)
        ready = [one.order for one in free if one.state == "retry" and one.due <= now]
        for rows in by_key.values():
            ready += [one.order for one in itertools.takewhile(lambda one: is_ready(one, now), rows)]
        waits = [one.due for one in free if one.state == "retry"]
        for head, *_ in by_key.values():
            waits += {"dead": [], "blocked": [0.0], "retry": [head.due]}[head.state]
        assert held.keys == {key: len(rows) for key, rows in by_key.items()}
        assert held.next_due == min(waits, default=None)
        assert held.blocked == sum(one.state == "blocked" for rows in by_key.values() for one in rows)
        if limit == 500:
            assert [one.order for one in found] == sorted(ready)
        else:  # a page may be short, but never empty while something is due
            assert [one.order for one in found] == sorted(ready)[: len(found)]
            assert bool(found) == bool(ready)
        assert all(restore(one.record, "").id == one.event_id for one in found)

    @precondition(lambda self: self.groups)
    @rule(
        pick=picks,
        only=st.none() | st.lists(picks, max_size=3, unique=True),
        change=st.sampled_from(["retry", "discard"]),
    )
    def operate(self, pick: int, only: list[int] | None, change: str) -> None:
        name = sorted(self.groups)[pick % len(self.groups)]
        orders = None if only is None else list({at % (len(self.events) + 1) for at in only})
        changed = self.run(getattr(self.log.ledger, change)(name, orders))

        parked = self.groups[name].parked
        chosen = [one for order, one in parked.items() if orders is None or order in orders]
        if change == "discard":
            chosen = [one for one in chosen if one.state == "dead"]
            for one in chosen:
                del parked[one.order]
        else:
            chosen = [one for one in chosen if one.state != "blocked"]
            for one in chosen:
                one.state, one.due, one.attempts = "retry", 0.0, 0
        assert changed == len(chosen)

    @precondition(lambda self: self.groups)
    @rule(pick=picks, to=picks)
    def reset(self, pick: int, to: int) -> None:
        name = sorted(self.groups)[pick % len(self.groups)]
        order = to % (len(self.events) + 1)
        self.run(self.log.ledger.reset(name, self.position(order)))

        group = self.groups[name]
        group.positions, group.owners = [order] * LANES, [None] * LANES
        group.parked.clear()

    @precondition(lambda self: self.groups)
    @rule(pick=picks, state=st.sampled_from(["live", "paused"]))
    def set_state(self, pick: int, state: Any) -> None:
        name = sorted(self.groups)[pick % len(self.groups)]
        self.run(self.log.ledger.set_state(name, state))
        self.groups[name].state = state

    # --- crashes ---

    @precondition(lambda self: self.scheme == "sqlite")
    @rule()
    def crash(self) -> None:
        """The disk as a killed process leaves it: a copy taken from under the open log, whose members are dead."""
        source = self.place
        url = self.url()
        shutil.copytree(source, self.place, dirs_exist_ok=True)
        self.run(self.log.close())
        self.log = self.run(open_log(url, clock=self.clock))
        self.members.clear()

    # --- what always holds ---

    @invariant()
    def the_log_is_as_the_model(self) -> None:
        found = self.run(self.log.scan(START, limit=10_000))
        restored = [restore(record, found.position(record)) for record in found.records]
        times = [record.recorded_at for record in found.records]

        assert [(one.id, one.stream, one.stream_version) for one in restored] == [
            (f"id-{one.number}", one.stream, one.version) for one in self.events
        ]
        assert [record.slot for record in found.records] == [one.slot for one in self.events]
        assert times == sorted(times)
        assert order_in(found.upto) == order_in(self.run(self.log.head())) == len(self.events)

    @invariant()
    def the_groups_are_as_the_model(self) -> None:
        statuses = {status.name: status for status in self.run(self.log.ledger.groups())}
        parked = self.run(self.log.ledger.parked())

        assert sorted(statuses) == sorted(self.groups)
        for name, group in self.groups.items():
            assert order_in(statuses[name].position) == min(group.positions)
            assert statuses[name].members == tuple(sorted({owner for owner in group.owners if owner in self.members}))
            rows = [(one.order, one.state, one.due, one.attempts) for one in parked if one.group == name]
            assert rows == [(one.order, one.state, one.due, one.attempts) for one in self.in_order(name)]

    # --- parts ---

    def order_of(self, number: int) -> int | None:
        return next((order for order, one in enumerate(self.events, start=1) if one.number == number), None)

    def is_as_expected(self, stream: str, expect: Any) -> bool:
        version = sum(one.stream == stream for one in self.events)
        known = {ANY: True, NONE: version == 0, EXISTS: version > 0}
        return known[expect] if expect in known else bool(version == expect)

    def write(self, numbers: list[int], other: bool, stream: str | None) -> None:
        for number in numbers:
            version = 1 + sum(one.stream == stream for one in self.events) if stream else None
            slot = slot_of(event(number).key or stream or f"id-{number}")
            self.events.append(Recorded(number, other, stream, version, slot))

    def position(self, order: int) -> str:
        return self.epoch_of_log().position(order) if order else START

    def epoch_of_log(self) -> Any:
        return self.run(self.log.scan(START, limit=1)).epoch

    def draft(self, number: int) -> Draft:
        return draft(event(number), public=True)

    def parked(self, order: int, state: Any, due: float, blocks: bool) -> Parked:
        one = self.events[order - 1]
        made = event(one.number)
        key = made.key or one.stream
        return Parked(order, one.slot, key, made.id, made.type, state, attempts=3, due=due, blocks=blocks)

    def in_order(self, name: str) -> list[Parked]:
        group = self.groups.get(name)
        return [] if group is None else [group.parked[order] for order in sorted(group.parked)]

    def refused(self, kind: type[Exception], call: Coroutine[Any, Any, Any]) -> None:
        with pytest.raises(kind):
            self.run(call)


class MemoryMachine(LogMachine):
    scheme = "memory"


class SqliteMachine(LogMachine):
    scheme = "sqlite"


def is_ready(one: Parked, now: float) -> bool:
    return one.state == "blocked" or (one.state == "retry" and one.due <= now)


def explore(machine: type[LogMachine], seed: int, examples: int) -> None:
    run_state_machine_as_test(
        hypothesis.seed(seed)(machine),
        settings=hypothesis.settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # shrinking takes longer than a test may; the steps are printed, and the seed
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_log_in_memory_is_what_the_model_says(seed: int, trials: Callable[[int], int]) -> None:
    explore(MemoryMachine, seed, trials(60))


def test_a_sqlite_log_is_what_the_model_says(seed: int, trials: Callable[[int], int]) -> None:
    explore(SqliteMachine, seed, trials(25))
