"""What a settlement promises: all of it is committed, or, when the lease is lost, nothing."""

import asyncio

from tidings.errors import Fenced, LogTruncated
from tidings.log.group import Lease
from tidings.log.interface import Log
from tidings.log.position import START
from tidings.log.record import restore
from tidings.log.settlement import Settlement
from tidings.testing.log_conformance.words import (
    LIMIT,
    ids_of,
    new_drafts,
    new_event,
    new_events,
    parked_as,
    raises,
    read_cursor,
    read_ids,
    read_record,
    settled_leases,
    take_lease,
)


async def test_a_settlement_commits_cursor_events_and_parked_together(log: Log) -> None:
    await log.append(new_events(0, 3))
    lease = await take_lease(log)
    upto = await log.head()
    parked = parked_as(await read_record(log, 1), "retry", due=5.0, attempts=2, reason="no", detail="trace")

    appended = await log.ledger.settle(Settlement(lease, upto=upto, events=new_drafts(10, 12), parked=[parked]))

    assert appended is not None
    found = await log.scan(appended.first)
    assert (ids_of(found), found.upto) == (["id-11"], appended.last)
    assert await read_cursor(log) == upto
    (kept,) = await log.ledger.parked("g")
    assert (kept.order, kept.state, kept.due, kept.attempts, kept.reason) == (parked.order, "retry", 5.0, 2, "no")
    assert (kept.group, kept.detail) == ("g", "trace")
    assert kept.record is not None
    assert restore(kept.record, "").id == "id-1"


async def test_a_settlement_can_leave_the_cursor_where_it_is(log: Log) -> None:
    await log.append([new_event(0)])
    lease = await take_lease(log)

    assert await log.ledger.settle(Settlement(lease)) is None

    assert await read_cursor(log) == START


async def test_a_cursor_never_goes_back(log: Log) -> None:
    first = await log.append([new_event(0)])
    last = await log.append([new_event(1)])
    lease = await take_lease(log)
    await log.ledger.settle(Settlement(lease, upto=last.last))

    await log.ledger.settle(Settlement(lease, upto=first.last))

    assert await read_cursor(log) == last.last


async def test_effects_recorded_before_are_passed_over(log: Log) -> None:
    await log.append([new_event(0)])
    lease = await take_lease(log)
    await log.ledger.settle(Settlement(lease, events=new_drafts(10, 12)))

    upto = await log.head()
    again = await log.ledger.settle(Settlement(lease, upto=upto, events=new_drafts(10, 13)))

    assert again is not None
    assert again.first == again.last == await log.head()
    assert await read_ids(log) == ["id-0", "id-10", "id-11", "id-12"]
    assert await read_cursor(log) == upto
    assert await log.ledger.settle(Settlement(lease, events=new_drafts(10, 13))) is None


async def test_a_stale_settlement_commits_nothing_at_all(log: Log) -> None:
    await log.append(new_events(0, 3))
    stale = await take_lease(log)
    await log.ledger.settle(Settlement(stale, parked=[parked_as(await read_record(log, 2), "dead")]))
    other = await log.ledger.enter()
    await settled_leases(log, "g", [stale.member, other])
    before = (await log.head(), await log.ledger.parked(), await log.ledger.groups())

    with raises(Fenced) as refused:
        parked = [parked_as(await read_record(log, 1), "retry")]
        await log.ledger.settle(
            Settlement(
                stale,
                upto=await log.head(),
                events=new_drafts(10, 12),
                parked=parked,
                cleared=[(await read_record(log, 2)).order],
            )
        )

    assert (refused.error.group, refused.error.member) == ("g", stale.member)
    assert (await log.head(), await log.ledger.parked(), await log.ledger.groups()) == before


async def test_whoever_left_released_or_was_reset_is_fenced(log: Log) -> None:
    await log.append([new_event(0)])
    upto = await log.head()

    async def release(lease: Lease) -> None:
        await log.ledger.release("g", lease.member)

    async def leave(lease: Lease) -> None:
        await log.ledger.leave(lease.member)

    async def reset(lease: Lease) -> None:
        await log.ledger.reset("g", START)

    async def forget(lease: Lease) -> None:
        await log.ledger.forget("g")

    for lose in (release, leave, reset, forget):
        lease = await take_lease(log)
        await lose(lease)

        with raises(Fenced):
            await log.ledger.settle(Settlement(lease, upto=upto))


async def test_a_settlement_past_the_end_commits_nothing(log: Log) -> None:
    appended = await log.append([new_event(0)])
    lease = await take_lease(log)
    beyond = f"{appended.last[:-1]}9"

    with raises(LogTruncated):
        await log.ledger.settle(Settlement(lease, upto=beyond, events=new_drafts(1, 2)))

    assert await read_ids(log) == ["id-0"]
    assert await read_cursor(log) == START


async def test_a_cancelled_settlement_is_whole_or_absent(log: Log) -> None:
    await log.append(new_events(0, 50))
    positions = [(await log.scan(START, limit=number + 1)).upto for number in range(50)]
    lease = await take_lease(log)

    for number in range(0, 50, 2):
        effects = new_drafts(100 + number, 102 + number)
        settlement = Settlement(lease, upto=positions[number], events=effects)
        settling = asyncio.ensure_future(log.ledger.settle(settlement))
        for _ in range(number % 6):
            await asyncio.sleep(0)
        settling.cancel()
        await asyncio.wait([settling], timeout=LIMIT)

        async def has_moved() -> bool:
            return await read_cursor(log) == positions[number]  # noqa: B023  # called in this round only

        async def is_recorded() -> bool:
            return bool((await log.find(f"id-{100 + number}")).records)  # noqa: B023  # likewise

        # It may commit while we look: what was there at the first look has brought the other along by the second.
        assert not await has_moved() or await is_recorded()
        assert not await is_recorded() or await has_moved()
        await log.ledger.settle(settlement)
        assert await read_cursor(log) == positions[number]
