"""What opening again and closing promise: one log, kept if and only if it is durable."""

from tidings.errors import LogClosed
from tidings.log.interface import Log
from tidings.log.position import START
from tidings.log.settlement import Settlement
from tidings.testing.log_conformance.words import (
    Reopen,
    append_keyed,
    new_event,
    parked_as,
    raises,
    read_ids,
    take_lease,
)


async def test_a_log_opened_twice_is_one_log(log: Log, reopen: Reopen) -> None:
    other = await reopen()
    try:
        await log.append([new_event(0)])
        again = await other.append([new_event(0)])
        await other.append([new_event(1)])

        assert again.duplicate
        assert await read_ids(log) == await read_ids(other) == ["id-0", "id-1"]
    finally:
        await other.close()


async def test_a_log_is_kept_after_the_last_close_if_and_only_if_it_is_durable(
    log: Log, reopen: Reopen, durable: bool
) -> None:
    records = await append_keyed(log, ["a", "b"])
    lease = await take_lease(log)
    await log.ledger.settle(Settlement(lease, upto=await log.head(), parked=[parked_as(records[0], "dead")]))
    before = (await log.head(), await log.ledger.parked())
    await log.ledger.leave(lease.member)
    await log.close()

    again = await reopen()
    try:
        assert ((await again.head(), await again.ledger.parked()) == before) == durable
        assert (await again.ledger.groups() != []) == durable
    finally:
        await again.close()


async def test_a_closed_log_says_so_and_closing_twice_is_harmless(log: Log) -> None:
    await log.close()
    await log.close()

    for call in (log.append([new_event(0)]), log.scan(START), log.head(), log.ledger.groups(), log.ledger.enter()):
        with raises(LogClosed):
            await call
