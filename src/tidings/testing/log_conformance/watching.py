"""What those who watch groups are promised: who runs them and since when, what members say, and telling things once."""

import asyncio

from tidings.clock import ManualClock
from tidings.log.group import Group, Report
from tidings.log.interface import Log
from tidings.log.position import START
from tidings.testing.log_conformance.words import Reopen, new_drafts, read_ids, take_lease

_DAY = 86_400.0


async def test_a_group_that_somebody_runs_is_seen_now(log: Log, clock: ManualClock) -> None:
    await take_lease(log)
    clock.advance(30 * _DAY)

    (status,) = await log.ledger.groups()

    assert (status.state, status.last_seen) == ("live", clock.now())


async def test_a_group_that_nobody_runs_was_last_seen_when_its_member_left(log: Log, clock: ManualClock) -> None:
    lease = await take_lease(log)
    clock.advance(_DAY)
    left_at = clock.now()
    await log.ledger.leave(lease.member)
    clock.advance(_DAY)

    (status,) = await log.ledger.groups()

    assert (status.state, status.members, status.last_seen) == ("live", (), left_at)


async def test_giving_back_a_group_is_the_last_sign_of_it(log: Log, clock: ManualClock) -> None:
    lease = await take_lease(log)
    clock.advance(_DAY)
    await log.ledger.release("g", lease.member)
    clock.advance(_DAY)

    assert [status.last_seen for status in await log.ledger.groups()] == [clock.now() - _DAY]


async def test_a_member_that_vanished_runs_nothing_and_is_no_member(log: Log, reopen: Reopen) -> None:
    other = await reopen()
    await take_lease(other)

    await other.close()

    assert [status.members for status in await log.ledger.groups()] == [()]


async def test_a_group_becomes_an_orphan_when_nobody_runs_it_for_long(log: Log, clock: ManualClock) -> None:
    await log.ledger.join(Group("g", orphan_after=10.0))
    await log.ledger.join(Group("week"))
    clock.advance(10.0)
    before = [status.state for status in await log.ledger.groups()]
    clock.advance(0.1)

    assert before == ["live", "live"]
    assert [status.state for status in await log.ledger.groups()] == ["orphaned", "live"]


async def test_an_orphan_comes_back_to_life_when_it_is_run(log: Log, clock: ManualClock) -> None:
    await log.ledger.join(Group("g"))
    await log.ledger.set_state("g", "paused")
    clock.advance(8 * _DAY)
    orphaned = [status.state for status in await log.ledger.groups()]

    await log.ledger.claim("g", await log.ledger.enter())

    assert orphaned == ["orphaned"]
    assert [status.state for status in await log.ledger.groups()] == ["paused"]


async def test_joining_again_counts_as_a_sign_and_may_change_the_patience(log: Log, clock: ManualClock) -> None:
    await log.ledger.join(Group("g", orphan_after=10.0))
    clock.advance(100.0)

    await log.ledger.join(Group("g", orphan_after=20.0))
    clock.advance(15.0)

    assert [status.state for status in await log.ledger.groups()] == ["live"]


async def test_a_members_word_stands_until_its_next_and_goes_with_it(log: Log) -> None:
    lease = await take_lease(log)
    first = Report("g", lease.member, 1.0, handled=5.0)
    second = Report("g", lease.member, 2.0, 3.0, 12.0, 0.34, "OSError: the gateway is away")

    await log.ledger.report([first])
    before = (await log.ledger.groups())[0].reports
    await log.ledger.report([second, Report("g", "nobody", 3.0), Report("nothing", lease.member, 3.0)])
    after = (await log.ledger.groups())[0].reports
    await log.ledger.leave(lease.member)

    assert (before, after) == ((first,), (second,))
    assert (await log.ledger.groups())[0].reports == ()


async def test_a_note_is_replaced_by_one_of_those_who_try(log: Log, reopen: Reopen) -> None:
    other = await reopen()
    await log.ledger.join(Group("g"))

    results = await asyncio.gather(
        *(each.ledger.note("g", "", "told", new_drafts(number, number + 1)) for number, each in enumerate((log, other)))
    )
    await other.close()

    assert sorted(results) == [False, True]
    assert await read_ids(log) == [f"id-{results.index(True)}"]
    assert [status.note for status in await log.ledger.groups()] == ["told"]


async def test_a_note_with_events_recorded_before_is_made_all_the_same(log: Log) -> None:
    await log.ledger.join(Group("g"))
    await log.ledger.note("g", "", "first", new_drafts(0, 1))

    assert await log.ledger.note("g", "first", "second", new_drafts(0, 2))

    assert await read_ids(log) == ["id-0", "id-1"]
    assert not await log.ledger.note("nobody", "", "x", new_drafts(2, 3))
    assert len((await log.scan(START)).records) == 2
