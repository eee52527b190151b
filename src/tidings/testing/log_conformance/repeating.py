"""What ids promise: whatever is appended again is recorded once, and an id stands for one event only."""

import asyncio

import msgspec

from tidings.errors import IdReused, PartialDuplicate
from tidings.log.interface import Log
from tidings.log.position import START
from tidings.log.record import draft
from tidings.log.slices import NONE, Where
from tidings.testing.log_conformance.words import ids_of, new_event, new_events, raises, read_ids


async def test_appending_again_gives_the_first_result(log: Log) -> None:
    await log.append([new_event(0)])
    first = await log.append(new_events(1, 4), stream="a")
    await log.append([new_event(4)], stream="a")

    again = await log.append(new_events(1, 4), stream="a")

    assert again == msgspec.structs.replace(first, duplicate=True)
    assert len(await read_ids(log)) == 5


async def test_ids_are_checked_before_the_expectation(log: Log) -> None:
    first = await log.append([new_event(1)], stream="a", expect=NONE)

    again = await log.append([new_event(1)], stream="a", expect=NONE)

    assert again == msgspec.structs.replace(first, duplicate=True)
    with raises(PartialDuplicate):
        await log.append([new_event(1), new_event(2)], stream="a", expect=NONE)
    with raises(IdReused):
        await log.append([new_event(1, data="other")], stream="a", expect=NONE)


async def test_a_batch_recorded_in_part_is_refused(log: Log) -> None:
    await log.append([new_event(1)])

    with raises(PartialDuplicate) as refused:
        await log.append([new_event(0), new_event(1), new_event(2)])

    assert (refused.error.present, refused.error.missing) == (("id-1",), ("id-0", "id-2"))
    assert await read_ids(log) == ["id-1"]


async def test_an_id_with_other_content_is_refused(log: Log) -> None:
    await log.append([new_event(1, key="k")])

    for other in (
        new_event(1, key="k", data="other"),
        new_event(1, key="other"),
        new_event(1, key="k", type="order:paid"),
    ):
        with raises(IdReused) as refused:
            await log.append([new_event(2), other])

        assert (refused.error.id, refused.error.source) == ("id-1", "shop")
    assert await read_ids(log) == ["id-1"]


async def test_an_id_used_twice_in_one_batch_is_refused(log: Log) -> None:
    with raises(IdReused):
        await log.append([new_event(1), new_event(2), new_event(1)])

    assert await read_ids(log) == []


async def test_the_same_id_of_another_source_is_another_event(log: Log) -> None:
    await log.append([new_event(1)])

    appended = await log.append([new_event(1, source="bank", data="other")])

    assert not appended.duplicate
    assert await read_ids(log) == ["id-1", "id-1"]


async def test_concurrent_repeats_of_one_append_record_it_once(log: Log) -> None:
    outcomes = await asyncio.gather(*[log.append(new_events(0, 3)) for _ in range(10)])

    assert [outcome.duplicate for outcome in outcomes].count(False) == 1
    assert len({(outcome.first, outcome.last) for outcome in outcomes}) == 1
    assert len(await read_ids(log)) == 3


async def test_absorbing_records_what_is_new(log: Log) -> None:
    await log.append(new_events(0, 3))

    new = await log.absorb([new_event(1), new_event(3), new_event(3), new_event(4)])

    assert new == 2
    assert await read_ids(log) == ["id-0", "id-1", "id-2", "id-3", "id-4"]
    assert await log.absorb([new_event(6), new_event(5), new_event(6)]) == 2
    assert (await read_ids(log))[-2:] == ["id-6", "id-5"]
    assert await log.absorb(new_events(0, 5)) == 0
    assert await log.absorb([]) == 0


async def test_absorbing_takes_what_is_written_down_already(log: Log) -> None:
    await log.append(new_events(0, 2))

    new = await log.absorb([draft(new_event(1), public=False), new_event(2), draft(new_event(3), public=True)])

    assert new == 2
    assert await read_ids(log) == ["id-0", "id-1", "id-2", "id-3"]
    shown = await log.scan(START, Where(public=True))
    assert ids_of(shown) == ["id-0", "id-1", "id-3"]
