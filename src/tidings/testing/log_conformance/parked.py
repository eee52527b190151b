"""What parked events promise: each waits for its turn, and none passes another of its key."""

from typing import Any

import msgspec

from tidings.clock import ManualClock
from tidings.log.group import LANES
from tidings.log.interface import Log
from tidings.log.record import slot_of
from tidings.log.settlement import Settlement
from tidings.testing.log_conformance.words import (
    append_keyed,
    orders_of,
    parked_as,
    read_due,
    settled_leases,
    take_lease,
)


async def test_retries_are_due_in_the_order_of_the_log(log: Log) -> None:
    records = await append_keyed(log, ["c", None, "b", "a"])
    lease = await take_lease(log)
    states = [parked_as(record, "retry", due=float(10 - number)) for number, record in enumerate(records)]
    await log.ledger.settle(Settlement(lease, parked=states[::-1]))

    assert await read_due(log, lease, 6.0) == []
    assert await read_due(log, lease, 7.0) == [4]
    assert await read_due(log, lease, 9.0) == [2, 3, 4]
    assert await read_due(log, lease, 10.0) == [1, 2, 3, 4]
    assert await read_due(log, lease, 10.0, limit=2) == [1, 2]


async def test_what_is_due_comes_with_its_record(log: Log) -> None:
    (record,) = await append_keyed(log, ["a"])
    lease = await take_lease(log)
    await log.ledger.settle(Settlement(lease, parked=[parked_as(record, "retry")]))

    (due,) = await log.ledger.due(lease, 1.0)

    assert due.record == record


async def test_events_wait_behind_the_first_of_their_key(log: Log) -> None:
    records = await append_keyed(log, ["a", "a", "b", "a"])
    lease = await take_lease(log)
    parked = [parked_as(record, "blocked") for record in (records[0], records[1], records[3])]
    parked[0] = parked_as(records[0], "retry", due=5.0, attempts=1)
    await log.ledger.settle(Settlement(lease, parked=parked))

    held = await log.ledger.held(lease)
    assert (held.keys, held.blocked, held.next_due) == ({"a": 3}, 2, 5.0)
    assert await read_due(log, lease, 4.0) == []
    assert await read_due(log, lease, 5.0) == [1, 2, 4]


async def test_blocked_events_are_free_once_their_head_is_gone(log: Log) -> None:
    records = await append_keyed(log, ["a", "a", "a"])
    lease = await take_lease(log)
    head, *rest = [parked_as(record, "blocked") for record in records]
    head.state, head.due = "retry", 5.0
    await log.ledger.settle(Settlement(lease, parked=[head, *rest]))

    await log.ledger.settle(Settlement(lease, cleared=orders_of(records, 1)))

    held = await log.ledger.held(lease)
    assert (held.keys, held.blocked, held.next_due) == ({"a": 2}, 2, 0.0)
    assert await read_due(log, lease, 0.0) == [2, 3]


async def test_a_dead_head_holds_its_key_until_an_operator_decides(log: Log) -> None:
    records = await append_keyed(log, ["a", "a", "b"])
    lease = await take_lease(log)
    dead = parked_as(records[0], "dead", attempts=9, reason="poison")
    await log.ledger.settle(Settlement(lease, parked=[dead, parked_as(records[1], "blocked")]))

    held = await log.ledger.held(lease)
    assert (held.keys, held.next_due) == ({"a": 2}, None)
    assert await read_due(log, lease, 1e12) == []

    assert await log.ledger.discard("g") == 1

    assert await read_due(log, lease, 0.0) == [2]
    assert [one.order for one in await log.ledger.parked("g")] == orders_of(records, 2)


async def test_nothing_passes_an_event_of_its_key_that_must_wait(log: Log) -> None:
    records = await append_keyed(log, ["a", "a", "a", "b", "b", "b"])
    lease = await take_lease(log)
    states: list[Any] = ["retry", "dead", "blocked", "retry", "retry", "blocked"]
    parked = [parked_as(record, state) for record, state in zip(records, states, strict=True)]
    parked[4].due = 100.0
    await log.ledger.settle(Settlement(lease, parked=parked))

    assert await read_due(log, lease, 1.0) == [1, 4]
    assert await read_due(log, lease, 100.0) == [1, 4, 5, 6]


async def test_an_event_that_blocks_nobody_holds_nobody_up(log: Log) -> None:
    records = await append_keyed(log, ["a", "a", None])
    lease = await take_lease(log)
    rejected = parked_as(records[0], "dead")
    rejected.blocks = False
    keyless = parked_as(records[2], "retry", due=3.0)
    await log.ledger.settle(Settlement(lease, parked=[rejected, parked_as(records[1], "retry", due=4.0), keyless]))

    held = await log.ledger.held(lease)
    assert (held.keys, held.next_due) == ({"a": 1}, 3.0)
    assert await read_due(log, lease, 9.0) == [2, 3]


async def test_what_is_deferred_is_what_waits_and_holds_nobody_up(log: Log) -> None:
    records = await append_keyed(log, ["a", "b", "c", None])
    lease = await take_lease(log)
    parked = [parked_as(record, "retry", due=5.0, reason="later", detail="why") for record in records]
    parked[0].blocks = parked[3].blocks = False
    parked[2].state, parked[2].blocks = "dead", False
    await log.ledger.settle(Settlement(lease, parked=parked))

    deferred = await log.ledger.deferred(lease)

    assert [(one.order, one.key, one.due, one.reason, one.detail) for one in deferred] == [
        (records[0].order, "a", 5.0, "later", "why"),
        (records[3].order, None, 5.0, "later", "why"),
    ]
    assert [one.record for one in deferred] == [None, None]
    lanes = {lane: 0 for lane in lease.lanes if lane != records[0].slot % LANES}
    others = await log.ledger.deferred(msgspec.structs.replace(lease, lanes=lanes))
    assert records[0].order not in [one.order for one in others]
    assert await log.ledger.deferred(msgspec.structs.replace(lease, lanes={})) == []


async def test_parking_again_changes_what_is_known(log: Log, clock: ManualClock) -> None:
    (record,) = await append_keyed(log, ["a"])
    lease = await take_lease(log)
    clock.set(100.0)
    await log.ledger.settle(Settlement(lease, parked=[parked_as(record, "retry", attempts=1, due=5.0, reason="first")]))
    clock.set(200.0)

    await log.ledger.settle(Settlement(lease, parked=[parked_as(record, "dead", attempts=2, reason="second")]))

    (kept,) = await log.ledger.parked()
    assert (kept.state, kept.attempts, kept.reason, kept.parked_at) == ("dead", 2, "second", 100.0)


async def test_an_owner_sees_what_is_parked_in_its_own_lanes(log: Log) -> None:
    keys = [f"k{number}" for number in range(30)]
    records = await append_keyed(log, keys)
    one = await take_lease(log)
    await log.ledger.settle(Settlement(one, parked=[parked_as(record, "retry") for record in records]))
    other = await log.ledger.enter()
    leases = await settled_leases(log, "g", [one.member, other])

    seen = []
    for lease in leases:
        mine = {key for key in keys if slot_of(key) % LANES in lease.lanes}
        assert set((await log.ledger.held(lease)).keys) == mine
        seen += [parked.key for parked in await log.ledger.due(lease, 1.0)]

    assert sorted(filter(None, seen)) == sorted(keys)


async def test_a_lease_without_lanes_sees_nothing_parked(log: Log) -> None:
    records = await append_keyed(log, ["a", None])
    lease = await take_lease(log)
    await log.ledger.settle(Settlement(lease, parked=[parked_as(record, "retry") for record in records]))
    empty = msgspec.structs.replace(lease, lanes={})

    held = await log.ledger.held(empty)
    assert await read_due(log, empty, 1.0) == []
    assert (held.keys, held.next_due, held.blocked) == ({}, None, 0)
