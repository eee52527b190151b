"""What timers promise: recorded once, in order, never early; cancelled or recorded, never both; what recurs recurs."""

import asyncio

from tidings.clock import ManualClock
from tidings.errors import IdReused
from tidings.log.interface import Log
from tidings.log.position import START
from tidings.log.record import draft, restore
from tidings.log.settlement import Settlement
from tidings.log.slices import Where
from tidings.log.timers import LOOK_AHEAD, Following, Timer
from tidings.testing.log_conformance.words import Reopen, new_event, new_events, raises, read_ids, take_lease

NOW = 1_000_000_000.0  # what the manual clock begins with


def new_timer(number: int, after: float, *, series: str | None = None, spec: str = "", public: bool = True) -> Timer:
    """The event `id-<number>`, due so many seconds after the clock's beginning."""
    return Timer(int((NOW + after) * 1e6), draft(new_event(number), public=public), series, spec)


async def fire(log: Log, after: float, limit: int = 100, **following: Following) -> tuple[int, float | None]:
    """How many have fired, and how long after the clock's beginning the next is due."""
    fired = await log.ledger.timers.fire(NOW + after, limit, following)
    return fired.count, None if fired.next_due is None else fired.next_due / 1e6 - NOW


async def _fire_all(log: Log) -> None:
    for _ in range(100):
        _, next_due = await fire(log, 20.0, limit=3)
        if next_due is None:
            return


async def waiting_ids(log: Log) -> list[str]:
    """The ids of what is scheduled, in the order in which it will fire."""
    return [timer.draft.id for timer in await log.ledger.timers.waiting()]


async def test_a_timer_fires_when_it_is_due_and_not_before(log: Log) -> None:
    assert await log.ledger.timers.schedule([new_timer(1, 5.0)]) == 1

    assert await fire(log, 4.999999) == (0, 5.0)
    assert await read_ids(log) == []
    assert await fire(log, 5.0) == (1, None)
    assert await fire(log, 6.0) == (0, None)

    assert await read_ids(log) == ["id-1"]
    assert await waiting_ids(log) == []


async def test_what_is_recorded_is_what_was_scheduled(log: Log) -> None:
    event = new_event(1, key="a", correlation_id="c", causation_id="b", headers={"tenant": "x"})
    await log.ledger.timers.schedule([Timer(0, draft(event, public=False))])

    await fire(log, 0.0)

    found = await log.scan(START)
    (record,) = found.records
    again = restore(record, "")
    assert (again.id, again.source, again.key, again.headers) == (event.id, event.source, event.key, event.headers)
    assert (again.correlation_id, again.causation_id) == ("c", "b")
    assert record.slot == draft(event, public=False).slot
    assert (await log.scan(START, Where(public=True))).records == []


async def test_timers_fire_in_the_order_of_time_and_then_of_scheduling(log: Log) -> None:
    due = {1: 3.0, 2: 1.0, 3: 2.0, 4: 1.0, 5: 1.0, 6: 9.0}
    await log.ledger.timers.schedule([new_timer(number, after) for number, after in due.items()])

    assert await waiting_ids(log) == ["id-2", "id-4", "id-5", "id-3", "id-1", "id-6"]
    assert await fire(log, 5.0) == (5, 9.0)

    assert await read_ids(log) == ["id-2", "id-4", "id-5", "id-3", "id-1"]


async def test_no_more_than_the_limit_fire_at_once(log: Log) -> None:
    await log.ledger.timers.schedule([new_timer(number, number) for number in range(1, 8)])

    assert await fire(log, 10.0, limit=3) == (3, 4.0)
    assert await fire(log, 10.0, limit=3) == (3, 7.0)
    assert await fire(log, 10.0, limit=3) == (1, None)

    assert await read_ids(log) == [f"id-{number}" for number in range(1, 8)]


async def test_scheduling_again_changes_nothing_whether_it_waits_or_has_fired(log: Log) -> None:
    await log.ledger.timers.schedule([new_timer(1, 1.0), new_timer(2, 5.0)])
    await fire(log, 2.0)

    assert await log.ledger.timers.schedule([new_timer(1, 3.0), new_timer(2, 9.0), new_timer(3, 7.0)]) == 1

    assert await fire(log, 10.0) == (2, None)
    assert await read_ids(log) == ["id-1", "id-2", "id-3"]


async def test_an_id_with_other_content_is_refused_and_nothing_is_scheduled(log: Log) -> None:
    await log.ledger.timers.schedule([new_timer(1, 1.0), new_timer(2, 5.0)])
    await fire(log, 2.0)

    for number in (1, 2):
        other = Timer(0, draft(new_event(number, data="other"), public=True))
        with raises(IdReused) as refused:
            await log.ledger.timers.schedule([new_timer(3, 5.0), other])
        assert refused.error.id == f"id-{number}"

    assert await waiting_ids(log) == ["id-2"]


async def test_an_event_recorded_by_other_means_is_not_recorded_again(log: Log) -> None:
    await log.ledger.timers.schedule([new_timer(1, 1.0), new_timer(2, 1.0)])
    await log.append([new_event(1)])

    assert await fire(log, 2.0) == (2, None)

    assert await read_ids(log) == ["id-1", "id-2"]


async def test_what_is_cancelled_never_fires_and_what_has_fired_is_not_cancelled(log: Log) -> None:
    await log.ledger.timers.schedule([new_timer(1, 1.0), new_timer(2, 1.0)])

    assert await log.ledger.timers.cancel("id-1", "shop") is True
    assert await log.ledger.timers.cancel("id-1", "shop") is False
    assert await log.ledger.timers.cancel("id-2", "another source") is False
    await fire(log, 2.0)

    assert await log.ledger.timers.cancel("id-2", "shop") is False
    assert await log.ledger.timers.cancel("id-9", "shop") is False
    assert await read_ids(log) == ["id-2"]


async def test_an_event_recorded_by_other_means_is_not_cancelled(log: Log) -> None:
    await log.ledger.timers.schedule([new_timer(1, 1.0)])
    await log.append([new_event(1)])

    assert await log.ledger.timers.cancel("id-1", "shop") is False


async def test_cancelling_and_firing_at_once_have_one_outcome(log: Log) -> None:
    timers = [new_timer(number, 1.0) for number in range(40)]
    await log.ledger.timers.schedule(timers)

    cancelling = [log.ledger.timers.cancel(timer.draft.id, "shop") for timer in timers]
    firing = [fire(log, 2.0, limit=3) for _ in timers]
    answers = await asyncio.gather(*(each for pair in zip(firing, cancelling, strict=True) for each in pair))

    cancelled = [timer.draft.id for timer, answer in zip(timers, answers[1::2], strict=True) if answer]
    assert sorted([*cancelled, *await read_ids(log)]) == sorted(timer.draft.id for timer in timers)


async def test_two_that_fire_at_once_record_each_event_once_and_in_order_of_time(log: Log, reopen: Reopen) -> None:
    other = await reopen()
    await log.ledger.timers.schedule([new_timer(number, number / 10) for number in range(100)])

    fired = await asyncio.gather(*(fire(each, 20.0, limit=7) for _ in range(10) for each in (log, other)))

    assert sum(count for count, _ in fired) == 100
    assert await read_ids(log) == [f"id-{number}" for number in range(100)]
    await other.close()


async def test_what_is_cancelled_while_others_fire_is_either_recorded_or_cancelled(log: Log, reopen: Reopen) -> None:
    others = [await reopen() for _ in range(2)]
    names = [f"id-{number}" for number in range(60)]
    await log.ledger.timers.schedule([new_timer(number, number / 10) for number in range(60)])

    *were_waiting, _, _ = await asyncio.gather(
        *(log.ledger.timers.cancel(name, "shop") for name in names), *(_fire_all(each) for each in others)
    )

    cancelled = [name for name, was_waiting in zip(names, were_waiting, strict=True) if was_waiting]
    assert sorted([*await read_ids(log), *cancelled]) == sorted(names)
    for each in others:
        await each.close()


async def test_a_settlement_schedules_with_its_other_effects_and_passes_over_what_is_known(log: Log) -> None:
    await log.append(new_events(1, 3))
    lease = await take_lease(log)
    await log.ledger.timers.schedule([new_timer(3, 5.0)])
    other = Timer(0, draft(new_event(3, data="other"), public=True))

    timers = [new_timer(2, 1.0), other, new_timer(4, 2.0)]
    for _ in range(2):
        await log.ledger.settle(Settlement(lease, upto=await log.head(), timers=timers))

    assert await waiting_ids(log) == ["id-4", "id-3"]


async def test_only_a_timer_that_is_soon_and_before_all_others_wakes_whoever_fires(
    log: Log, clock: ManualClock
) -> None:
    async def is_woken_by(*timers: Timer) -> bool:
        before, control = log.bell.timers, log.bell.control
        await log.ledger.timers.schedule(timers)
        assert log.bell.control == control  # who owns lanes need not claim them anew
        return log.bell.timers > before

    assert await is_woken_by(new_timer(1, 5.0))
    assert not await is_woken_by(new_timer(2, 5.0), new_timer(3, 6.0))
    assert await is_woken_by(new_timer(4, 7.0), new_timer(5, 4.0))
    clock.set(NOW - LOOK_AHEAD)
    assert not await is_woken_by(new_timer(6, 1.0))


async def test_a_timer_in_a_settlement_wakes_whoever_fires(log: Log) -> None:
    await log.append([new_event(1)])
    lease = await take_lease(log)
    before, control = log.bell.timers, log.bell.control

    await log.ledger.settle(Settlement(lease, timers=[new_timer(2, 1.0)]))

    assert log.bell.timers > before
    assert log.bell.control == control


async def test_the_next_occurrence_of_a_series_is_scheduled_as_one_fires(log: Log) -> None:
    def in_ten(timer: Timer, now: int) -> Timer:
        return new_timer(int(timer.draft.id[3:]) + 1, timer.due / 1e6 - NOW + 10, series="s", spec="10")

    await log.ledger.timers.repeat("shop", [new_timer(1, 10.0, series="s", spec="10")])

    assert await fire(log, 10.0, s=in_ten) == (1, 20.0)
    assert await fire(log, 19.9, s=in_ten) == (0, 20.0)
    assert await fire(log, 20.0, s=in_ten) == (1, 30.0)

    assert await read_ids(log) == ["id-1", "id-2"]
    assert await waiting_ids(log) == ["id-3"]


async def test_a_series_that_is_not_known_waits_and_holds_nothing_up(log: Log) -> None:
    await log.ledger.timers.repeat("shop", [new_timer(1, 1.0, series="s")])
    await log.ledger.timers.schedule([new_timer(2, 2.0)])

    assert await fire(log, 5.0) == (1, None)

    assert await read_ids(log) == ["id-2"]
    assert await waiting_ids(log) == ["id-1"]
    assert await log.ledger.timers.cancel("id-1", "shop") is False


async def test_a_series_goes_on_as_it_is_unless_its_spec_has_changed_or_it_waits_too_long(log: Log) -> None:
    timers = log.ledger.timers
    await timers.repeat("shop", [new_timer(1, 5.0, series="a", spec="5"), new_timer(2, 5.0, series="b", spec="5")])

    await timers.repeat("shop", [new_timer(3, 6.0, series="a", spec="5"), new_timer(4, 9.0, series="b", spec="9")])
    assert await waiting_ids(log) == ["id-1", "id-4"]

    await timers.repeat("shop", [new_timer(5, 6.0, series="a", spec="5"), new_timer(6, 2.0, series="b", spec="9")])
    assert await waiting_ids(log) == ["id-6", "id-1"]


async def test_a_series_that_nobody_wants_any_more_is_gone(log: Log) -> None:
    other = Timer(int(NOW * 1e6), draft(new_event(9, source="bank"), public=False), "bank.b")
    await log.ledger.timers.repeat("bank", [other])
    await log.ledger.timers.repeat("shop", [new_timer(1, 5.0, series="a"), new_timer(2, 6.0, series="b")])
    await log.ledger.timers.schedule([new_timer(3, 7.0)])

    await log.ledger.timers.repeat("shop", [new_timer(4, 8.0, series="b")])
    assert await waiting_ids(log) == ["id-9", "id-2", "id-3"]

    await log.ledger.timers.repeat("shop", [])
    assert await waiting_ids(log) == ["id-9", "id-3"]


async def test_timers_outlive_whoever_scheduled_them_if_the_log_does(log: Log, reopen: Reopen, durable: bool) -> None:
    await log.ledger.timers.schedule([new_timer(1, 1.0, public=False)])
    await log.close()
    again = await reopen()

    fired = await fire(again, 2.0)

    assert fired == ((1, None) if durable else (0, None))
    await again.close()
