"""What operators are promised: to see, retry, drop, pause, move and forget, and that every member notices."""

from typing import Any

from tidings.log.interface import Log, Settlement
from tidings.log.position import START
from tidings.testing.log_conformance.words import append_keyed, parked_as, read_due, take_lease


async def test_operators_retry_dead_and_waiting_events(log: Log) -> None:
    records = await append_keyed(log, ["a", "b", "c", "c"])
    lease = await take_lease(log)
    states: list[Any] = ["dead", "retry", "dead", "blocked"]
    parked = [parked_as(record, state, due=9.0, attempts=3) for record, state in zip(records, states, strict=True)]
    await log.ledger.settle(Settlement(lease, parked=parked))

    assert await log.ledger.retry("g", [1]) == 1
    assert await read_due(log, lease, 0.0) == [1]
    assert await log.ledger.retry("g", [4, 77]) == 0  # it waits for another, or is not there
    assert await log.ledger.retry("g") == 3

    assert await read_due(log, lease, 0.0) == [1, 2, 3, 4]
    assert [one.attempts for one in await log.ledger.parked("g", "retry")] == [0, 0, 0]


async def test_operators_discard_dead_events_only(log: Log) -> None:
    records = await append_keyed(log, ["a", "b", "c"])
    lease = await take_lease(log)
    states: list[Any] = ["dead", "retry", "dead"]
    parked = [parked_as(record, state) for record, state in zip(records, states, strict=True)]
    await log.ledger.settle(Settlement(lease, parked=parked))

    assert await log.ledger.discard("g", [2]) == 0
    assert await log.ledger.discard("g", [1]) == 1
    assert await log.ledger.discard("g") == 1

    assert [one.order for one in await log.ledger.parked()] == [2]


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

    await log.ledger.set_state("g", "paused")
    paused = [(await log.ledger.claim("g", member)).state for member in (lease.member, other)]
    await log.ledger.set_state("g", "live")

    assert paused == ["paused", "paused"]
    assert (await log.ledger.claim("g", other)).state == "live"
    assert [status.state for status in await log.ledger.groups()] == ["live"]


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
