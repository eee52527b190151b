"""What operators are promised: to see, retry, drop, pause, move and forget, and that every member notices."""

from typing import Any

from tidings.clock import ManualClock
from tidings.errors import ConfigurationError, LogTruncated
from tidings.log.interface import Log
from tidings.log.position import START
from tidings.log.settlement import Settlement
from tidings.log.slices import Where
from tidings.testing.log_conformance.words import (
    append_keyed,
    numbers_of,
    orders_of,
    parked_as,
    position_of,
    raises,
    read_due,
    take_lease,
)


async def test_operators_retry_dead_and_waiting_events(log: Log) -> None:
    records = await append_keyed(log, ["a", "b", "c", "c"])
    lease = await take_lease(log)
    states: list[Any] = ["dead", "retry", "dead", "blocked"]
    parked = [parked_as(record, state, due=9.0, attempts=3) for record, state in zip(records, states, strict=True)]
    await log.ledger.settle(Settlement(lease, parked=parked))

    assert await log.ledger.retry("g", orders_of(records, 1)) == 1
    assert await read_due(log, lease, 0.0) == [1]
    assert await log.ledger.retry("g", [*orders_of(records, 4), 77]) == 0  # it waits for another, or is not there
    assert await log.ledger.retry("g") == 3

    assert await read_due(log, lease, 0.0) == [1, 2, 3, 4]
    assert [one.attempts for one in await log.ledger.parked("g", "retry")] == [0, 0, 0]


async def test_operators_discard_dead_events_only(log: Log) -> None:
    records = await append_keyed(log, ["a", "b", "c"])
    lease = await take_lease(log)
    states: list[Any] = ["dead", "retry", "dead"]
    parked = [parked_as(record, state) for record, state in zip(records, states, strict=True)]
    await log.ledger.settle(Settlement(lease, parked=parked))

    assert await log.ledger.discard("g", orders_of(records, 2)) == 0
    assert await log.ledger.discard("g", orders_of(records, 1)) == 1
    assert await log.ledger.discard("g") == 1

    assert [one.order for one in await log.ledger.parked()] == orders_of(records, 2)


async def test_operators_discard_dead_events_with_what_waits_behind_them(log: Log) -> None:
    records = await append_keyed(log, ["a", "a", "b", "b", "a", None])
    lease = await take_lease(log)
    states: list[Any] = ["dead", "blocked", "dead", "blocked", "blocked", "dead"]
    parked = [parked_as(record, state) for record, state in zip(records, states, strict=True)]
    await log.ledger.settle(Settlement(lease, parked=parked))

    assert await log.ledger.discard("g", orders_of(records, 1, 6), followers=True) == 4
    left = await numbers_of(log, await log.ledger.parked())
    assert await log.ledger.discard("g", followers=True) == 2

    assert left == [3, 4]
    assert await log.ledger.parked() == []


async def test_events_behind_one_that_blocks_nobody_are_not_discarded_with_it(log: Log) -> None:
    records = await append_keyed(log, ["a", "a", "a"])
    lease = await take_lease(log)
    rejected, failed = parked_as(records[0], "dead", blocks=False), parked_as(records[1], "retry")
    await log.ledger.settle(Settlement(lease, parked=[rejected, failed, parked_as(records[2], "blocked")]))

    assert await log.ledger.discard("g", followers=True) == 1

    assert await numbers_of(log, await log.ledger.parked()) == [2, 3]


async def test_a_list_of_parked_events_tells_how_many_more_there_are(log: Log) -> None:
    records = await append_keyed(log, ["a", "b", "c"])
    lease = await take_lease(log)
    states: list[Any] = ["dead", "retry", "dead"]
    parked = [parked_as(record, state) for record, state in zip(records, states, strict=True)]
    await log.ledger.settle(Settlement(lease, parked=parked))

    counts = [(len(found), found.more) for found in [await log.ledger.parked(limit=limit) for limit in (1, 2, 3, 4)]]
    dead = await log.ledger.parked("g", "dead", limit=1)

    assert counts == [(1, 2), (2, 1), (3, 0), (3, 0)]
    assert (len(dead), dead.more) == (1, 1)


async def test_a_parked_event_has_the_position_of_its_event(log: Log) -> None:
    records = await append_keyed(log, ["a", "b"])
    lease = await take_lease(log)
    await log.ledger.settle(Settlement(lease, parked=[parked_as(records[1], "dead")]))

    (found,) = await log.ledger.parked()

    assert found.position == await log.head()


async def test_what_changed_its_state_since_is_told_apart(log: Log, clock: ManualClock) -> None:
    records = await append_keyed(log, ["a", "b"])
    lease = await take_lease(log)
    await log.ledger.settle(Settlement(lease, parked=[parked_as(record, "retry") for record in records]))
    before = await log.ledger.parked()
    first = before[0]
    clock.advance(5.0)
    await log.ledger.settle(Settlement(lease, parked=[parked_as(records[0], "dead"), parked_as(records[1], "retry")]))

    changed = await log.ledger.parked(since=before.latest)
    some = await log.ledger.parked(limit=1)

    assert [(one.order, one.parked_at, one.changed_at) for one in changed] == [
        (records[0].order, first.parked_at, first.parked_at + 5.0)
    ]
    assert changed.latest == some.latest > before.latest
    assert await log.ledger.parked(since=changed.latest) == []


async def test_changes_are_told_apart_while_the_clock_stands_behind_the_log(log: Log, clock: ManualClock) -> None:
    records = await append_keyed(log, ["a", "b"])
    lease = await take_lease(log)
    clock.set(clock.now() - 3600.0)
    await log.ledger.settle(Settlement(lease, parked=[parked_as(records[0], "dead")]))
    first = await log.ledger.parked("g", "dead")

    await log.ledger.settle(Settlement(lease, parked=[parked_as(records[1], "dead")]))
    second = await log.ledger.parked("g", "dead", since=first.latest)
    await log.ledger.retry("g", orders_of(records, 1))
    await log.ledger.settle(Settlement(lease, parked=[parked_as(records[0], "dead", attempts=2)]))
    again = await log.ledger.parked("g", "dead", since=second.latest)

    assert await numbers_of(log, second) == [2]
    assert await numbers_of(log, again) == [1]
    assert await log.ledger.discard("g") == 2
    await log.ledger.settle(Settlement(lease, parked=[parked_as(records[1], "dead")]))
    assert await numbers_of(log, await log.ledger.parked("g", "dead", since=again.latest)) == [2]


async def test_an_event_set_aside_is_passed_over_and_holds_nobody_up(log: Log) -> None:
    records = await append_keyed(log, ["a", "a", "b"])
    lease = await take_lease(log)
    control = log.bell.control

    await log.ledger.set_aside("g", await position_of(log, 1), "skipped by an operator")

    held, (dead,) = await log.ledger.held(lease), await log.ledger.parked("g", "dead")
    seen = await log.scan(START, Where(passing=held.passing))
    assert held.passing == frozenset(orders_of(records, 1))
    assert (held.keys, held.next_due) == ({}, None)
    assert seen.records == records[1:]
    assert (seen.upto, seen.at_head) == (await log.head(), True)
    assert (dead.event_id, dead.reason, dead.record, dead.blocks) == (
        "id-0",
        "skipped by an operator",
        records[0],
        False,
    )
    assert log.bell.control > control
    await log.ledger.settle(Settlement(lease, upto=await log.head()))
    assert not (await log.ledger.held(lease)).passing


async def test_a_waiting_event_set_aside_lets_those_behind_it_go_on(log: Log) -> None:
    records = await append_keyed(log, ["a", "a"])
    lease = await take_lease(log)
    head, behind = parked_as(records[0], "retry", due=9.0, attempts=3, detail="why"), parked_as(records[1], "blocked")
    await log.ledger.settle(Settlement(lease, upto=await log.head(), parked=[head, behind]))

    await log.ledger.set_aside("g", await position_of(log, 1), "poison")

    assert await read_due(log, lease, 0.0) == [2]
    (dead,) = await log.ledger.parked("g", "dead")
    assert (dead.reason, dead.attempts, dead.detail) == ("poison", 3, "why")


async def test_only_an_event_that_is_not_answered_can_be_set_aside(log: Log) -> None:
    await append_keyed(log, ["a"])
    lease = await take_lease(log)
    await log.ledger.settle(Settlement(lease, upto=await log.head()))

    with raises(ConfigurationError):
        await log.ledger.set_aside("g", await log.head(), "too late")
    with raises(ConfigurationError):
        await log.ledger.set_aside("g", START, "nothing is there")
    with raises(ConfigurationError):
        await log.ledger.set_aside("nobody", await log.head(), "no such group")
    with raises(LogTruncated):
        await log.ledger.set_aside("g", (await log.head())[:-1] + "9", "past the end")
    assert await log.ledger.parked() == []


async def test_parked_events_are_listed_by_group_and_state(log: Log) -> None:
    records = await append_keyed(log, ["a", "b"])
    for name, states in (("g", ("dead", "retry")), ("h", ("dead", "blocked"))):
        lease = await take_lease(log, name)
        parked = [parked_as(record, state) for record, state in zip(records, states, strict=True)]
        await log.ledger.settle(Settlement(lease, parked=parked))

    assert len(await log.ledger.parked()) == 4
    assert len(await log.ledger.parked(limit=3)) == 3
    assert [one.group for one in await log.ledger.parked(state="dead")] == ["g", "h"]
    assert [one.state for one in await log.ledger.parked("h")] == ["dead", "blocked"]
    counts = {status.name: (status.retry, status.blocked, status.dead) for status in await log.ledger.groups()}
    assert counts == {"g": (1, 0, 1), "h": (0, 1, 1)}


async def test_a_paused_group_is_paused_for_every_member(log: Log) -> None:
    lease = await take_lease(log)
    other = await log.ledger.enter()

    await log.ledger.set_state("g", "paused", "for the night")
    (told,) = await log.ledger.groups()
    paused = [(await log.ledger.claim("g", member)).state for member in (lease.member, other)]
    await log.ledger.set_state("g", "live")

    assert paused == ["paused", "paused"]
    assert (await log.ledger.claim("g", other)).state == "live"
    assert (told.state, told.why) == ("paused", "for the night")
    assert [(status.state, status.why) for status in await log.ledger.groups()] == [("live", "")]


async def test_a_reset_group_hears_again_from_there(log: Log) -> None:
    (first, *_, last) = await append_keyed(log, ["a", "b", "c"])
    lease = await take_lease(log)
    await log.ledger.settle(Settlement(lease, upto=await log.head(), parked=[parked_as(last, "dead")]))
    to = (await log.scan(START, limit=1)).upto

    await log.ledger.reset("g", to)

    again = await log.ledger.claim("g", lease.member)
    assert (again.cursor, set(again.lanes.values())) == (to, {first.order})
    assert again.fence > lease.fence
    assert await log.ledger.parked() == []


async def test_a_forgotten_group_is_gone_and_can_begin_anew(log: Log) -> None:
    (record,) = await append_keyed(log, ["a"])
    lease = await take_lease(log)
    await log.ledger.settle(Settlement(lease, upto=await log.head(), parked=[parked_as(record, "dead")]))

    await log.ledger.forget("g")

    assert await log.ledger.groups() == []
    assert await log.ledger.parked() == []
    assert (await take_lease(log)).cursor == START
