"""What the lineage promises: it says what became of events, no more than was settled, and forgets in time."""

import asyncio
from typing import Any

from tidings.clock import ManualClock
from tidings.errors import Fenced
from tidings.log.group import LANES, Lease
from tidings.log.interface import Log
from tidings.log.lineage import COALESCE, Fate, Outcome
from tidings.log.position import START
from tidings.log.settlement import Settlement
from tidings.testing.log_conformance.words import (
    Reopen,
    append_keyed,
    ids_of,
    new_drafts,
    new_event,
    new_events,
    numbers_of,
    orders_of,
    parked_as,
    position_of,
    raises,
    settled_leases,
    take_lease,
)


async def read_fates(log: Log, records: list[Any], group: str = "g") -> list[Fate]:
    """The rows that speak of these events."""
    found = await log.ledger.lineage([(record.order, record.slot) for record in records])
    return [fate for fate in found.fates if fate.group == group]


async def read_story(log: Log, record: Any, group: str = "g") -> list[str]:
    """What became of one event, in order."""
    return [fate.what for fate in await read_fates(log, [record], group)]


async def kept_lease(log: Log, group: str = "g") -> Lease:
    """All lanes of a group, on a log that keeps its lineage."""
    log.ledger.keeps_lineage = True
    return await take_lease(log, group)


async def settle_each(log: Log, lease: Lease, records: list[Any]) -> None:
    """A settlement for each of these."""
    for record in records:
        await log.ledger.settle(Settlement(lease, upto=lease.epoch.position(record.order), patterns=("order:*",)))


async def test_without_being_asked_to_a_ledger_keeps_no_lineage(log: Log) -> None:
    (record,) = await append_keyed(log, ["a"])
    lease = await take_lease(log)

    await log.ledger.settle(
        Settlement(lease, upto=await log.head(), outcomes=[Outcome(record.order, record.slot, "handled", 2)])
    )
    await log.ledger.reset("g", START)
    await log.append([new_event(0, key="a")])

    assert (await log.ledger.lineage([(record.order, record.slot)])).fates == []


async def test_all_that_a_settlement_passes_is_one_row(log: Log, clock: ManualClock) -> None:
    records = await append_keyed(log, [None] * 40)
    lease = await kept_lease(log)

    await log.ledger.settle(Settlement(lease, upto=lease.epoch.position(records[38].order), patterns=("order:*", "b")))

    (fate,) = await read_fates(log, records)
    assert (fate.what, fate.is_passage, fate.after, fate.upto) == ("handled", True, 0, records[38].order)
    assert (fate.member, fate.patterns, fate.began) == (lease.member, ("order:*", "b"), int(clock.now() * 1e6))
    assert await read_story(log, records[39]) == []


async def test_settlements_of_the_same_second_share_a_row(log: Log, clock: ManualClock) -> None:
    records = await append_keyed(log, [None] * 40)
    lease = await kept_lease(log)

    await settle_each(log, lease, records[:19])
    clock.advance(COALESCE / 1e6 + 0.1)
    await log.append([new_event(100)])  # log time is that of the log's last record, or later
    await settle_each(log, lease, records[19:39])

    half, end = orders_of(records, 19, 39)
    assert [(fate.after, fate.upto) for fate in await read_fates(log, records)] == [(0, half), (half, end)]


async def test_an_event_in_trouble_has_rows_of_its_own(log: Log) -> None:
    records = await append_keyed(log, ["a", "a", "b", "c"])
    lease = await kept_lease(log)
    parked = [
        parked_as(records[0], "retry", attempts=2, reason="no route"),
        parked_as(records[1], "blocked"),
        parked_as(records[2], "dead", attempts=5, reason="poison"),
    ]
    outcomes = [Outcome(records[3].order, records[3].slot, "handled", 3, "slow")]

    await log.ledger.settle(
        Settlement(lease, upto=lease.epoch.position(records[3].order), parked=parked, outcomes=outcomes)
    )
    later = [Outcome(records[0].order, records[0].slot, "handled", 3)]
    await log.ledger.settle(Settlement(lease, cleared=orders_of(records, 1), outcomes=later))

    stories = [await read_story(log, record) for record in records]
    assert stories == [["handled", "retry", "handled"], ["handled", "blocked"], ["handled", "dead"], ["handled"] * 2]
    (_, dead) = await read_fates(log, [records[2]])
    assert (dead.attempts, dead.reason, dead.is_passage, dead.member) == (5, "poison", False, lease.member)
    assert (await read_fates(log, [records[3]]))[1].reason == "slow"


async def test_the_lineage_says_who_is_parked_now_and_behind_whom(log: Log) -> None:
    records = await append_keyed(log, ["a", "a", "b"])
    lease = await kept_lease(log)
    parked = [parked_as(records[0], "dead"), parked_as(records[1], "blocked")]
    await log.ledger.settle(Settlement(lease, upto=lease.epoch.position(records[1].order), parked=parked))

    found = await log.ledger.lineage([(records[1].order, records[1].slot)])

    assert [one.state for one in found.parked] == ["blocked", "dead"]
    assert await numbers_of(log, found.parked) == [2, 1]
    (group,) = found.groups
    assert (group.name, group.patterns, group.state, set(group.lanes)) == ("g", ("**",), "live", {records[1].order})
    assert await log.ledger.lineage([]) == type(found)([], [], [])


async def test_what_a_stale_owner_wanted_to_settle_is_not_said_to_be_handled(log: Log) -> None:
    records = await append_keyed(log, [None] * 3)
    stale = await kept_lease(log)
    other = await log.ledger.enter()
    await settled_leases(log, "g", [stale.member, other])

    with raises(Fenced):
        parked = [parked_as(records[1], "dead")]
        outcomes = [Outcome(records[0].order, records[0].slot, "handled", 2)]
        await log.ledger.settle(Settlement(stale, upto=await log.head(), parked=parked, outcomes=outcomes))

    assert await read_fates(log, records) == []


async def test_each_owner_speaks_of_its_own_lanes_and_of_what_they_had_not_done(log: Log) -> None:
    records = await append_keyed(log, [f"key-{number}" for number in range(200)])
    first = await kept_lease(log)
    await log.ledger.settle(Settlement(first, upto=await position_of(log, 50)))
    second = await log.ledger.enter()
    mine, others = await settled_leases(log, "g", [first.member, second])
    await log.ledger.settle(Settlement(others, upto=await position_of(log, 150)))
    await log.ledger.leave(second)
    (mine,) = await settled_leases(log, "g", [first.member])

    await log.ledger.settle(Settlement(mine, upto=await position_of(log, 200)))

    for number, record in enumerate(records, start=1):
        (fate,) = await read_fates(log, [record])
        is_others = record.slot % LANES in others.lanes and 50 < number <= 150
        assert fate.member == (second if is_others else first.member)


async def test_operators_leave_their_mark(log: Log) -> None:
    records = await append_keyed(log, ["a", "a", "b"])
    lease = await kept_lease(log)
    states = ("dead", "blocked", "dead")
    parked = [parked_as(record, state) for record, state in zip(records, states, strict=True)]
    await log.ledger.settle(Settlement(lease, upto=await log.head(), parked=parked))

    await log.ledger.retry("g", orders_of(records, 3))
    await log.ledger.settle(Settlement(lease, parked=[parked_as(records[2], "dead")]))
    await log.ledger.discard("g", orders_of(records, 1), followers=True)
    await log.ledger.discard("g", orders_of(records, 3))
    await log.ledger.reset("g", await position_of(log, 1))
    await log.ledger.forget("g")

    stories = [await read_story(log, record) for record in records]
    ending = ["reset", "forgotten"]
    assert stories[0] == ["handled", "dead", "dropped", *ending]
    assert stories[1] == ["handled", "blocked", "dropped", *ending]
    assert stories[2] == ["handled", "dead", "retried", "dead", "dropped", *ending]
    (reset,) = [fate for fate in await read_fates(log, [records[0]]) if fate.what == "reset"]
    assert reset.after == records[0].order


async def test_a_replay_is_a_second_row(log: Log) -> None:
    records = await append_keyed(log, [None] * 4)
    lease = await kept_lease(log)
    await log.ledger.settle(Settlement(lease, upto=await log.head()))
    await log.ledger.reset("g", await position_of(log, 2))
    again = await log.ledger.claim("g", lease.member)

    await log.ledger.settle(Settlement(again, upto=await log.head()))

    assert await read_story(log, records[1]) == ["handled", "reset"]
    assert await read_story(log, records[2]) == ["handled", "reset", "handled"]


async def test_what_is_done_after_a_reset_is_told_after_it(log: Log) -> None:
    records = await append_keyed(log, [None] * 4)
    lease = await kept_lease(log)
    await log.ledger.settle(Settlement(lease, upto=await position_of(log, 2)))
    await log.ledger.reset("g", await position_of(log, 2))
    again = await log.ledger.claim("g", lease.member)

    await log.ledger.settle(Settlement(again, upto=await log.head()))

    assert await read_story(log, records[2]) == ["reset", "handled"]


async def test_a_settlement_that_moves_nothing_says_nothing(log: Log) -> None:
    await append_keyed(log, [None] * 4)
    lease = await kept_lease(log)

    for _ in range(3):
        await log.ledger.settle(Settlement(lease, upto=await position_of(log, 2)))

    assert await log.ledger.trim_lineage(0.0, 0) == 1


async def test_a_member_that_died_may_have_called_handlers(log: Log, reopen: Reopen) -> None:
    records = await append_keyed(log, [None] * 4)
    log.ledger.keeps_lineage = True
    other = await reopen()
    lease = await take_lease(other)
    await other.ledger.settle(Settlement(lease, upto=await position_of(log, 2)))
    await other.close()  # as a process that dies: nobody has left

    await log.ledger.pulse(await log.ledger.enter())
    await log.ledger.pulse(await log.ledger.enter())

    assert await read_story(log, records[1]) == []
    (lost,) = await read_fates(log, [records[2], records[3]])
    assert (lost.what, lost.member) == ("lost", lease.member)


async def test_duplicates_are_noted_where_they_are_dropped(log: Log) -> None:
    log.ledger.keeps_lineage = True
    await log.append(new_events(0, 4))
    records = (await log.scan(START)).records

    await log.append(new_events(1, 3))
    await log.absorb([new_event(2), new_event(3), new_event(9)])
    async with log.transaction() as tx:
        tx.append([new_event(3)])

    stories = [await read_story(log, record, group="") for record in records]
    assert stories == [[], ["duplicate"], ["duplicate"] * 2, ["duplicate"] * 2]


async def test_duplicates_of_a_plain_thread_are_noted_too(log: Log) -> None:
    if log.append_blocking is None:
        return  # this log takes none
    log.ledger.keeps_lineage = True
    await log.append(new_events(0, 2))
    records = (await log.scan(START)).records

    appended = await asyncio.to_thread(log.append_blocking, [new_event(1)], public=True)

    assert appended.duplicate
    assert [await read_story(log, record, group="") for record in records] == [[], ["duplicate"]]


async def test_effects_of_a_replay_are_no_duplicates_worth_a_row(log: Log) -> None:
    await log.append([new_event(0)])
    lease = await kept_lease(log)
    await log.ledger.settle(Settlement(lease, upto=await position_of(log, 1), events=new_drafts(10, 12)))

    await log.ledger.settle(Settlement(lease, events=new_drafts(10, 12)))

    records = (await log.scan(await position_of(log, 1))).records
    assert [await read_story(log, record, group="") for record in records] == [[], []]


async def test_old_rows_are_forgotten_a_part_at_a_time(log: Log, clock: ManualClock) -> None:
    (record,) = await append_keyed(log, ["a"])
    lease = await kept_lease(log)
    outcomes = [Outcome(record.order, record.slot, "handled", 2, f"number {number}") for number in range(2500)]
    await log.ledger.settle(Settlement(lease, outcomes=outcomes))
    before = clock.now()
    clock.advance(10)
    await log.append([new_event(7)])  # log time moves on with it
    await log.ledger.settle(Settlement(lease, outcomes=outcomes[:5]))

    assert await log.ledger.trim_lineage(before, 10_000) == 0
    counts = [await log.ledger.trim_lineage(before + 1, 10_000) for _ in range(4)]

    assert sum(counts) == 2500
    assert counts[-1] == 0
    assert max(counts) <= 1000
    assert len(await read_fates(log, [record])) == 5


async def test_of_too_many_rows_the_newest_stay(log: Log) -> None:
    (record,) = await append_keyed(log, ["a"])
    lease = await kept_lease(log)
    outcomes = [Outcome(record.order, record.slot, "handled", number) for number in range(1, 31)]
    await log.ledger.settle(Settlement(lease, outcomes=outcomes))

    counts = [await log.ledger.trim_lineage(0.0, 12) for _ in range(2)]

    assert counts == [18, 0]
    assert [fate.attempts for fate in await read_fates(log, [record])] == list(range(19, 31))
    assert await log.ledger.trim_lineage(0.0, 0) == 12
    assert await log.ledger.trim_lineage(0.0, 0) == 0


async def test_a_long_reason_is_kept_in_short(log: Log) -> None:
    (record,) = await append_keyed(log, ["a"])
    lease = await kept_lease(log)

    await log.ledger.settle(Settlement(lease, parked=[parked_as(record, "dead", reason="why " * 1000)]))

    (fate,) = await read_fates(log, [record])
    assert fate.reason.startswith("why why")
    assert len(fate.reason) <= 300


async def test_an_event_is_found_by_the_beginning_of_its_id(log: Log) -> None:
    await log.append([new_event(number) for number in (1, 10, 2)])

    assert ids_of(await log.find("id-1")) == ["id-1"]
    assert sorted(ids_of(await log.find("id-1", prefix=True))) == ["id-1", "id-10"]
    assert ids_of(await log.find("id-2", prefix=True)) == ["id-2"]
    assert ids_of(await log.find("id-3", prefix=True)) == []


async def test_related_events_are_found_by_the_ids_their_envelopes_speak_of(log: Log) -> None:
    await log.append(
        [
            new_event(0),
            new_event(1, causation_id="id-0"),
            new_event(2),
            new_event(3, correlation_id='odd "one" é'),
            new_event(4, data={"about": "id-0"}),
        ]
    )

    first = await log.related(["id-0"], START)
    paged = await log.related(["id-0", 'odd "one" é'], START, limit=2)

    assert ids_of(first) == ["id-0", "id-1"]
    assert (first.at_head, first.upto) == (True, await log.head())
    assert ids_of(paged) == ["id-0", "id-1"]
    assert not paged.at_head
    assert ids_of(await log.related(['odd "one" é'], paged.upto)) == ["id-3"]
    assert ids_of(await log.related(["id-0"], first.upto)) == []
    assert ids_of(await log.related([], START)) == []


async def test_a_look_for_related_events_ends_where_it_has_looked(log: Log) -> None:
    await log.append(new_events(0, 3))
    await log.append([new_event(3, causation_id="id-0")])

    found = await log.related(["id-0"], START, limit=1)

    assert (ids_of(found), found.at_head) == (["id-0"], False)
    assert ids_of(await log.related(["id-0"], found.upto, limit=1)) == ["id-3"]
